"""The engine knows of no store but what it is handed: no import of one, no SQL; the store keeps its side."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sarm_core
from feature_db import ExampleRecord, FeatureRecord, ModelRecord, Store, StoreError, TextRecord
from sarm_core.harvest.store_protocol import HarvestStore, ModelFacts, NoteStore

ENGINE = Path(sarm_core.__file__).parent
STORE = ENGINE.parent / "feature_db"
_SQL = re.compile(
    r"\b(SELECT\s+\S.*?\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|DELETE\s+FROM\s|UPDATE\s+\S+\s+SET\s|PRAGMA\s|"
    r"(CREATE|DROP|ALTER)\s+(\w+\s+)?(TABLE|VIEW|INDEX|TRIGGER)\s|json_(extract|each)\()",
    re.DOTALL,
)
_VERBS = re.compile("SELECT|INSERT|DELETE|UPDATE|PRAGMA|CREATE|DROP|ALTER|json_")


def modules(package: Path) -> list[Path]:
    return [
        path for path in sorted(package.rglob("*.py")) if "cli" not in path.relative_to(package).parts[:-1]
    ]


def imported(module: ast.AST) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def sql_in(path: Path) -> list[str]:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source if _VERBS.search(source) else "")
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and _SQL.search(text)]


@pytest.mark.slow
def test_no_room_of_the_engine_but_its_command_line_imports_a_store_or_sqlite():
    assert len(modules(ENGINE)) > 90
    for path in modules(ENGINE):
        source = path.read_text(encoding="utf-8")
        if "feature_db" not in source and "sqlite" not in source:
            continue
        roots = {name.split(".")[0] for name in imported(ast.parse(source))}
        assert not roots & {"feature_db", "sqlite3", "sqlite_utils"}, path


def test_a_command_imports_the_store_only_when_it_runs():
    for path in sorted((ENGINE / "cli").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        above = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        roots = {
            name.split(".")[0] for node in above for name in imported(ast.Module([node], type_ignores=[]))
        }
        assert not roots & {"feature_db", "sqlite3"}, path


@pytest.mark.slow
def test_no_room_of_the_engine_writes_sql():
    for path in sorted(ENGINE.rglob("*.py")):
        assert sql_in(path) == [], path
    # What looks for it finds it where it is.
    assert sql_in(STORE / "features/evidence.py") and sql_in(STORE / "sqlite/steps/m001_store.py")


def test_the_store_is_what_the_engine_asks_for(tmp_path: Path):
    path = tmp_path / "a.db"
    assert vars(ModelFacts("f", "m", 2, {"k": 1})) == vars(ModelRecord("f", "m", 2, {"k": 1}))
    texts = [TextRecord([{"role": "user", "content": c}], None, [c], None, "chat") for c in "abc"]
    examples = [
        ExampleRecord(1, 0, "top", 0, "label", 3.0, 0),
        ExampleRecord(1, 1, "band", 0, "check", 2.0, 0, band=0),
        ExampleRecord(1, 2, "silent", 0, "check"),
        ExampleRecord(0, 1, "silent", 0, "label"),
        ExampleRecord(0, 0, "band", 0, "label", -1.0, 0, band=0),
    ]
    with Store.open(path, create=ModelRecord("f", "m", 2)) as opened:
        store: HarvestStore = opened  # the type checker holds the rest
        assert store.imports() == [] and store.sample_texts(2) == []
        store.import_harvest(
            [FeatureRecord(0), FeatureRecord(1)], texts, (), examples, source="c", header={"run": "x"}
        )
        assert [made.header for made in store.imports("harvest")] == [{"run": "x"}]
        assert store.imports("csv") == [] and store.imports(since=store.imports()[-1].id) == []
        kinds = [(place.feature, place.kind, place.purpose) for place in store.places()]
        assert kinds == [
            (0, "silent", "label"),
            (1, "top", "label"),
            (1, "band", "check"),
            (1, "silent", "check"),
        ]
        assert [store.text(text).tokens for text in store.sample_texts(1)] == [["b"], ["c"]]
        assert (store.n_exemplified(), store.n_exemplified(firing=True)) == (2, 2)
        store.replace_suggestions("m", [])


def test_a_store_that_is_only_read_stays_as_it_was_and_alone(tmp_path: Path):
    path = tmp_path / "a.db"
    with Store.open(path, create=ModelRecord("f", "m", 2)) as made:
        made.import_harvest([FeatureRecord(0, density=0.5)])
    before = path.read_bytes()
    with Store.read_only(path) as opened:
        notes: NoteStore = opened
        assert notes.densities_of([0]) == {0: 0.5} and notes.model.fingerprint == "f"
        with pytest.raises(StoreError, match="may not be written"):
            opened.make_list("x")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    (tmp_path / "b.db").write_bytes(b"no store")
    for wrong, words in (("b.db", "cannot be used as a store"), ("none.db", "no such store")):
        with pytest.raises(StoreError, match=words):
            Store.read_only(tmp_path / wrong)
