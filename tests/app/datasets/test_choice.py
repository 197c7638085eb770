"""Find, Evaluate and Learn on a kept data set give what they give on the uploaded file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.datasets.kept import keep
from app.find.found import find_in_upload
from app.prove.evaluation import evaluate_upload
from feature_db.datasets.datasets import DataSets
from sarm_core.find.sides import from_pairs
from sarm_core.text.answers import Reader

MAIN = Path(__file__).parents[3] / "app" / "main.py"
ROWS = [
    {
        "frage": f"question {i}",
        "gut": f"good {i} " * (1 + i % 4),
        "schlecht": f"bad {i}",
        "subset": "ab"[i % 2],
    }
    for i in range(24)
]
READER = Reader(mapping={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"})
DATA = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def kept(engine):
    made, _ = keep(engine, "mine.csv", [("mine.jsonl", DATA)], READER.again(), "")
    yield made
    with engine.store() as store:
        DataSets(store).delete(made.address, "")


def opened(page: str, **address: str) -> AppTest:
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.switch_page(f"app_pages/{page}.py")
    for name, value in address.items():
        script.query_params[name] = value
    script.run()
    assert not script.exception
    return script


@pytest.mark.slow
def test_find_on_a_slice_is_find_on_its_rows(engine, kept) -> None:
    script = opened("find", d=kept.address, ds="a")
    assert script.selectbox(key="find_source_data_set").value == f"d={kept.address}&ds=a"
    script.button(key="find_go").click().run()
    assert not script.exception and not script.error
    found = script.session_state["found"]
    data = "".join(json.dumps(row) + "\n" for row in ROWS[::2]).encode()
    reader = READER.again()
    same = find_in_upload(
        engine, [("x.jsonl", data)], lambda path: from_pairs(path, reader), "t", readers=[reader]
    )
    assert found.contrast.table.equals(same.contrast.table) and found.title.endswith("12 of 24 prompts")


@pytest.mark.slow
def test_evaluate_and_learn_read_it_as_it_was_read(engine, kept) -> None:
    script = opened("evaluate", d=kept.address)
    script.button(key="eval_go").click().run()
    assert not script.exception and not script.error
    of = script.session_state["evaluated"]
    same = evaluate_upload(engine, [("x.jsonl", DATA)], "pairs", reader=READER.again())
    assert of.outcome().comparison.scores.equals(same.outcome().comparison.scores)
    script = opened("learn", d=kept.address)
    script.button(key="learn_go").click().run()
    assert not script.exception and not script.error
    assert script.session_state["learned"].found.n_pairs == 12  # half of them teach


@pytest.mark.slow
def test_a_slice_chosen_by_the_models_verdict_carries_a_warning(kept) -> None:
    script = opened("evaluate", d=kept.address, dv="disagrees")
    assert any("were chosen because the model disagrees" in text.value for text in script.warning)
    assert not opened("evaluate", d=kept.address, ds="a").warning


@pytest.mark.slow
def test_who_leaves_the_data_set_for_something_else_leaves_its_address(kept) -> None:
    script = opened("learn", d=kept.address, ds="a")
    assert script.segmented_control(key="learn_source").value == "A data set"
    script.segmented_control(key="learn_source").set_value("My pairs").run()
    assert "d" not in script.query_params and "ds" not in script.query_params
    assert script.segmented_control(key="learn_source").value == "My pairs"
