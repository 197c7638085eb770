"""A file of columns that nobody foresaw, on every page that takes rows: the person assigns them, with known figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.draw.columns import first_rows, first_values, without_options
from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.shapes import SHAPES
from tests.app.demo_pages import submit
from tests.sarm_core.cli.test_every_shape import Toy

ROOT = Path(__file__).parents[3]
KNOWN = ("prompt", "chosen", "rejected", "nr")
FOREIGN = ("frage", "gut", "schlecht", "nr")
AS = {"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}
ROWS = [
    ("Is it safe?", "Yes, if the room is aired.", "No! Never.", "7"),
    ("How are you?", "Fine, thank you.", "no idea, sorry", "8"),
]


def table(names: tuple[str, ...], rows: list[tuple[str, ...]] = ROWS) -> bytes:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()


def page(name: str) -> AppTest:
    script = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
    script.run()
    script.switch_page(f"app_pages/{name}.py").run()
    assert not script.exception
    return script


def give(script: AppTest, key: str, *files: tuple[str, bytes]) -> AppTest:
    box = script.file_uploader(key=key)
    box.set_value(
        [(*file, "text/plain") for file in files] if box.proto.multiple_files else (*files[0], "text/plain")
    )
    script.run()
    assert not script.exception
    return script


def press(script: AppTest, key: str) -> AppTest:
    next(button for button in script.button if button.key == key).click().run()
    assert not script.exception and not script.error, [error.value for error in script.error]
    return script


def assign(script: AppTest, key: str, **columns: str) -> AppTest:
    """What a person does with the columns of a foreign file: half of it first, which is refused."""
    assert script.error and not any("--" in error.value for error in script.error)
    assert script.dataframe[0].value.iloc[0].tolist() == ["frage", "Is it safe?"]
    assert "frage: Is it safe?" in script.selectbox(key=f"{key}_as_prompt").options
    for part, column in columns.items():
        script.selectbox(key=f"{key}_as_{part}").set_value(column)
        script = submit(script, f"{key}_columns", "Read with these columns")
        assert bool(script.error) == (part != list(columns)[-1])
    assert any("Read with these columns: Prompt" in caption.value for caption in script.caption)
    return script


def test_first_values_are_those_of_the_first_row_that_has_one():
    rows = first_rows(
        [("a.jsonl", b'{"a": null, "b": [1]}\n{"a": "x", "b": [2]}\n'), ("b.txt", b"{}"), ("c", b"\0")]
    )
    assert first_values(rows) == {"a": "x", "b": "[1]"}


@pytest.mark.parametrize(
    "row",
    [
        {"a": "x"},
        {"prompt": "x", "response": "y", "memory_context": "z"},
        {"prompt": "x", "response": "y", "documents": ["z"]},
        {
            "messages": [
                {"role": "user", "content": "x", "images": ["z"]},
                {"role": "assistant", "content": "y"},
            ]
        },
    ],
)
def test_an_error_on_a_page_names_no_option_of_a_command(row):
    with pytest.raises(RowError) as caught:
        Reader().answers(row)
    here = without_options(caught.value.at("--map, a.jsonl", 3))
    assert "--" in caught.value.reason and "--" not in here.removeprefix("--map, a.jsonl, row 3: ")
    assert here.startswith("--map, a.jsonl, row 3: ") and len(here) > 40
    assert without_options(SarmError("with --map x")) == "with --map x"


def found_on(script: AppTest, what: str) -> Any:
    of = script.session_state[what]
    if what == "found":
        return of.contrast.table.to_csv(), of.contrast.n_prompts
    if what == "rewritten":
        return of.of.matrix.rewards.tolist(), [tuple(pair) for pair in of.of.pairs]
    return of.matrix.rewards.tolist(), of.benchmark.items[0].answers, of.complement.matrix.rewards.tolist()


@pytest.mark.slow
def test_find_asks_what_the_columns_of_pairs_are(engine):
    script = page("find")
    script.segmented_control(key="find_source").set_value("My pairs").run()
    box = "find_files_My pairs_File"
    script = press(give(script, box, ("known.jsonl", table(KNOWN))), "find_go")
    wanted = found_on(script, "found")
    script = assign(give(script, box, ("foreign.jsonl", table(FOREIGN))), "find_My pairs_0", **AS)
    script = press(script, "find_go")
    assert found_on(script, "found") == wanted
    assert any("Read as preference pairs" in box.value for box in script.info)


@pytest.mark.slow
def test_find_asks_for_each_of_two_sets(engine):
    one, two = [row[:2] for row in ROWS], [row[:3:2] for row in ROWS]
    sets = [table(("prompt", "response"), rows) for rows in (one, two)]
    script = page("find")
    script.segmented_control(key="find_source").set_value("Two sets of answers").run()
    boxes = [f"find_files_Two sets of answers_{label}" for label in ("One set", "The other set")]
    for box, data in zip(boxes, sets, strict=True):
        script = give(script, box, ("known.jsonl", data))
    wanted = found_on(press(script, "find_go"), "found")
    script = give(script, boxes[0], ("a.jsonl", table(("frage", "gut"), one)))
    script = assign(script, "find_Two sets of answers_0", prompt="frage", response="gut")
    assert found_on(press(script, "find_go"), "found") == wanted
    script = give(script, boxes[1], ("b.jsonl", table(("frage", "schlecht"), two)))
    script = assign(script, "find_Two sets of answers_1", prompt="frage", response="schlecht")
    assert found_on(press(script, "find_go"), "found") == wanted


@pytest.mark.slow
@pytest.mark.parametrize("source", ["A bias, in my answers", "Styles of RM-Bench"])
def test_find_asks_for_answers_and_for_styles(source, engine):
    styles = [
        (q, [a, f"{a} So it is.", f"**{a}**"], [b, f"{b} So it is.", f"**{b}**"], n) for q, a, b, n in ROWS
    ]
    known, foreign, rows, columns = {
        "A bias, in my answers": (
            ("prompt", "response"),
            ("frage", "gut"),
            [row[:2] for row in ROWS],
            {"prompt": "frage", "response": "gut"},
        ),
        "Styles of RM-Bench": ((*KNOWN[:3], "domain"), (*FOREIGN[:3], "domain"), styles, AS),
    }[source]
    script = page("find")
    script.segmented_control(key="find_source").set_value(source).run()
    box = f"find_files_{source}_File"
    script = press(give(script, box, ("known.jsonl", table(known, rows))), "find_go")
    wanted = found_on(script, "found")
    script = assign(give(script, box, ("foreign.jsonl", table(foreign, rows))), f"find_{source}_0", **columns)
    assert found_on(press(script, "find_go"), "found") == wanted


@pytest.mark.slow
def test_rewrites_ask_what_the_columns_are(engine):
    script = page("find")
    tabs = next(one for one in script.segmented_control if "Harmless rewrites" in one.options)
    tabs.set_value("Harmless rewrites").run()
    script.segmented_control(key="rewrite_source").set_value("My pairs").run()
    script = press(give(script, "rewrite_file", ("known.jsonl", table(KNOWN))), "rewrite_go")
    wanted = found_on(script, "rewritten")
    script = assign(give(script, "rewrite_file", ("foreign.jsonl", table(FOREIGN))), "rewrite", **AS)
    assert found_on(press(script, "rewrite_go"), "rewritten") == wanted


@pytest.mark.slow
def test_evaluate_asks_what_the_columns_of_items_and_complement_are(engine):
    script = page("evaluate")
    script.segmented_control(key="eval_source").set_value("My files").run()
    script.segmented_control(key="eval_kind").set_value("pairs").run()
    script.segmented_control(key="eval_complement").set_value("my file").run()
    script = give(script, "eval_files", ("known.jsonl", table(KNOWN)))
    script = press(give(script, "eval_complement_file", ("known.jsonl", table(KNOWN))), "eval_go")
    wanted = found_on(script, "evaluated")
    script = assign(give(script, "eval_files", ("foreign.jsonl", table(FOREIGN))), "eval_pairs", **AS)
    script = assign(
        give(script, "eval_complement_file", ("foreign.jsonl", table(FOREIGN))), "eval_complement", **AS
    )
    script = press(script, "eval_go")
    assert found_on(script, "evaluated") == wanted
    assert script.session_state["evaluated"].experiment.reading == (
        "--map",
        "prompt=frage,chosen=gut,rejected=schlecht",
        "--ignore",
        "nr",
    )


@pytest.mark.slow
def test_a_benchmark_of_foreign_columns_is_asked_for_as_pairs_are(engine):
    rows = [("Is it safe?", ["56", "It is 56.", "**56**"], ["54", "It is 54.", "**54**"], "math")]
    script = page("evaluate")
    script.segmented_control(key="eval_source").set_value("My files").run()
    script.segmented_control(key="eval_kind").set_value("rm-bench").run()
    data = table(("frage", "gut", "schlecht", "domain"), rows)
    script = give(script, "eval_files", ("foreign.jsonl", data))
    assert script.error
    script = press(assign(script, "eval_rm-bench", **AS), "eval_go")
    of = script.session_state["evaluated"]
    assert [c.answer for c in of.benchmark.conversations] == [*rows[0][1], *rows[0][2]]
    assert "math" in {item.subset for item in of.benchmark.items}


@pytest.mark.slow
def test_one_bad_row_among_good_ones_does_not_stand_in_the_way(engine):
    script = page("evaluate")
    script.segmented_control(key="eval_source").set_value("My files").run()
    script.segmented_control(key="eval_kind").set_value("pairs").run()
    data = table(KNOWN) + b'{"prompt": "p", "chosen": "a"}\n'
    script = give(script, "eval_files", ("mine.jsonl", data))
    assert not script.error and any("row 3" in box.label for box in script.expander)
    script.toggle(key="eval_skip").set_value(True).run()
    script = press(script, "eval_go")
    assert len(script.session_state["evaluated"].benchmark.items) == 2


@pytest.mark.slow
def test_a_shape_of_one_class_is_read_by_a_page_without_being_asked_for(engine, monkeypatch):
    script = page("evaluate")
    script.segmented_control(key="eval_source").set_value("My files").run()
    script.segmented_control(key="eval_kind").set_value("pairs").run()
    script = press(give(script, "eval_files", ("known.jsonl", table(KNOWN))), "eval_go")
    wanted = script.session_state["evaluated"].matrix.rewards.tolist()
    monkeypatch.setattr("sarm_core.text.answers.SHAPES", [*SHAPES, Toy()])
    script = give(script, "eval_files", ("toy.jsonl", table(FOREIGN)))
    assert not script.error and not [box for box in script.selectbox if box.key == "eval_pairs_as_prompt"]
    script = press(script, "eval_go")
    assert script.session_state["evaluated"].matrix.rewards.tolist() == wanted
    assert any("toy pairs" in caption.value for caption in script.caption)
