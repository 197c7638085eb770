"""The JSON Schemas: what the project writes they take, what they refuse its readers refuse."""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from feature_db import FeatureRecord, ModelRecord, RowError, Store, StoreError
from feature_db.exchange.event_files import export_events, export_labels, read_events
from feature_db.label.labels import CheckScore, Labels
from feature_db.roles import People
from sarm_core import SarmError, Steering
from sarm_core.report.evaluation_json import checked_evaluation
from sarm_core.steering import Group
from tests.docs.pages_of import ROOT
from tests.sarm_core import evaluations

SCHEMAS = ROOT / "docs" / "schemas"
M = 20
JUNK: list[Any] = [
    None, True, 0, -1, 3, 7, 1.5, 1e31, -1e40, 10**16, "", " ", "x", "3", "1234567890", "a b", [], {}, ["*", 2.0],
    ["=", "2"], [["*", 1.0]], [["*", 1.0], ["*", 2.0]], ["-", 1.0], {"features": [1]}, "n" * 10_001, "label", "vote",
]  # fmt: skip
KEYS = ["x", "7", "-1", "features", "groups", "format", "scale", "text", "steering", "total"]

_spec = importlib.util.spec_from_file_location("write_schemas", SCHEMAS / "write.py")
assert _spec is not None and _spec.loader is not None
write = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(write)


@functools.cache
def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))


@st.composite
def broken(draw: Any, documents: st.SearchStrategy[Any]) -> Any:
    """A document with up to three changes somewhere: a value replaced, taken away, given twice, or a key added."""
    whole = [copy.deepcopy(draw(documents))]
    for _ in range(draw(st.integers(1, 3))):
        # The way is drawn part by part, or nearly all would lead into the longest list.
        inside: Any = whole
        key: Any = 0
        while isinstance(inside[key], dict | list) and inside[key] and draw(st.integers(0, 4)):
            inside = inside[key]
            key = draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if how == "replace" or inside is whole:
            inside[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        elif how == "remove":
            del inside[key]
        elif isinstance(inside, dict):
            inside[draw(st.sampled_from(KEYS))] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        else:
            inside.insert(key, copy.deepcopy(inside[key]))
    return whole[0]


@pytest.mark.slow
def test_the_files_are_what_the_readers_check_with():
    for name, made in write.schemas().items():
        Draft202012Validator.check_schema(made)
        assert (SCHEMAS / name).read_text(encoding="utf-8") == write.text_of(made), (
            f"{name}: run python docs/schemas/write.py"
        )
    assert {path.name for path in SCHEMAS.glob("*.json")} == set(write.schemas())


# -- steering ------------------------------------------------------------------------------------------

numbers = st.floats(-1e4, 1e4, allow_nan=False)
ids = st.integers(0, 99_999)
steerings = st.builds(
    Steering,
    scale=st.dictionaries(ids, numbers, max_size=3),
    set=st.dictionaries(ids, numbers, max_size=3),
    offset=st.dictionaries(ids, numbers, max_size=3),
    groups=st.dictionaries(
        st.text(max_size=8),
        st.builds(Group, st.lists(ids, max_size=3, unique=True).map(tuple), st.floats(-10, 10)),
        max_size=2,
    ),
)
# What only a reader can know: numbers that stand for the same feature, products, 3.0 for 3.
BEYOND_THE_SCHEMA = re.compile(r"has two|too large|is not a feature number")


@pytest.mark.slow
@given(steerings)
def test_every_steering_that_is_written_fits_its_schema(steering):
    assert schema("steering").is_valid(json.loads(steering.to_json()))


@pytest.mark.slow
@settings(max_examples=150)
@given(broken(steerings.map(lambda steering: json.loads(steering.to_json()))))
def test_the_schema_of_a_steering_and_its_reader_refuse_the_same(data):
    fits = schema("steering").is_valid(data)
    try:
        Steering.from_json(json.dumps(data))
    except SarmError as error:
        assert not fits or BEYOND_THE_SCHEMA.search(str(error)), error
    else:
        assert fits


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"7": ["*"]},
        {"7": ["*", "2"]},
        {"7": ["/", 2.0]},
        {"7": ["*", 1e31]},
        {"seven": ["*", 2.0]},
        {"7": []},
        {"7": [["*", 1.0], ["*", 2.0]]},
        {"format": "sarm-steering/2", "features": {}},
        {"features": {}, "group": {}},
        {"groups": {"style": {"features": [1]}}},
        {"groups": {"style": {"features": [-1], "scale": 1.0}}},
    ],
)
def test_a_broken_steering_is_refused_by_both(data):
    assert not schema("steering").is_valid(data)
    with pytest.raises(SarmError):
        Steering.from_json(json.dumps(data))


# -- evaluation ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated() -> list[dict[str, Any]]:
    return [
        evaluations.evaluation(evaluations.pairs(24)),
        evaluations.evaluation(evaluations.rm_bench(8), evaluations.SET, complement=False),
        evaluations.evaluation(evaluations.reward_bench2(12), None, nan=2),
    ]


