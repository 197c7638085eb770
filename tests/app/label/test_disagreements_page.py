"""Where labels differ, and who settles it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.label.agreement_words import in_words
from feature_db import Store
from feature_db.label.agreement import Agreement
from feature_db.label.labels import Labels
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    ANN,
    BO,
    CHIEF,
    choose,
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
    assert overall["value"][0] == "0% of pairs equal" and overall["features"].tolist() == [1, 1]
    assert all("too few" in text or "only" in text for text in overall.iloc[:, 3])


@pytest.mark.slow
def test_what_it_fires_on_stands_beside_the_labels_and_the_next_follows(
    run_page: Run, queue: int, store_path: Path
) -> None:
    with Store.open(store_path) as store:
        for at in (8, 9):
            Labels(store, ANN).label(at, "one view", verdict=4)
            Labels(store, BO).label(at, "another view", verdict=2)
    test = sign(run_page("disagreements.py"), CHIEF)
    chosen = test.selectbox(key="dispute_feature")
    assert chosen.value == LABELLED and "3 of 3 features whose verdict differs wait" in shown(test)
    assert "rain on the window" in shown(test).lower(), "its answers are on the page"
    table = next(
        table.value for table in test.dataframe if "verdict" in table.value and "state" in table.value
    )
    assert table["verdict"][0] == "ann: nearly one (4) · bo: several (2)"
    for then in (8, 9):
        press(test, f"settle_{test.selectbox(key='dispute_feature').value}_go")
        assert test.selectbox(key="dispute_feature").value == then and f"Feature {then} is next" in shown(
            test
        )
    press(test, "settle_9_go")
    assert "Nothing else in this list waits" in shown(test) and "0 of 3 features" in shown(test)


@pytest.mark.slow
def test_wordings_that_differ_are_a_list_of_their_own(run_page: Run, queue: int, store_path: Path) -> None:
    with Store.open(store_path) as store:
        for at, mine, theirs in (
            (8, "Python code", "poems about rain"),
            (9, "bulleted list", "answer in bullet points"),
            (10, "Polite refusal", " polite  refusal"),
            (11, "\u4e00", "refuses"),  # no word of it is known
        ):
            Labels(store, ANN).label(at, mine, verdict=4, category="style")
            Labels(store, BO).label(at, theirs, verdict=4, category="style")
    test = sign(run_page("disagreements.py"), CHIEF)
    choose(test, "measure", "wording")
    table = next(table.value for table in test.dataframe if "wording" in table.value)
    assert table["feature"].tolist() == [11, 8, LABELLED]
    assert table["wording"][1] == "ann: Python code · bo: poems about rain"
    test.selectbox(key="dispute_feature").set_value(11).run()
    press(test, "settle_11_go")
    assert test.selectbox(key="dispute_feature").value == 8


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (None, None, None, "Undefined: only one value was ever given."),
        (0.33, 0.1, 0.5, "People agree more than chance would, fairly, on 40 features."),
        (0.9, 0.8, 1.0, "People agree more than chance would, almost fully, on 40 features."),
        (0.33, -0.1, 0.5, "It cannot be told from chance, on 40 features, whether people agree."),
        (-0.3, -0.5, -0.1, "People agree less than chance would, on 40 features: they mean different things"),
        (0.7, None, None, "People agree substantially, on 40 features: too few to tell it from chance."),
        (-0.2, None, None, "People agree no more than chance would, on 40 features: too few"),
    ],
)
def test_agreement_is_said_in_words(
    value: float | None, low: float | None, high: float | None, said: str
) -> None:
    figure = Agreement("alpha", value, 40, 80, low, high, "only one value was ever given")
    assert in_words(figure).startswith(said)


@pytest.mark.slow
def test_over_time_is_a_plot_and_undefined_where_it_is(run_page: Run, queue: int, store_path: Path) -> None:
    with Store.open(store_path) as store:
        for at in range(8, 16):  # after the first dispute, whose alpha has no variance to go by
            Labels(store, ANN).label(at, "one view", verdict=1 + at % 5)
            Labels(store, BO).label(at, "one view", verdict=1 + at % 5)
    test = run_page("disagreements.py")
    test.session_state["dispute_tab"] = "Agreement"
    sign(test, ANN)
    assert test.get("plotly_chart") and "People agree more than chance would" in shown(test)
