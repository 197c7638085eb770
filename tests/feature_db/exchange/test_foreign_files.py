"""Files nobody vouches for, through the command line: taken in, or refused in one line with the store as it was."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureRecord, Store, SuggestionRecord
from feature_db.__main__ import main
from feature_db.label.labels import Labels
from feature_db.roles import People
from tests.feature_db.conftest import MODEL, make_harvest

ROOT = Path(__file__).parents[3]


def small_store(path: Path) -> None:
    harvest = make_harvest(30)
    chosen = {1, 2, 3, 4}
    with Store.open(path, create=MODEL) as store:
        store.import_harvest(
            [feature for feature in harvest["features"] if feature.id in chosen],
            harvest["texts"],
            harvest["encodings"],
            [example for example in harvest["examples"] if example.feature in chosen],
        )
        evidence = {"score": 4, "contexts": ["a"], "response": "r"}
        store.add_suggestions(
            [SuggestionRecord(i, "auto-label: gpt", f"words {i}", evidence) for i in chosen]
        )
        People(store).become_first_admin("ann")
        Labels(store, "ann").label(3, "refusals", category="safety")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and every file this program writes of it."""
    folder = tmp_path_factory.mktemp("exports")
    small_store(folder / "store.db")
    for format, name in (
        ("contexts", "contexts.json"),
        ("auto-labels", "auto.json"),
        ("csv", "features.csv"),
        ("parquet", "features.parquet"),
        ("events", "events.jsonl"),
        ("labels", "labels.csv"),
        ("neuronpedia", "np"),
    ):
        assert (
            main(["export", str(folder / "store.db"), "--format", format, "--out", str(folder / name)]) == 0
        )
    for kind in ("stored", "deflated", "lzma", "bzip2"):
        with zipfile.ZipFile(folder / f"{kind}.zip", "w", getattr(zipfile, f"ZIP_{kind.upper()}")) as archive:
            for batch in sorted((folder / "np").rglob("*.*")):
                archive.write(batch, batch.relative_to(folder / "np"))
    return folder


def imported(exports: Path, work: Path, file: Path, capsys: Any) -> tuple[int, str]:
    """Exit code and stderr of an import into a copy of the store, after what always has to hold."""
    store = work / "store.db"
    shutil.copy(exports / "store.db", store)
    before = store.read_bytes()
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code = main(["import", str(store), str(file), "--as", "ann"])
    error = capsys.readouterr().err
    assert code in (0, 2)
    if code == 2:
        assert error.startswith("error: ") and error.count("\n") == 1 and len(error) < 1_000, error
        assert error.strip().isprintable()
        assert store.read_bytes() == before
    else:
        # What was taken in can be shown and written again.
        for format in ("neuronpedia", "contexts", "csv"):
            out = work / format
            assert main(["export", str(store), "--format", format, "--out", str(out)]) == 0
            shutil.rmtree(out) if out.is_dir() else out.unlink()
    return code, error


# -- rows that hold what they should not -------------------------------------------------------------------

ODD = (
    *(
        '"--5"',
        '"+-3"',
        '"+"',
        '"²"',
        '"٣"',
        '"5 "',
        '"1e3"',
        "-1",
        "1e300",
        "-1e300",
        "1e308",
        "1e-320",
        "1e999",
    ),
    *(
        "NaN",
        "-Infinity",
        "null",
        "true",
        "[]",
        "{}",
        '""',
        '"\\ud800"',
        '"\\u0000"',
        '"\\u001b[2J"',
        "9" * 20,
    ),
    *("9" * 5_000, f'"{"9" * 5_000}"', "[" * 300 + "]" * 300, "[" * 20_000, '"=1+1"', "3", "4.5"),
)
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:e-?\d+)?|null|true|\[\]')


def spoilt(text: str, draw: Callable[..., Any]) -> str:
    """`text` with one to three of its values (keys included) replaced."""
    places = list(_VALUE.finditer(text))
    for place in sorted(
        draw(st.lists(st.integers(0, len(places) - 1), min_size=1, max_size=3, unique=True)), reverse=True
    ):
        text = text[: places[place].start()] + draw(st.sampled_from(ODD)) + text[places[place].end() :]
    return text


