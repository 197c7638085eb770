"""Contracts over every registered row shape, and over the keys of rows: nothing that changes a score is passed over."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.errors import RowError, SarmError
from sarm_core.find.sides import from_pairs
from sarm_core.harvest.corpus import read_corpus
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.text.answer_sets import read_answers
from sarm_core.text.answers import Reader, conversation_of
from sarm_core.text.rows import Conversation, Message
from sarm_core.text.shapes import SHAPES, Fields, Shape
from sarm_core.text.shapes.base import all_pairs
from sarm_core.train.data import read_pairs, read_texts

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "cases" / "rows"


def rows_of(shape: Shape) -> list[Mapping[str, Any]]:
    return [shape.example] if isinstance(shape.example, Mapping) else list(shape.example)


def write(folder: Path, rows: list[Mapping[str, Any]]) -> Path:
    path = folder / "in.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


# -- the registry ------------------------------------------------------------------------------------------


@every_shape
def test_a_shape_reads_its_own_example_as_itself_and_uses_it_up(shape):
    for row in rows_of(shape):
        reader = Reader()
        found = reader.answers(row, preferences=True)
        assert reader._titles == {shape.title: 1}
        fields = Fields(row)
        again = shape.read(fields)
        assert again == found and found.answers
        assert set(fields.unread()) <= shape.known | {"model_a", "model_b"}
        assert Reader(form=shape.name).answers(row) == found


@every_shape
def test_weights_of_a_prompt_sum_to_one(shape):
    for row in rows_of(shape):
        found = Reader().answers(row)
        if found.pairs:
            assert sum(pair.weight for pair in found.pairs) == pytest.approx(1)
            numbers = {number for pair in found.pairs for number in (pair.better, pair.worse)}
            assert numbers <= set(range(len(found.answers)))


@every_shape
def test_every_reader_of_files_finds_the_same_answers(shape, tmp_path):
    path = write(tmp_path, rows_of(shape))
    wanted = [a.conversation for row in rows_of(shape) for a in Reader().answers(row).answers]
    assert list(read_answers(path).conversations) == list(dict.fromkeys(wanted))
    assert [text.conversation for text in read_texts(path)] == wanted
    harvested = [text for row in read_corpus([path]) for text in row.texts]
    assert [t.conversation.answer if t.conversation else t.plain for t in harvested] == [
        c.answer for c in wanted
    ]
    stated = list(
        Reader().pairs_of([("in", i, row) for i, row in enumerate(rows_of(shape), 1)], lambda _error: None)
    )
    if not stated:
        with pytest.raises(SarmError):
            list(read_pairs(path))
            Pairs.read(path)
        return
    assert [(p.chosen, p.rejected, p.weight) for p in read_pairs(path)] == [
        (p.chosen, p.rejected, p.weight) for p in stated
    ]
    benchmark = Pairs.read(path)
    compared = zip(benchmark.chosen, benchmark.rejected, strict=True)
    assert [(benchmark.conversations[a], benchmark.conversations[b]) for a, b in compared] == [
        (p.chosen, p.rejected) for p in stated
    ]
    sides = from_pairs(path)
    assert sides.chosen.conversations == tuple(p.chosen for p in stated)


def test_the_page_on_formats_is_what_the_registry_says():
    import runpy

    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    making = runpy.run_path(str(ROOT / "docs" / "make_formats.py"))
    assert making["whole"](page) == page, "run python docs/make_formats.py"
    made = making["section"]()
    examples = re.findall(r"```jsonl\n(.*?)```", made, re.DOTALL)
    for example in examples:
        for line in example.strip().splitlines():
            assert Reader().answers(json.loads(line)).answers


def test_a_format_that_there_is_not_is_named_with_a_close_one():
    with pytest.raises(SarmError, match=r"'nectr'.*use one of messages"):
        Reader(form="nectr")
    with pytest.raises(SarmError, match="did you mean 'llmbar'"):
        Reader(form="llmbr")


# -- grades, ranks and ties --------------------------------------------------------------------------------


@given(st.lists(st.none() | st.integers(0, 4), max_size=8))
def test_all_pairs_are_those_of_different_grade(grades):
    pairs, ties = all_pairs(grades)
    given_ = [(i, g) for i, g in enumerate(grades) if g is not None]
    wanted = {(i, j) for i, a in given_ for j, b in given_ if a > b}
    assert {(p.better, p.worse) for p in pairs} == wanted
    assert len(ties) == sum(a == b for n, (_, a) in enumerate(given_) for _, b in given_[:n])
    if pairs:
        assert sum(p.weight for p in pairs) == pytest.approx(1)


def test_ranks_count_down_and_grades_up_and_raters_are_averaged():
    ranked = {"prompt": "p", "answers": [{"answer": "a", "rank": 2}, {"answer": "b", "rank": 1}]}
    graded = {"prompt": "p", "responses": ["a", "b"], "ratings": [[1, 2], [5, 3]]}
    for row in (ranked, graded):
        (pair,) = Reader().pairs_of([("f", 1, row)])
        assert (pair.chosen.answer, pair.rejected.answer) == ("b", "a")


def test_graded_rows_of_one_prompt_are_compared_and_several_raters_are_averaged():
    rows = [("p", "a", 1), ("q", "x", 3), ("p", "b", 5), ("p", "a", 3), ("p", "c", 2), ("q", "y", 3)]
    reader = Reader()
    found = list(
        reader.pairs_of(
            [("f", i, {"prompt": p, "response": a, "rating": g}) for i, (p, a, g) in enumerate(rows, 1)]
        )
    )
    assert [(p.chosen.answer, p.rejected.answer, p.weight) for p in found] == [
        ("b", "a", 0.5),
        ("b", "c", 0.5),
    ]
    assert reader.ties == 2 and "2 pairs are ties" in " ".join(reader.said())


def test_ties_that_are_asked_for_are_pairs_that_share_the_weight_of_their_prompt():
    rows = [
        {"prompt": "p", "response_1": "a", "response_2": "b", "winner": "tie"},
        {"prompt": "q", "answers": ["x", "y", "z"], "scores": [1, 2, 2]},
        *({"prompt": "r", "response": answer, "rating": 4} for answer in ("d", "e")),
        {"prompt": "s", "response_1": "a", "response_2": "b", "preference_strength": 2},
    ]
    reader = Reader()
    found = list(reader.pairs_of([("f", i, row) for i, row in enumerate(rows, 1)], ties=True))
    assert [(p.chosen.answer, p.rejected.answer, p.weight, p.tie, p.strength) for p in found] == [
        ("a", "b", 1, True, None),
        ("y", "x", pytest.approx(1 / 3), False, None),
        ("z", "x", pytest.approx(1 / 3), False, None),
        ("y", "z", pytest.approx(1 / 3), True, None),
        ("b", "a", 1, False, 2),
        ("d", "e", 1, True, None),
    ]
    assert "3 pairs are ties: half a preference for each" in " ".join(reader.said())
    assert [p.tie for p in Reader().pairs_of([("f", i, row) for i, row in enumerate(rows, 1)])] == [False] * 3


def test_ties_and_contradictions_are_said():
    reader = Reader()
    rows = [
        {"prompt": "p", "response_1": "a", "response_2": "b", "winner": "tie"},
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {"prompt": "p", "chosen": "b", "rejected": "a"},
    ]
    assert len(list(reader.pairs_of([("f", i, row) for i, row in enumerate(rows, 1)]))) == 2
    said = "\n".join(reader.said())
    assert "1 pairs are ties" in said and "1 pairs contradict an earlier one" in said


# -- context -----------------------------------------------------------------------------------------------

TURNS = (Message("system", "Be brief."), Message("user", "Is it safe?"), Message("assistant", "Yes."))


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Be brief.", "prompt": "Is it safe?", "response": "Yes."},
        {"system_prompt": "Be brief.", "question": "Is it safe?", "answer": "Yes."},
        {"system": "Be brief.", "messages": [t.as_dict() for t in TURNS[1:]]},
        {"system": "Be brief.", "messages": [t.as_dict() for t in TURNS]},
        {"messages": [t.as_dict() for t in TURNS]},
        {"messages": json.dumps([t.as_dict() for t in TURNS])},
        {
            "system": "Be brief.",
            "conversations": [{"from": "human", "value": "Is it safe?"}, {"from": "gpt", "value": "Yes."}],
        },
        {
            "system": "Be brief.",
            "prompt": "Is it safe?",
            "completion": [{"role": "assistant", "content": "Yes."}],
        },
        {"messages": [{"role": t.role, "content": [{"type": "text", "text": t.content}]} for t in TURNS]},
    ],
)
def test_a_system_prompt_counts_wherever_it_stands(row):
    assert conversation_of(row) == Conversation(messages=TURNS)


def test_history_and_input_have_their_places():
    history = conversation_of({"history": [["Hi?", "Hello."]], "prompt": "And you?", "response": "Fine."})
    assert [(t.role, t.content) for t in history.messages] == [
        ("user", "Hi?"),
        ("assistant", "Hello."),
        ("user", "And you?"),
        ("assistant", "Fine."),
    ]
    alpaca = {"instruction": "Translate to German.", "input": "egg", "output": "Ei"}
    assert conversation_of(alpaca).messages[0].content == "Translate to German.\negg"
    assert conversation_of({**alpaca, "input": ""}).messages[0].content == "Translate to German."


CONTEXT = (
    "context",
    "images",
    "documents",
    "persona",
    "chat_history",
    "systemMessage",
    "retrieved_passages",
    "question",
)


@pytest.mark.parametrize("key", CONTEXT)
def test_context_without_a_fixed_place_is_refused_with_its_name_and_how_to_go_on(key):
    row = {"prompt": "Is it safe?", "response": "Yes.", key: "Anna has a red car."}
    with pytest.raises(RowError) as caught:
        conversation_of(row)
    assert repr(key) in str(caught.value) and f"--ignore {key}" in str(caught.value)
    left_out = conversation_of(row, Reader(ignore=[key]))
    assert left_out == conversation_of({"prompt": "Is it safe?", "response": "Yes."})
    placed = conversation_of(row, Reader(mapping={"system": key}))
    assert placed.messages[0] == Message("system", "Anna has a red car.")


def test_two_system_prompts_are_refused():
    with pytest.raises(RowError, match="another system prompt"):
        conversation_of({"system": "Be long.", "messages": [t.as_dict() for t in TURNS]})


def test_a_mapping_names_columns_and_says_which_is_missing():
    row = {"frage": "Is it safe?", "gut": "Yes.", "schlecht": "No."}
    reader = Reader(mapping={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"})
    (pair,) = reader.pairs_of([("f", 1, row)])
    assert (pair.chosen.answer, pair.rejected.answer) == ("Yes.", "No.")
    with pytest.raises(RowError, match=r"'frage'.*which --map names"):
        reader.answers({"prompt": "a"})


METADATA = {"id": 7, "source": "s", "score_chosen": 1.0, "tags": ["a"], "image_id": "x", "context_length": 5}
NOTHING = st.sampled_from(["", [], {}, "  "])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every key of a row, those of its inner objects too."""
    found = []
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        if isinstance(value, Mapping):
            found.append((*path, key))
        found += places(inner, (*path, key))
    return found


