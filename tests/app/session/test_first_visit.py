"""Four steps on the pages as they are: each names a page and things that are there."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from app.session.first_visit import STEPS
from tests.app.conftest import Run


def boxes(test: AppTest) -> list[str]:
    """The step that is shown, if one is."""
    return [text.value for text in test.markdown if f" of {len(STEPS)}: " in text.value]


def test_it_begins_by_a_button_goes_on_and_back_and_ends(run_page: Run) -> None:
    test = run_page("features.py")
    assert boxes(test) == []
    test.button(key="first_visit_start").click().run()
    assert STEPS[0].title in boxes(test)[0] and test.button(key="first_visit_back").disabled
    links = [link.proto.label for link in test.get("page_link")]
    assert f"Go to {STEPS[0].page.title}" in links
    for step in STEPS[1:]:
        test.button(key="first_visit_next").click().run()
        assert step.title in boxes(test)[0]
    assert not [button for button in test.button if button.key == "first_visit_next"]
    test.button(key="first_visit_back").click().run()
    assert STEPS[-2].title in boxes(test)[0]
    test.button(key="first_visit_end").click().run()
    assert not test.exception and boxes(test) == []


def test_a_step_on_its_own_page_needs_no_way_there(run_page: Run) -> None:
    test = run_page("compare.py")
    test.button(key="first_visit_start").click().run()
    assert STEPS[0].title in boxes(test)[0]
    assert not [link for link in test.get("page_link") if link.proto.label.startswith("Go to")]