@pytest.mark.slow
@given(
    data=st.data(),
    name=st.sampled_from(["contexts.json", "auto.json", "features.csv", "events.jsonl", "labels.csv"]),
)
@settings(suppress_health_check=list(HealthCheck), max_examples=60, deadline=None)
def test_a_spoilt_file_is_taken_in_or_refused_in_one_line(
    exports: Path, tmp_path: Path, capsys: Any, data: Any, name: str
):
    text = (exports / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(spoilt(text, data.draw), encoding="utf-8")
    imported(exports, tmp_path, tmp_path / name, capsys)


@given(data=st.data(), kind=st.sampled_from(["features", "explanations", "activations"]))
@settings(suppress_health_check=list(HealthCheck), max_examples=40, deadline=None)
@pytest.mark.slow
def test_a_spoilt_batch_is_taken_in_or_refused_in_one_line(
    exports: Path, tmp_path: Path, capsys: Any, data: Any, kind: str
):
    out = tmp_path / "np"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(exports / "np", out)
    (batch,) = out.rglob(f"{kind}/*.gz")
    rows = gzip.decompress(batch.read_bytes()).decode().splitlines()[:4]
    place = data.draw(st.integers(0, len(rows) - 1))
    rows[place] = spoilt(rows[place], data.draw)
    batch.write_bytes(gzip.compress("\n".join(rows).encode()))
    imported(exports, tmp_path, out, capsys)


@given(
    name=st.sampled_from(
        ["stored.zip", "deflated.zip", "lzma.zip", "bzip2.zip", "features.parquet", "features.csv"]
    ),
    cuts=st.lists(
        st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=6
    ),
    near_end=st.booleans(),
)
@settings(suppress_health_check=list(HealthCheck), max_examples=75, deadline=None)
@pytest.mark.slow
def test_a_damaged_file_is_taken_in_or_refused_in_one_line(
    exports: Path,
    tmp_path: Path,
    capsys: Any,
    name: str,
    cuts: list[tuple[float, bytes, int]],
    near_end: bool,
):
    damaged = bytearray((exports / name).read_bytes())
    first = max(0, len(damaged) - 600) if near_end else 0  # where zip and Parquet keep their directory
    for place, new, old in cuts:
        at = first + int(place * (len(damaged) - first))
        damaged[at : at + old] = new
    (tmp_path / name).write_bytes(damaged)
    imported(exports, tmp_path, tmp_path / name, capsys)


@pytest.mark.slow
def test_a_member_without_a_name_is_refused(exports: Path, tmp_path: Path, capsys: Any):
    with zipfile.ZipFile(tmp_path / "nameless.zip", "w") as archive:
        archive.writestr("features/batch-0.jsonl", b"{}\n")
        archive.infolist()[0].filename = ""
    code = main(["import", str(exports / "store.db"), str(tmp_path / "nameless.zip"), "--as", "ann"])
    assert code == 2 and "a member without a name" in capsys.readouterr().err


# -- what each of them once was ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "c.json",
            '{"latent_context_map": {"--5": {"a": []}}}',
            "row latent_context_map/--5: the feature must be",
        ),
        (
            "a.json",
            '{"engine": "e", "results": {"+-1": {"explanation": "x"}}}',
            "row results/+-1: the feature",
        ),
        (
            "a.json",
            '{"engine": "e", "results": {"1": {"explanation": "x", "score": "--5"}}}',
            "row results/1: score",
        ),
        ("f.csv", "feature,max\n--5,1\n", "row 2: feature must be a whole number"),
        ("f.csv", "feature,max\n1,1e39\n", "row 2: max must fit float32"),
        (
            "f.csv",
            "feature,neighbours,neighbour_cosines\n1,[2],[1e300]\n",
            "row 2: neighbour_cosines must fit",
        ),
        (
            "f.csv",
            'feature,histogram_edges,histogram_counts\n1,"[1e307, 1e308]",[1]\n',
            "row 2: histogram_edges must fit",
        ),
        ("f.csv", "feature,max,max\n1,2,3\n", "two columns named max"),
        ("a.json", '{"engine": "e", "results": {"\\u001b[2J": {}}}', "results/\\x1b[2J: "),
    ],
)
def test_refused_in_one_line_with_its_row(
    exports: Path, tmp_path: Path, capsys: Any, name: str, content: str, words: str
):
    (tmp_path / name).write_text(content)
    code, error = imported(exports, tmp_path, tmp_path / name, capsys)
    assert code == 2 and words in error and str(tmp_path / name) in error


