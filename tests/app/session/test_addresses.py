"""Addresses come from anywhere: no value of a query parameter may end in a traceback or become Markdown."""

from __future__ import annotations

import pytest

from feature_db import FeatureFilter, Store
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.conftest import Run

PARAMETERS = ("a", "e", "f", "feature", "l", "m", "queue", "r", "s", "t", "take", "text", "u")
PAGES = ("label.py", "feature.py", "features.py", "disagreements.py", "compare.py", "explain.py")
VALUES = (
    "9" * 5_000,
    "9" * 400,
    "-1",
    "1e999",
    "٣",
    "²",
    "1_0",
    "nan",
    "\x00\uffff",
    "![x](http://evil.invalid/x.png)",
    '{"panel": [1e400], "steering": {"5": ["*", ' + "9" * 5_000 + "]}}",
    '{"panel": [5], "steering": ' + "[" * 3_000 + "]" * 3_000 + "}",
)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.slow
def test_no_address_ends_in_a_traceback_or_becomes_markdown(
    run_page: Run, store_path: object, page: str
) -> None:
    with Store.open(str(store_path)) as store:
        People(store).set_role(None, "chief", "admin")
        Queues(store, "chief").make("first", FeatureFilter(ids=[7, 8, 9]))
    for value in VALUES:
        test = run_page(page, **dict.fromkeys(PARAMETERS, value))
        if page in ("label.py", "disagreements.py"):
            test.query_params.update(dict.fromkeys(PARAMETERS, value))
            test.text_input(key="person").set_value("cy").run()
            assert not test.exception, (value[:60], test.exception[0].value)
        kinds = ("markdown", "caption", "warning", "error", "info", "success")
        assert not [e.value for kind in kinds for e in test.get(kind) if "![x](" in str(e.value)]


@pytest.mark.slow
def test_the_address_of_a_feature_takes_the_sliders_in(run_page: Run, store_path: object) -> None:
    test = run_page("feature.py", feature="5", l="1")
    next(button for button in test.button if "slider" in button.label).click().run()
    assert not test.exception, test.exception[0].value
    assert test.query_params["feature"] == "5" and "s" in test.query_params and "l" not in test.query_params
