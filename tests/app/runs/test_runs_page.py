"""Runs over a tiny real model: kept by the pages that make them, opened again without the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.find.recipe import found_by, record
from app.prove.recipe import evaluated_by
from app.prove.recipe import record as evaluation_record
from app.runs.listing import figures_in_words, steering_in_words
from feature_db.runs import Runs
from sarm_core.steering import Steering

MAIN = Path(__file__).parents[3] / "app" / "main.py"
HOSTILE = "<script>alert(1)</script> $x$ **b** [l](u)"
ROWS = [
    {"prompt": f"question {i} {HOSTILE}", "chosen": f"good {i} " * (1 + i % 4), "rejected": f"bad {i}"}
    for i in range(24)
]
FILES = [(f"{HOSTILE}.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS).encode())]
FIND = {"source": "My pairs", "first": 1, "readers": [{}], "complement": False}
EVALUATE = {
    "source": "files", "kind": "pairs", "skip_bad": False, "complement": None, "reader": {}, "complement_reader": {},
}  # fmt: skip


def opened(page: str, **address: str) -> AppTest:
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.switch_page(f"app_pages/{page}.py")
    for name, value in address.items():
        script.query_params[name] = value
    script.run()
    assert not script.exception
    return script


@pytest.fixture(scope="module")
def runs(engine) -> dict[str, str]:
    """A contrast and two evaluations of one file, kept."""
    found = found_by(engine, FIND, FILES, None)
    made = {"find": record(found, FIND, FILES)}
    of = evaluated_by(engine, EVALUATE, FILES, None)
    for name, steering in (
        ("half", Steering(scale={i: 0.0 for i in range(0, engine.scorer.n_features, 2)})),  # noqa: C420
        ("none", Steering(scale={i: 0.0 for i in range(engine.scorer.n_features)})),  # noqa: C420
    ):
        made[name] = evaluation_record(of, of.outcome(steering), steering, EVALUATE, FILES)
    with engine.store() as store:
        return {name: Runs(store).keep(each, "ann") for name, each in made.items()}


@pytest.mark.slow
def test_a_reload_opens_what_was_found_and_evaluated_and_the_model_does_not_run(
    engine, runs, monkeypatch
) -> None:
    def never(*_args: object, **_named: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(type(engine.scorer), "encode", never)
    script = opened("find", run=runs["find"])
    assert not script.error and not script.warning
    assert script.session_state["found"].contrast.table.equals(
        found_by(engine, FIND, FILES, None).contrast.table
    )
    script = opened("evaluate", run=runs["half"])
    assert not script.error
    held = script.session_state["steering_state"].current
    with engine.store() as store:
        kept = Runs(store).get(runs["half"])
    assert json.loads(held.to_json()) == json.loads(kept.steering)
    total = script.session_state["evaluated"].outcome(held).comparison.scores.iloc[0]
    assert total["after"] == kept.figures["after"]
    assert any("Kept as a run" in link.proto.label for link in script.get("page_link"))


@pytest.mark.slow
def test_what_was_kept_is_shown_where_the_model_would_have_to_read(
    engine, runs, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("SARM_CACHE", str(tmp_path))
    script = opened("find", run=runs["find"])
    assert not script.error and "found" not in script.session_state
    assert any(button.key == "run_read_go" for button in script.button)
    assert len(script.dataframe) == 1
    script.button(key="run_read_go").click().run()
    assert not script.exception and "found" in script.session_state


@pytest.mark.slow
def test_the_table_lists_them_and_holds_one_against_the_other(engine, runs) -> None:
    script = opened("runs", base=runs["none"], run=runs["half"])
    table = script.dataframe[0].value
    assert set(table["kind"]) == {"found", "evaluated"}
    assert sorted(table["difference"])[-1] == "baseline" or "baseline" in set(table["difference"])
    text = " ".join(part.value for part in script.markdown)
    assert "On the 24 decisions that both have" in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    for kind in ("find", "none"):
        assert not opened("runs", run=runs[kind]).error
    gone = opened("runs", run="nobody")
    assert any("not in this store" in text.value for text in gone.warning)


@pytest.mark.slow
def test_that_features_were_found_on_these_items_is_still_said_after_a_reload(engine) -> None:
    of = evaluated_by(engine, EVALUATE, FILES, None)
    steering = Steering(scale={1: 0.0, 3: 0.0, 5: 2.0})
    made = evaluation_record(of, of.outcome(steering), steering, EVALUATE, FILES, found_here=True)
    with engine.store() as store:
        uid = Runs(store).keep(made)
    for page in ("evaluate", "runs"):
        assert any("found on these same items" in text.value for text in opened(page, run=uid).warning)


@pytest.mark.slow
def test_pressing_the_buttons_keeps_a_run_and_names_it_in_the_address(engine, text_model) -> None:
    script = opened("evaluate")
    script.button(key="eval_go").click().run()
    uid = script.query_params["run"]
    with engine.store() as store:
        run = Runs(store).get(uid)
        assert run.kind == "evaluation" and run.data == "the project's corpus"
        assert Runs(store).decided(uid) is not None
    assert steering_in_words(run) == "no steering" and figures_in_words(run).endswith("%")
    script = opened("learn")
    script.segmented_control(key="learn_source").set_value("The project's corpus").run()
    script.button(key="learn_go").click().run()
    uid = script.query_params["run"]
    again = opened("learn", run=uid)
    assert not again.error and "learned" not in again.session_state
    assert any("Learned from the project's corpus" in head.value.replace("\\", "") for head in again.header)
