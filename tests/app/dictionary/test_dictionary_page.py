"""The page Dictionary on a tiny real model: what it says, where its rows lead, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.dictionary import reported
from feature_db import FeatureFilter, Store
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.conftest import N_FEATURES, Run
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

RESTS = "what the name rests on"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    reported._others().clear()
    reported._near_pairs().clear()


def tables(test, column: str) -> list:
    """The tables that have such a column."""
    return [frame.value for frame in test.dataframe if column in frame.value.columns]


def test_an_empty_store_says_what_to_run(run_page: Run) -> None:
    test = run_page("dictionary.py")
    assert any("keeps no encoded answers yet" in info.value for info in (*test.info, *test.warning))


def test_the_sentence_stands_above_the_tables(run_page: Run, store_path: Path) -> None:
    test = run_page("dictionary.py")
    assert not test.error
    said = [text.value for text in test.markdown]
    assert any("of the reward's mass falls on features with a name" in text for text in said)
    kinds = tables(test, RESTS)[0]
    assert kinds["features"].sum() == N_FEATURES
    assert kinds["of the mass"].sum() == pytest.approx(1)
    assert tables(test, "how named")[0]["feature"].iloc[0].startswith("#")
    assert tables(test, "fires at")[-1]["feature"].tolist() == ["#1"]
    assert len(test.get("download_button")) == 3


def test_another_dictionary_stands_beside_it_and_a_wrong_one_is_refused(
    run_page: Run, store_path: Path, tmp_path: Path
) -> None:
    other = reference_checkpoint(tmp_path / "other", n_features=48, k=6, tokenizer=chatml())
    test = run_page("dictionary.py", against=str(other))
    assert not tables(test, "of the mass there")
    test.button(key="dictionary_compare").click().run()
    assert not test.exception and not test.error, [error.value for error in test.error]
    parts = tables(test, "of the mass there")[0]
    assert parts.iloc[3, 1] + parts.iloc[4, 1] == N_FEATURES
    again = run_page("dictionary.py", against=str(other))
    assert tables(again, "of the mass there")[0].equals(parts), "a reload shows it without a press"
    deeper = reference_checkpoint(tmp_path / "deeper", layer=3, n_features=48, k=6, tokenizer=chatml())
    again.text_input(key="against").set_value(str(deeper)).run()
    again.button(key="dictionary_compare").click().run()
    assert [error.value for error in again.error] and "one place" in again.error[0].value
    assert any("of the reward's mass" in text.value for text in again.markdown), "the rest stays"


def test_labels_that_must_not_be_read_yet_count_as_none(run_page: Run, store_path: Path) -> None:
    def labels(test) -> list[int]:
        return tables(test, RESTS)[0]["features"].tolist()[:3]

    with Store.open(store_path) as store:
        People(store).set_role(None, "eve", "admin")
        Labels(store, "ann").label(9, "secret pattern", verdict=5)
    assert sum(labels(run_page("dictionary.py"))) == 1
    with Store.open(store_path) as store:
        Queues(store, "eve").make("all", FeatureFilter(ids=[9]), overlap=3)
    test = run_page("dictionary.py")
    assert sum(labels(test)) == 0
    assert not any("secret pattern" in str(frame.value.to_numpy()) for frame in test.dataframe)