def permuted(value: Any, rng: random.Random) -> Any:
    """Objects with their keys in another order; lists keep theirs, which says something."""
    if isinstance(value, Mapping):
        keys_ = list(value)
        rng.shuffle(keys_)
        return {key: permuted(value[key], rng) for key in keys_}
    return [permuted(item, rng) for item in value] if isinstance(value, list) else value


def changed(row: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy of the row in which `change` was done to the object that holds the key at the path's end."""
    copy = json.loads(json.dumps(row))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    change(inner, path[-1])
    return copy


def rename(to: str) -> Any:
    def change(inner: dict[str, Any], key: str) -> None:
        inner[to.format(key=key)] = inner.pop(key)

    return change


def nest(inner: dict[str, Any], key: str) -> None:
    inner[key] = {"value": inner[key]}


def enlist(inner: dict[str, Any], key: str) -> None:
    inner[key] = [inner[key]]


def outward(inner: dict[str, Any], key: str) -> None:
    inner["data"] = {key: inner.pop(key)}


CHANGES = [
    *(rename(to) for to in ("{key}_x", "x_{key}", "{key}s", "my {key}", "Old{key}")),
    nest,
    enlist,
    outward,
]
EXAMPLES = [row for shape in SHAPES for row in rows_of(shape)]


def what_is_said(row: Any, reader: Reader) -> Any:
    """Answers, which of them are better, and labels."""
    found = reader.answers(row, preferences=True)
    return [a.conversation for a in found.answers], set(found.pairs), found.tied, found.good


@given(row=st.sampled_from(EXAMPLES), seed=st.integers(0, 1000), more=st.booleans())
def test_the_order_of_keys_and_metadata_beside_them_change_nothing(row, seed, more):
    rng = random.Random(seed)
    other = permuted({**row, **METADATA} if more else row, rng)
    assert what_is_said(other, Reader()) == what_is_said(row, Reader())
    reader = Reader()
    what_is_said(other, reader)
    assert not more or "tags" in " ".join(reader.said())


@given(
    data=st.data(), row=st.sampled_from(EXAMPLES), change=st.sampled_from(CHANGES), seed=st.integers(0, 1000)
)
def test_renaming_and_nesting_keys_never_change_what_is_read_silently(data, row, change, seed):
    """At any depth: the same answers and preferences, a refusal in one line, or a line that names the key."""
    path = data.draw(st.sampled_from(places(row)))
    other = permuted(changed(row, path, change), random.Random(seed))
    reader = Reader()
    try:
        found = what_is_said(other, reader)
    except RowError as error:
        assert str(error) and "\n" not in str(error)
        return
    before = {step for p in places(row) for step in p}
    touched = {str(path[-1]), *(str(step) for p in places(other) for step in p if step not in before)}
    said = " ".join(reader.said())
    assert found == what_is_said(row, Reader()) or any(key in said for key in touched), (other, said)


@given(row=st.sampled_from(EXAMPLES), key=st.sampled_from(CONTEXT), text=st.text(min_size=1), nothing=NOTHING)
def test_context_beside_any_shape_is_read_or_refused_and_an_empty_one_changes_nothing(
    row, key, text, nothing
):
    if key in row:
        return
    wanted = what_is_said(row, Reader())
    assert what_is_said({**row, key: None}, Reader()) == wanted
    value = text if text.strip() else nothing
    reader = Reader()
    try:
        found = what_is_said({**row, key: value}, reader)
    except RowError as error:
        assert "\n" not in str(error)
        assert what_is_said({**row, key: value}, Reader(ignore=[key])) == wanted
        return
    if value == text:
        # It was read, so the conversation is another one; or its shape knows it as no part, which is said.
        assert found != wanted or key in " ".join(reader.said())
    else:
        assert found == wanted


# -- the shared cases --------------------------------------------------------------------------------------

SAME = [
    ("system_as_column.jsonl", "system_as_message.jsonl"),
    ("hh_markup.jsonl", "hh_parsed.jsonl"),
    ("json_string_messages.jsonl", "bom.jsonl"),
    ("rows.csv", "rows.jsonl.gz"),
    ("rows.arrow", "rows.jsonl.zst"),
    ("rows_no_ending", "rows.csv"),
    ("sharegpt.jsonl", "parts_text.jsonl"),
]
REFUSED = {"context_column.jsonl": "'context'", "labels_semicolon.csv": None, "steering_bom.json": "'16'"}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
def test_the_shared_cases_are_read_or_refused_in_one_line():
    for path in sorted(CASES.iterdir()):
        reader, errors = Reader(), []
        for _, row in reader.rows(path, errors.append):
            try:
                assert reader.answers(row).answers
            except RowError as error:
                errors.append(error)
        for error in errors:
            assert "\n" not in str(error)
        if path.name in REFUSED:
            assert REFUSED[path.name] is None or REFUSED[path.name] in str(errors[0])
        elif path.name not in ("dropped_context.jsonl", "nan_array.json"):
            assert not errors, (path.name, errors)
    for one, two in SAME:
        assert read_answers(CASES / one).conversations == read_answers(CASES / two).conversations