def test_an_engine_that_is_half_a_character_replaces_its_own_suggestions(
    exports: Path, tmp_path: Path, capsys: Any
):
    rows = {"engine": "\ud800", "results": {"1": {"explanation": "x"}}}
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert imported(exports, tmp_path, tmp_path / "a.json", capsys)[0] == 0
    assert main(["import", str(tmp_path / "store.db"), str(tmp_path / "a.json")]) == 0
    with Store.open(tmp_path / "store.db") as store:
        assert [s.text for s in store.suggestions("auto-label: \ufffd")] == ["x"]


def zip_of(exports: Path, change: Callable[[bytearray], None], method: int = zipfile.ZIP_STORED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for batch in sorted((exports / "np").rglob("*.*")):
            archive.write(batch, batch.relative_to(exports / "np"))
    data = bytearray(raw.getvalue())
    change(data)
    return bytes(data)


def set_field(data: bytearray, local: int, central: int, value: int) -> None:
    """Write a two-byte field of every member's header, in both of its places."""
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            data[at + offset : at + offset + 2] = value.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("change", "method"),
    [
        (lambda data: set_field(data, 6, 8, 1), zipfile.ZIP_STORED),
        (lambda data: set_field(data, 8, 10, 97), zipfile.ZIP_STORED),
        (lambda data: data.__setitem__(slice(120, 160), bytes(40)), zipfile.ZIP_LZMA),
    ],
    ids=["encrypted", "unknown compression", "damaged LZMA"],
)
def test_a_zip_that_cannot_be_unpacked_is_refused(
    exports: Path, tmp_path: Path, capsys: Any, change: Callable[[bytearray], None], method: int
):
    (tmp_path / "x.zip").write_bytes(zip_of(exports, change, method))
    code, error = imported(exports, tmp_path, tmp_path / "x.zip", capsys)
    assert code == 2 and "row 1: cannot be read" in error and str(tmp_path / "x.zip") in error


def test_parquet_with_damaged_text_or_impossible_dates_names_the_row(
    exports: Path, tmp_path: Path, capsys: Any
):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    bad_text = pa.array([b"1", b"\xff\xfe"], pa.binary()).view(pa.string())
    for name, column in (("t", bad_text), ("d", pa.array([None, 2**62], pa.timestamp("us")))):
        parquet.write_table(pa.table({"feature": [1, 2], "max": column}), tmp_path / f"{name}.parquet")
        code, error = imported(exports, tmp_path, tmp_path / f"{name}.parquet", capsys)
        assert code == 2 and f"{name}.parquet, row 2: cannot be read" in error


def test_events_are_told_from_features_by_their_header_and_need_an_admin(
    exports: Path, tmp_path: Path, capsys: Any
):
    shutil.copy(exports / "store.db", tmp_path / "store.db")
    for name in ("events.jsonl", "labels.csv"):
        command = ["import", str(tmp_path / "store.db"), str(exports / name)]
        assert main(command) == 2
        assert "--as NAME" in capsys.readouterr().err
        assert main([*command, "--as", "ann"]) == 0
        assert "1 known already" in capsys.readouterr().out


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_changed(tmp_path: Path):
    with Store.open(tmp_path / "store.db", create=MODEL) as store:
        store.import_harvest([FeatureRecord(1)])
    before = (tmp_path / "store.db").read_bytes()
    random.seed(0)
    words = ["".join(random.choices("abcdefghij", k=9)) for _ in range(80_000)]
    results = {"1": {"explanation": " ".join(words)}}
    (tmp_path / "a.json").write_text(json.dumps({"engine": "e", "results": results}))

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run(
        [sys.executable, "-m", "feature_db", "import", str(tmp_path / "store.db"), str(tmp_path / "a.json")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=little_room,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and "store.db" in done.stderr
    with Store.open(tmp_path / "store.db") as store:
        assert store.suggestions() == []
    assert (tmp_path / "store.db").read_bytes() == before
