"""The engine: its store, and that no page or command has an answer read that another one had read before."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.session import engine
from app.session.comparison import Comparison, from_texts
from app.session.engine import Choice, load_engine
from sarm_core.__main__ import main
from sarm_core.score.encoder import Encoder

PROMPT = "What should I read before the exam?"
CHOSEN, REJECTED = "Read the summary of each chapter first.", "No idea, sorry."
Run = Callable[..., AppTest]


def test_a_packed_store_is_unpacked_whole_and_never_over_another(tmp_path: Path) -> None:
    packed, path = tmp_path / "store.xz", tmp_path / "store.db"
    packed.write_bytes(lzma.compress(b"harvested" * 1000))
    engine._unpack(packed, path)
    assert path.read_bytes() == b"harvested" * 1000
    path.write_bytes(b"somebody's labels")
    engine._unpack(packed, path)
    assert path.read_bytes() == b"somebody's labels"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["store.db", "store.xz"]


# -- one cache of encoded answers --------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of every sequence that the model reads for its score."""
    lengths: list[int] = []
    encode = Encoder.encode

    def counting(self: Encoder, sequences: Any, *args: Any, **how: Any) -> Any:
        lengths.extend(len(sequence) for sequence in sequences)
        return encode(self, sequences, *args, **how)

    monkeypatch.setattr(Encoder, "encode", counting)
    return lengths


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two answers as rows to score and as a pair, and a cache of its own."""
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": PROMPT, "response": text} for text in (CHOSEN, REJECTED)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = [{"prompt": PROMPT, "chosen": CHOSEN, "rejected": REJECTED}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    return tmp_path


def answers() -> Comparison:
    return from_texts(PROMPT, [CHOSEN, REJECTED])


def scored_by_command(place: Path, model: Path, *options: str) -> list[dict[str, Any]]:
    out = place / "scored.jsonl"
    call = ["score", str(place / "rows.jsonl"), "--model", str(model), "--out", str(out)]
    assert main([*call, *options]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_what_a_command_scored_no_other_command_or_page_has_read_again(
    place: Path, checkpoint: Path, store_path: Path, run_page: Run, read: list[int], capsys: Any
) -> None:
    without = scored_by_command(place, checkpoint, "--no-cache")
    assert len(read) == 2
    first = scored_by_command(place, checkpoint)
    assert len(read) == 4
    read.clear()

    assert scored_by_command(place, checkpoint) == first == without  # bit by bit
    out, pairs = str(place / "out"), str(place / "pairs.jsonl")
    assert main(["evaluate", "pairs", pairs, "--model", str(checkpoint), "--out", f"{out}.json"]) == 0
    assert main(["contrast", pairs, "--model", str(checkpoint), "--out", f"{out}.csv"]) == 0
    started = load_engine(Choice(str(checkpoint)))
    page = started.score("page", answers().conversations())
    assert [float(reward) for reward in page.rewards] == [row["reward"] for row in first]
    for row, wanted in enumerate(first):
        ids, z = page.matrix.activations(row)
        shown = {f["feature"]: f["activation"] for f in wanted["features"]}
        assert dict(zip(ids.tolist(), z.tolist(), strict=True)) == shown

    with started.store() as store:
        session = store.save_session(answers().to_json())
        text = store.save_session(from_texts(PROMPT, [CHOSEN], (), "own text").to_json(), "own text")
    for name, address in (
        ("compare", {"a": session}),
        ("explain", {"a": session}),
        ("features", {"text": text}),
    ):
        load_engine.clear()  # as after a restart
        test = run_page(f"{name}.py", **address)
        assert not test.exception and not test.error, name
        assert not test.toast, name
    assert read == []


def test_what_a_page_scored_no_command_has_read_again(
    place: Path, checkpoint: Path, app_env: None, read: list[int]
) -> None:
    page = load_engine(Choice(str(checkpoint))).score("page", answers().conversations())
    assert len(read) == 2
    rows = scored_by_command(place, checkpoint)
    assert len(read) == 2
    np.testing.assert_array_equal(page.rewards, np.array([row["reward"] for row in rows], np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--dtype", "bfloat16"), ("--max-length", "20")])
def test_another_precision_or_length_shares_nothing(
    place: Path, checkpoint: Path, read: list[int], options: tuple[str, str]
) -> None:
    scored_by_command(place, checkpoint)
    scored_by_command(place, checkpoint, *options)
    assert len(read) == 4
    scored_by_command(place, checkpoint, *options)
    scored_by_command(place, checkpoint)
    assert len(read) == 4


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_one_note_and_no_failure(
    place: Path, checkpoint: Path, store_path: Path, run_page: Run, capsys: Any
) -> None:
    wanted = scored_by_command(place, checkpoint, "--no-cache")
    (place / "cache").write_text("in the way")
    plainly = capsys.readouterr().err.splitlines()
    assert scored_by_command(place, checkpoint) == wanted
    (note,) = [line for line in capsys.readouterr().err.splitlines() if line not in plainly]
    assert "cannot be written" in note
    test = run_page("compare.py")
    assert not test.exception and not test.error
    (note,) = [toast.value for toast in test.toast]
    assert "cannot be written" in note


def test_the_rate_is_of_what_the_model_read(place: Path, checkpoint: Path, app_env: None) -> None:
    first = load_engine(Choice(str(checkpoint)))
    first.score("page", answers().conversations())
    assert first.tokens_per_second is not None
    load_engine.clear()
    again = load_engine(Choice(str(checkpoint)))
    seen: list[int] = []
    again.score("page", answers().conversations(), lambda done, total: seen.append(total))
    assert again.tokens_per_second is None and seen == []  # nothing was read, and no bar shown
