"""The steering a person works on: its history, its panel and its link."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.session.steering_state import MAX_HISTORY, MAX_PANEL, SteeringState
from sarm_core.errors import SarmError, SteeringError
from sarm_core.steering import Group, Steering

features = st.integers(0, 60)
numbers = st.floats(-4, 4, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def steerings(draw: Any) -> Steering:
    groups = draw(
        st.dictionaries(st.text("ab<&é ", min_size=1, max_size=5), st.sets(features, min_size=1, max_size=3))
    )
    return Steering(
        scale=draw(st.dictionaries(features, numbers, max_size=4)),
        set=draw(st.dictionaries(features, numbers, max_size=2)),
        offset=draw(st.dictionaries(features, numbers, max_size=2)),
        groups={name: Group(tuple(sorted(ids)), draw(numbers)) for name, ids in list(groups.items())[:2]},
    )


def named(steering: Steering) -> set[int]:
    ids = {*steering.scale, *steering.set, *steering.offset}
    return ids.union(*(group.features for group in steering.groups.values()))


class Working(RuleBasedStateMachine):
    """Any sequence of edits: undo goes to exactly what was, and what is steered always has a slider."""

    def __init__(self) -> None:
        super().__init__()
        self.state = SteeringState()
        self.past: list[Steering] = [Steering()]
        self.future: list[Steering] = []

    def note(self) -> None:
        """A step was made if the steering differs from the last one."""
        if self.state.current != self.past[-1]:
            self.past.append(self.state.current)
            self.future = []

    @rule(steering=steerings(), by_server=st.booleans())
    def change(self, steering: Steering, by_server: bool) -> None:
        before = self.state.revision
        self.state.change(steering, by_server=by_server)
        assert self.state.current == steering
        assert self.state.revision == before + by_server
        self.note()

    @rule(wanted=st.lists(features, max_size=20))
    def add(self, wanted: list[int]) -> None:
        left_out = self.state.add(wanted)
        assert set(wanted) - set(left_out) <= set(self.state.panel)
        assert not set(left_out) & set(self.state.panel)
        assert not left_out or len(self.state.panel) == MAX_PANEL

    @rule(feature=features)
    def remove(self, feature: int) -> None:
        self.state.remove(feature)
        assert feature not in self.state.panel
        assert feature not in named(self.state.current)
        self.note()

    @rule()
    def reset(self) -> None:
        groups = self.state.current.groups
        self.state.reset()
        assert not self.state.current
        assert self.state.current.groups.keys() == groups.keys()
        self.note()

    @rule()
    def undo(self) -> None:
        assert self.state.can_undo == (len(self.past) > 1)
        self.state.undo()
        if len(self.past) > 1:
            self.future.append(self.past.pop())
        assert self.state.current == self.past[-1]

    @rule()
    def redo(self) -> None:
        assert self.state.can_redo == bool(self.future)
        self.state.redo()
        if self.future:
            self.past.append(self.future.pop())
        assert self.state.current == self.past[-1]

    @invariant()
    def what_is_steered_has_a_slider(self) -> None:
        assert named(self.state.current) <= set(self.state.panel)
        assert len(self.state.panel) == len(set(self.state.panel)) <= MAX_PANEL

    @invariant()
    def the_link_opens_the_same(self) -> None:
        opened = SteeringState.from_link(self.state.to_link())
        assert opened.current == self.state.current
        assert opened.panel == self.state.panel
        assert not opened.can_undo


TestWorking = pytest.mark.slow(Working.TestCase)
TestWorking.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_a_steering_too_large_for_the_panel_changes_nothing() -> None:
    state = SteeringState(panel=[1, 2])
    with pytest.raises(SteeringError, match="holds 32"):
        state.load(Steering(scale=dict.fromkeys(range(MAX_PANEL + 1), 2.0)))
    assert (state.panel, state.current, state.can_undo) == ([1, 2], Steering(), False)


def test_loading_drops_idle_sliders_before_it_refuses() -> None:
    state = SteeringState(panel=list(range(100, 100 + MAX_PANEL)))
    state.load(Steering(scale=dict.fromkeys(range(30), 2.0)))
    assert set(range(30)) <= set(state.panel) and len(state.panel) == MAX_PANEL
    assert state.panel[:2] == [100, 101]


def test_an_undone_removal_finds_its_slider_again_on_a_full_panel() -> None:
    state = SteeringState(panel=list(range(MAX_PANEL)))
    state.change(Steering(scale={5: 0.0}))
    state.remove(5)
    assert state.add([99]) == []
    state.undo()
    assert state.current.scale == {5: 0.0}
    assert 5 in state.panel and len(state.panel) == MAX_PANEL


def test_history_is_bounded_and_keeps_the_latest() -> None:
    state = SteeringState()
    for step in range(MAX_HISTORY + 50):
        state.change(Steering(scale={1: float(step + 2)}))
    assert len(state.history) == MAX_HISTORY
    assert state.current.scale == {1: float(MAX_HISTORY + 51)}


def test_a_group_that_the_panel_cannot_hold_is_refused() -> None:
    state = SteeringState()
    state.load(Steering(scale=dict.fromkeys(range(MAX_PANEL), 2.0)))
    with pytest.raises(SteeringError, match="holds 32"):
        state.add_group("style", [1, 99])
    state.add_group("style", [1, 2])
    assert len(state.panel) == MAX_PANEL


def test_a_group_needs_a_name_and_features() -> None:
    state = SteeringState(panel=[1, 2])
    for name, members in (("  ", [1]), ("style", [])):
        with pytest.raises(SteeringError):
            state.add_group(name, members)
    state.add_group(" style ", [1, 2])
    assert list(state.current.groups) == ["style"]
    state.remove_group("style")
    assert (state.current, state.panel) == (Steering(), [1, 2])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.text(max_size=30)
    | json_values.map(json.dumps)
    | st.fixed_dictionaries({"panel": json_values, "steering": json_values}).map(json.dumps)
    | st.fixed_dictionaries(
        {
            "panel": st.lists(st.integers() | st.floats()),
            "steering": st.dictionaries(st.text(max_size=3), json_values),
        }
    ).map(json.dumps)
)
def test_a_broken_link_gives_one_line_and_never_a_traceback(text: str) -> None:
    try:
        opened = SteeringState.from_link(text)
    except SarmError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(i, int) and i >= 0 for i in opened.panel)
