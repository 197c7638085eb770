"""An adjudicator goes through a list: the answers beside the labels, and after settling the next."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_db import Store
from feature_db.label.labels import Labels
from tests.browser.conftest import OPEN_TABLE, AppPage
from tests.browser.label_app import signed_at

pytestmark = pytest.mark.browser


def test_a_row_opens_with_its_answers_and_settling_leads_to_the_next(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    with Store.open(label_app[1]) as store:
        for at in (50, 51):
            Labels(store, "ann").label(at, f"one view of {at}", category="style", verdict=3)
            Labels(store, "bo").label(at, f"poems and rain {at}", category="format", verdict=3)
    app = new_page(width=1280)
    app.open(f"{label_app[0]}/disagreements")
    signed_at(app, "chief")
    app.page.get_by_role("radio", name="category").click()
    app.page.get_by_text("whose category differs wait to be settled").wait_for()
    app.settled()
    app.tick(OPEN_TABLE, 2)
    first = app.page.get_by_text(re.compile("one view of 5[01]")).first.inner_text()
    at = int(re.search(r"5[01]", first).group())  # type: ignore[union-attr]
    assert (
        app.page.locator(".st-key-label_evidence").get_by_text(re.compile(r"\(case \d+\)")).first.is_visible()
    )
    app.page.get_by_text(f"bo: poems and rain {at}").click()
    app.page.get_by_role("button", name=re.compile("^Settle")).click()
    app.page.get_by_text(f"Feature {at} is settled.").wait_for()
    app.settled()
    labels = app.page.locator("[class*=st-key-standing_disputed]")
    assert labels.filter(has_text=f"one view of {at}").count() == 0, "the next one is on the page"
    assert labels.filter(has_text=f"one view of {101 - at}").count() == 1
    with Store.open(label_app[1]) as store:
        settled = Labels(store, "chief").adjudication(at)
    assert settled is not None and (settled.text, settled.category) == (f"poems and rain {at}", "format")
