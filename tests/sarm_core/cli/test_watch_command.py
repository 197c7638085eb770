"""`sarm watch` on a folder that grows: what it says, what it leaves on disk, and that a kill costs nothing twice."""

from __future__ import annotations

import json
import signal
import time

import pytest

from sarm_core.cli.parser import main
from tests.processes import Program
from tests.sarm_core.tiny_models import chatml, reference_checkpoint
from tests.sarm_core.watch.test_logs import line, trl
from tests.sarm_core.watch.test_watch import texts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(reference_checkpoint(tmp_path_factory.mktemp("m") / "m", tokenizer=chatml()))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))


def grow(folder, *steps):
    for step in steps:
        trl(folder, step, texts(step))
    return str(folder)


def until(said, word):
    """Lines of a program up to one with `word`."""
    found = []
    for text in said:
        found.append(text)
        if word in text:
            return found
    raise AssertionError(f"it ended without {word!r}: {found}")


def test_once_says_the_sentence_and_the_table_and_writes_all_figures(model, tmp_path, capsys):
    run, out = grow(tmp_path / "run", 1, 8), tmp_path / "watch.json"
    assert main(["watch", run, "--model", model, "--once", "--out", str(out), "--json"]) == 0
    said = capsys.readouterr()
    assert "Mean reward " in said.err and "from step 1 to 8" in said.err
    assert "the changes add up to the rise" in said.err
    assert "2 points; 48 answers read by the model, 0 kept from before" in said.err
    made = json.loads(out.read_text())
    assert made == json.loads(said.out) and made["format"] == "sarm-watch/1"
    total = sum(feature["change"][1] for feature in made["features"]) + made["others"][1]
    assert total == pytest.approx(made["points"][1]["rise"]["value"], abs=1e-9)
    assert main(["watch", run, "--model", model, "--once"]) == 0
    assert "0 answers read by the model, 48 kept from before" in capsys.readouterr().err


def test_an_alarm_ends_in_3(model, tmp_path, capsys):
    run = grow(tmp_path / "run", 1, 8)
    assert (
        main(["watch", run, "--model", model, "--once", "--alarm", "z0.5", "--out", str(tmp_path / "w")]) == 3
    )
    assert "alarm: #" in capsys.readouterr().err
    assert json.loads((tmp_path / "w").read_text())["alarms"][0]["steps"] == [8]
    assert main(["watch", run, "--model", model, "--once", "--alarm", "z900"]) == 0
    # Without --once, --stop ends with the first.
    assert main(["watch", run, "--model", model, "--stop", "--alarm", "z0.5"]) == 3


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--alarm", "much"], "neither a share such as 0.5"),
        (["--alarm", "z0"], "neither a share"),
        (["--every", "0"], "positive whole number"),
    ],
)
def test_options_that_say_nothing_are_refused(words, reason, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["watch", str(tmp_path), "--once", *words])
    assert ended.value.code == 2 and reason in capsys.readouterr().err


def test_what_is_wrong_is_one_line_and_nothing_is_written(model, tmp_path, capsys):
    out = tmp_path / "watch.json"
    for folder, reason in (
        (tmp_path / "nowhere", "no such folder"),
        (tmp_path, "holds no logged completions"),
    ):
        assert main(["watch", str(folder), "--model", model, "--once", "--out", str(out)]) == 2
        assert reason in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--model", model, "--stop"]) == 2
    assert "--stop ends with the first alarm" in capsys.readouterr().err
    (tmp_path / "log.jsonl").write_text(line(0, "a") + '{"step": 1}\n')
    assert main(["watch", str(tmp_path), "--model", model, "--once", "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and "log.jsonl, row 2" in error
    assert not out.exists()


def test_it_follows_a_run_waits_for_half_a_file_and_ends_by_ctrl_c(model, tmp_path):
    run, out = tmp_path / "run", tmp_path / "watch.json"
    run.mkdir()
    words = [
        "watch",
        str(run),
        "--model",
        model,
        "--poll",
        "0.1",
        "--out",
        str(out),
        "--cache",
        str(tmp_path / "kept"),
    ]
    program = Program(*words)
    said = program.lines()
    until(said, "no completions yet, waiting")
    grow(run, 1)
    until(said, "step 1: mean reward")
    path = trl(run, 2, texts(2))
    whole = path.read_bytes()
    beside = run / "completions" / "half"
    beside.write_bytes(whole[:-40])
    path.unlink()
    beside.rename(path)
    told = until(said, "half-written")
    path.write_bytes(whole)
    told += until(said, "step 2: Mean reward")
    assert not [text for text in told if "rror" in text]
    program.signalled(signal.SIGINT)
    code, rest = program.ended()
    assert code == 0 and "48 answers read by the model, 0 kept" in rest and "equally long" in rest
    assert [point["steps"] for point in json.loads(out.read_text())["points"]] == [[1], [2]]


def test_after_a_kill_what_was_encoded_is_read_from_disk(model, tmp_path):
    run, kept = grow(tmp_path / "run", 1, 2), str(tmp_path / "kept")
    program = Program("watch", run, "--model", model, "--poll", "0.1", "--cache", kept)
    until(program.lines(), "step 2: Mean reward")
    program.signalled(signal.SIGKILL)
    assert program.ended()[0] == -signal.SIGKILL
    grow(tmp_path / "run", 3)
    again = Program("watch", run, "--model", model, "--once", "--cache", kept)
    code, rest = again.ended()
    assert code == 0 and "3 points; 24 answers read by the model, 48 kept from before" in rest


def test_names_come_from_a_store_and_cannot_move_the_terminal(tmp_path, capsys):
    """The demo's store names its features; a name is printed as text."""
    from sarm_core.cli.watch import _shown

    assert _shown("a\x1b[31m\nb") == "a\\x1b[31m\\nb"


def test_a_young_damaged_file_is_left_for_later_with_once(model, tmp_path, capsys):
    run = tmp_path / "run"
    grow(run, 1)
    path = trl(run, 2, texts(2))
    path.write_bytes(path.read_bytes()[:-40])
    began = time.monotonic()
    assert main(["watch", str(run), "--model", model, "--once"]) == 0
    assert "completions_00002.parquet is half-written" in capsys.readouterr().err
    assert time.monotonic() - began < 30


def test_a_store_names_features_with_what_has_to_be_said_beside_a_name(tmp_path, capsys, monkeypatch):
    """The embedded model and its own store; a feature without a name stays a number."""
    import lzma

    from sarm_core.demo import STORE

    monkeypatch.delenv("SARM_CACHE")
    store = tmp_path / "store.db"
    store.write_bytes(lzma.decompress(STORE.read_bytes()))
    rows = [line(step, f"No, {step}.", prompt="Why?") for step in (0, 1)]
    (tmp_path / "log.jsonl").write_text("".join(rows))
    assert main(["watch", str(tmp_path), "--once", "--store", str(store), "--top", "20"]) == 0
    said = capsys.readouterr().err
    assert " (suggested)”" in said and "(example)" not in said