def test_an_evaluation_that_is_written_fits_its_schema(evaluated):
    for data in evaluated:
        assert [error.message for error in schema("evaluation").iter_errors(data)] == []


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_what_the_schema_of_an_evaluation_refuses_its_reader_refuses(evaluated, data):
    changed = data.draw(broken(st.sampled_from(evaluated)))
    if not schema("evaluation").is_valid(changed):
        with pytest.raises(SarmError):
            checked_evaluation(changed)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("format", "sarm-evaluation/2"),
        ("items", -1),
        ("scores", {}),
        ("bootstrap.confidence", 1),
        ("flips.0.direction", "drawn"),
        ("flips.0.row", "3"),
        ("model", None),
        ("collateral.answers", 1e3 + 0.5),
        ("steering", {"7": ["*", "much"]}),
        ("change", ...),
    ],
)
def test_a_broken_evaluation_is_refused_by_both(evaluated, place, value):
    data = copy.deepcopy(evaluated[0])
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    inside: Any = data
    for part in way:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    assert not schema("evaluation").is_valid(data)
    with pytest.raises(SarmError):
        checked_evaluation(data)


# -- label events and labels ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    """A store in which every kind of event happened."""
    path = tmp_path_factory.mktemp("store") / "tiny.db"
    with Store.open(path, create=ModelRecord("f" * 64, "tiny", M, {"layer": 2})) as store:
        store.import_harvest(FeatureRecord(i) for i in range(M))
        People(store).set_role(None, "root", "admin")
        ann, bob, root = (Labels(store, name) for name in ("ann", "bøb", "root"))
        label = ann.label(3, "refusals", verdict=4, confidence=0.5, check=CheckScore(["h"], [True], [False]))
        bob.vote(label, False, "no")
        bob.label(3, "lists", evidence=["a" * 64])
        bob.skip(4, "unclear")
        ann.flag(3, "look", label)
        ann.label(3, "polite refusals", note="shorter")
        ann.label(5, "wrong")
        ann.undo()
        ann.draft(6, {"text": "half a"})
        root.adjudicate(3, text="refusals", note="agreed")
        yield store


@pytest.fixture(scope="module")
def lines(store, tmp_path_factory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("exported")
    export_events(store, folder / "label-events.jsonl")
    export_labels(store, folder / "labels.jsonl")
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in folder.iterdir()
    }


def read(store: Store, folder: Path) -> Callable[[list[Any]], None]:
    """A reader of lines; raises what `import` would say."""

    def reader(rows: list[Any]) -> None:
        path = folder / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        list(read_events(store, path))

    return reader


@pytest.mark.parametrize("name", ["label-events", "labels"])
def test_every_exported_line_fits_its_schema(lines, name):
    assert [error.message for error in schema(name).iter_errors(lines[name])] == []
    if name == "label-events":
        kinds = {row.get("kind") for row in lines[name][1:]}
        assert kinds == {"label", "edit", "vote", "skip", "flag", "adjudicate", "undo", "draft"}


def unquoted(rows: Any) -> Any:
    """Whole numbers in quotes, which CSV files and spreadsheets leave behind, as the numbers they are read as."""
    rows = copy.deepcopy(rows)
    for row in rows[1:] if isinstance(rows, list) else ():
        for key in ("feature", "verdict"):
            if isinstance(row, dict) and isinstance(row.get(key), str) and row[key].strip().isdigit():
                row[key] = int(row[key])
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("name", ["label-events", "labels"])
@settings(max_examples=75, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_the_schema_of_labels_refuses_their_reader_refuses(store, lines, tmp_path_factory, name, data):
    changed = data.draw(broken(st.just(lines[name])))
    if isinstance(changed, list) and not schema(name).is_valid(unquoted(changed)):
        with pytest.raises((RowError, StoreError)):
            read(store, tmp_path_factory.getbasetemp())(changed)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("labels", {"kind": "vote", "verdict": 1, "about": "a"}),
        ("labels", {"kind": "skip"}),
        ("label-events", {"kind": "liked"}),
        ("label-events", {"uid": "two words"}),
        ("label-events", {"feature": -1}),
        ("label-events", {"annotator": " "}),
        ("label-events", {"verdict": 6}),
        ("label-events", {"verdict": -1}),
        ("label-events", {"confidence": 1.5}),
        ("label-events", {"text": None}),
        ("label-events", {"text": "t" * 2001}),
        ("label-events", {"data": []}),
        ("label-events", {"data": 0}),
        ("label-events", {"time": None}),
        ("label-events", {"kind": "edit", "supersedes": None}),
    ],
)
def test_a_broken_event_is_refused_by_both(store, lines, tmp_path, name, change):
    header, *rows = lines[name]
    label = next(row for row in rows if row["kind"] == "label")
    broken_rows = [header, {**label, **change}]
    read(store, tmp_path)([header, label])
    assert schema(name).is_valid([header, label]) and not schema(name).is_valid(broken_rows)
    with pytest.raises(RowError, match=r"rows\.jsonl"):
        read(store, tmp_path)(broken_rows)


def test_the_examples_of_the_formats_page_are_what_they_say():
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    text = text.partition("\n## Files of other programs")[0]
    one, groups, labels = re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for example in (one, groups):
        assert schema("steering").is_valid(json.loads(example)) and Steering.from_json(example)
    assert schema("labels").is_valid([json.loads(line) for line in labels.splitlines()])
