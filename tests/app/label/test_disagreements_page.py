"""Where labels differ, and who settles it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import Store
from feature_db.label.labels import Labels
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    ANN,
    BO,
    CHIEF,
    press,
    shown,
    sign,
)
from tests.app.store_builder import LABELLED


@pytest.mark.slow
def test_disputed_labels_stay_hidden_until_ones_own_is_in(
    run_page: Run, queue: int, store_path: Path
) -> None:
    test = sign(run_page("disagreements.py"), "cy")
    assert "refusal wording" not in shown(test) and "hidden until yours is in" in shown(test)
    with Store.open(store_path) as store:
        Labels(store, "cy").label(LABELLED, "mine", verdict=3)
    assert "refusal wording" in shown(test.run())


@pytest.mark.slow
def test_an_adjudicator_settles_and_the_labels_stay(run_page: Run, queue: int, store_path: Path) -> None:
    test = sign(run_page("disagreements.py"), CHIEF)
    with Store.open(store_path) as store:
        uid = next(e.uid for e in Labels(store, CHIEF).current(LABELLED) if e.annotator == BO)
    test.radio(key=f"settle_{LABELLED}_on").set_value(uid)
    press(test, f"settle_{LABELLED}_go")
    assert "Settled: “apologies”" in shown(test)
    with Store.open(store_path) as store:
        labels = Labels(store, CHIEF)
        settled = labels.adjudication(LABELLED)
        assert settled is not None and settled.about == uid
        assert len(labels.current(LABELLED)) == 2
    table = sign(run_page("features.py", f_words="apologies"), CHIEF).dataframe[0].value
    assert table[["open", "name", "by"]].values.tolist() == [
        [f"#{LABELLED}", "apologies", "settled: no pattern"]
    ], "the label that was settled on has the verdict 2"


@pytest.mark.slow
def test_figures_say_undefined_instead_of_a_number(run_page: Run, queue: int) -> None:
    # ann and bo share one feature with different verdicts: percent is 0, alpha has one unit, no interval.
    test = sign(run_page("disagreements.py"), ANN)
    assert not any("measure" in table.value for table in test.dataframe), "not before its tab is open"
    test.session_state["dispute_tab"] = "Agreement"
    test.run()
    tables = [table.value for table in test.dataframe]
    overall = next(table for table in tables if "measure" in table)
    assert overall["value"][0] == "0.000" and overall["features"].tolist() == [1, 1]
    assert all("too few" in text or "only" in text for text in overall.iloc[:, 2])
