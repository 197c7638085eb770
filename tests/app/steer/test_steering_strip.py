"""The steering in force on the Evaluate page: whatever it holds, the page stands and says it."""

from __future__ import annotations

from pathlib import Path

from sarm_core.steering import Group, Steering
from tests.app.conftest import Run
from tests.app.demo_pages import checked


def test_any_steering_that_can_be_loaded_is_shown(run_page: Run, store_path: Path) -> None:
    test = run_page("evaluate.py")
    held = test.session_state["steering_state"]
    held.load(
        Steering(
            scale={3: 40.0, 5: -1e6, 6: 0.25},
            set={7: 2.0},
            offset={6: -1.5},
            groups={"<b>loud</b>": Group((8, 9), 64.0)},
        )
    )
    checked(test.run())
    values = {box.label.replace("\\", "").split()[0]: box.value for box in test.number_input}
    assert values == {"#3": 40.0, "#5": -1e6, "#6": 0.25, "#8": 1.0, "#9": 1.0, "group": 64.0}
    said = " ".join(part.value.replace("\\", "") for part in test.caption)
    assert "is set to 2" in said and "offset -1.5" in said


def test_a_box_changes_the_steering_by_a_step_that_can_be_undone(run_page: Run, store_path: Path) -> None:
    test = run_page("evaluate.py")
    held = test.session_state["steering_state"]
    held.load(Steering(groups={"loud": Group((8, 9), 64.0)}))
    checked(test.run())
    boxes = list(test.number_input)
    for box in boxes:
        box.set_value(2.5 if box.label.startswith("group") else box.value)
    checked(boxes[0].run())
    assert held.current.groups["loud"] == Group((8, 9), 2.5)
    checked(test.button("strip_undo").click().run())
    assert held.current.groups["loud"].scale == 64.0
    # The browser may report boxes once more that the undo has replaced: that is no change by anybody.
    checked(boxes[0].run())
    assert held.current.groups["loud"].scale == 64.0
