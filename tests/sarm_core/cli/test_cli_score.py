"""`sarm score`: the contract other programs rely on, and one clear line for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.__main__ import main
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

ROOT = Path(__file__).parents[3]
TURNS = [{"role": "user", "content": "Is it safe?"}, {"role": "assistant", "content": "Yes."}]
GOOD = [
    {"id": "a", "prompt": "Is it safe?", "response": "Yes, if the room is aired."},
    {"id": 7, "messages": TURNS, "note": {"kept": [1, None, "é \u2028"]}, "label": True},
    {"question": "Is it safe?", "answer": "No!"},
    {"input_ids": [3, 5, 8, 13], "id": None},
    {"id": "a", "prompt": "Is it safe?", "response": "Same id, another answer."},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return reference_checkpoint(tmp_path_factory.mktemp("model") / "c", tokenizer=chatml())


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A checkpoint without tokenizer."""
    return reference_checkpoint(tmp_path_factory.mktemp("bare") / "c")


@pytest.fixture
def place(tmp_path):
    """A working folder with the good rows in `in.jsonl`."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOOD))
    return tmp_path


def score(place, model, *options, source="in.jsonl"):
    return main(
        ["score", str(place / source), "--model", str(model), "--out", str(place / "out.jsonl"), *options]
    )


def written(place):
    return [json.loads(line) for line in (place / "out.jsonl").read_text(encoding="utf-8").splitlines()]


def files(place):
    return sorted(p.name for p in place.iterdir())


# -- what is written -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_row_keeps_its_keys_and_gains_the_contract_s(place, model, capsys):
    assert score(place, model) == 0
    rows = written(place)
    assert len(rows) == len(GOOD)
    scored = load_sarm(model).score(GOOD)
    for i, (row, given) in enumerate(zip(rows, GOOD, strict=True)):
        assert {key: row[key] for key in given} == given
        assert set(row) - set(given) == {"reward", "n_active", "features"}
        assert row["reward"] == pytest.approx(float(scored.rewards[i]), abs=1e-5)
        assert row["n_active"] == 6 == len(row["features"])
        sizes = [abs(f["contribution"]) for f in row["features"]]
        assert sizes == sorted(sizes, reverse=True)
        assert sum(f["contribution"] for f in row["features"]) == pytest.approx(row["reward"], abs=1e-5)
        for f in row["features"]:
            assert set(f) == {"feature", "activation", "weight", "contribution"}
            assert f["activation"] * f["weight"] == pytest.approx(f["contribution"], rel=1e-6)
            assert f["weight"] == pytest.approx(float(scored.matrix.head[f["feature"]]), rel=1e-6)
    assert capsys.readouterr().out == ""
    assert files(place) == ["in.jsonl", "out.jsonl"]


def test_what_is_kept_is_not_said_to_be_unused(place, model, capsys):
    rows = [{"id": i, "source": "s", "prompt": "q", "response": "a", "reward": 9.0} for i in range(2)]
    pandas.DataFrame(rows).assign(blob=[b"x", b"y"]).to_parquet(place / "in.parquet")
    assert score(place, model, source="in.parquet") == 0
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("read as"))
    _, kept, unused = said.split("; ")
    assert kept == "kept, but no part of the score: id, source"
    assert unused == "not used: reward, blob (bytes)"  # written anew; JSON has no word for it
    for row, given in zip(written(place), rows, strict=True):
        assert {key: row[key] for key in ("id", "source")} == {key: given[key] for key in ("id", "source")}
        assert row["reward"] != 9.0 and "blob" not in row


@pytest.mark.slow
def test_steering_adds_one_key_and_changes_nothing_else(place, model):
    assert score(place, model) == 0
    plain = written(place)
    feature = plain[0]["features"][0]["feature"]
    steering = Steering(scale={feature: 3.0}, offset={0: 1.0})
    steering.write(place / "s.json")
    assert score(place, model, "--steering", str(place / "s.json")) == 0
    steered = written(place)
    wanted = steering.rewards(load_sarm(model).score(GOOD).matrix)
    np.testing.assert_allclose([row["reward_steered"] for row in steered], wanted, atol=1e-5)
    assert [{k: v for k, v in row.items() if k != "reward_steered"} for row in steered] == plain


def test_top_limits_the_features_and_not_the_count_of_active_ones(place, model):
    assert score(place, model, "--top", "2") == 0
    assert {(row["n_active"], len(row["features"])) for row in written(place)} == {(6, 2)}


def test_scoring_an_output_again_leaves_nothing_stale(place, model):
    Steering(scale={0: 2.0}).write(place / "s.json")
    assert score(place, model, "--steering", str(place / "s.json"), "--max-length", "3") == 0
    first = written(place)
    assert all("n_cut" in row for row in first)
    (place / "out.jsonl").rename(place / "again.jsonl")
    assert score(place, model, source="again.jsonl") == 0
    for row, given in zip(written(place), GOOD, strict=True):
        assert set(row) == {*given, "reward", "n_active", "features"}


def test_truncation_is_told_in_the_row_and_on_the_error_stream(place, model, capsys):
    assert score(place, model, "--max-length", "6") == 0
    cut = [row.get("n_cut", 0) for row in written(place)]
    assert cut[3] == 0 and all(n > 0 for i, n in enumerate(cut) if i != 3)
    assert "4 of 5 rows were longer than 6 tokens and were cut on the left" in capsys.readouterr().err


@pytest.mark.slow
def test_a_json_array_and_blank_lines_are_read_too(place, model):
    assert score(place, model) == 0
    wanted = written(place)
    (place / "array.json").write_text(json.dumps(GOOD))
    (place / "blank.jsonl").write_text("\n\n".join(json.dumps(row) for row in GOOD))
    for source in ("array.json", "blank.jsonl"):
        assert score(place, model, source=source) == 0
        assert written(place) == wanted


def test_more_rows_than_one_chunk_keep_their_order(place, model, monkeypatch):
    import sarm_core.score.score_file as module

    assert score(place, model, "--no-cache") == 0
    wanted = written(place)
    monkeypatch.setattr(module, "CHUNK", 2)
    assert score(place, model, "--no-cache") == 0
    for row, other in zip(written(place), wanted, strict=True):
        assert row["reward"] == pytest.approx(other["reward"], abs=1e-5)
        assert {k: row[k] for k in row if k not in ("reward", "features")} == {
            k: other[k] for k in other if k not in ("reward", "features")
        }


def test_the_input_may_be_its_own_output(place, model):
    assert (
        main(["score", str(place / "in.jsonl"), "--model", str(model), "--out", str(place / "in.jsonl")]) == 0
    )
    rows = [json.loads(line) for line in (place / "in.jsonl").read_text().splitlines()]
    assert len(rows) == len(GOOD) and all("reward" in row for row in rows)


# -- what is refused -------------------------------------------------------------------------------------

BAD = {
    "no keys": ("{}", "no keys at all"),
    "missing response": ('{"prompt": "a"}', "no 'response'"),
    "missing prompt": ('{"response": "a"}', "no 'prompt'"),
    "nothing known": ('{"texts": "a"}', "nothing to score"),
    "wrong type": ('{"prompt": "a", "response": 5}', "must be a string"),
    "messages of the wrong type": ('{"messages": "a"}', "must be a list"),
    "a message without content": ('{"messages": [{"role": "user"}]}', "'content'"),
    "an unknown role": ('{"messages": [{"role": "robot", "content": "a"}]}', "unknown role"),
    "empty answer": ('{"prompt": "a", "response": ""}', "is empty"),
    "blank answer": ('{"prompt": "a", "response": " \\n"}', "is empty"),
    "no assistant turn": ('{"messages": [{"role": "user", "content": "a"}]}', "no assistant turn"),
    "user last": (json.dumps({"messages": [*TURNS, TURNS[0]]}), "not 'assistant'"),
    "invalid JSON": ('{"prompt": "a",', "not valid JSON"),
    "not JSON at all": ("hello", "not valid JSON"),
    "a list": ("[1, 2]", "not an object"),
    "a number": ("3", "not an object"),
    "NaN": ('{"prompt": NaN, "response": "a"}', "NaN"),
    "half a character": ('{"prompt": "a", "response": "\\ud83d"}', "half of a character"),
    "doubled key": ('{"prompt": "a", "prompt": "b", "response": "c"}', "appears twice"),
    "empty ids": ('{"input_ids": []}', "is empty"),
    "negative id": ('{"input_ids": [-1]}', "-1"),
    "id out of vocabulary": ('{"input_ids": [300]}', "outside the vocabulary of 300"),
    "text as ids": ('{"input_ids": "12"}', "must be a list"),
    "context that is not read": ('{"context": "c", "prompt": "a", "response": "b"}', "'context' may belong"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_one_line_with_file_and_row_and_leaves_no_file(place, model, capsys, kind):
    line, words = BAD[kind]
    good = json.dumps(GOOD[0])
    (place / "in.jsonl").write_text(f"{good}\n\n{line}\n{good}\n")
    assert score(place, model) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    assert f"{place / 'in.jsonl'}, row 3: " in error and words in error
    assert files(place) == ["in.jsonl"]


def test_a_bad_row_leaves_the_former_output_as_it_was(place, model):
    (place / "out.jsonl").write_text("precious")
    (place / "in.jsonl").write_text(f"{json.dumps(GOOD[0])}\n{{}}\n")
    assert score(place, model) == 2
    assert (place / "out.jsonl").read_text() == "precious"
    assert files(place) == ["in.jsonl", "out.jsonl"]


def test_skip_bad_writes_the_good_rows_and_lists_each_bad_one(place, model, capsys):
    lines = [json.dumps(row) for row in GOOD]
    bad = [line for line, _ in BAD.values()]
    (place / "in.jsonl").write_text("\n".join([lines[0], *bad, *lines[1:]]) + "\n")
    assert score(place, model, "--skip-bad") == 0
    assert [row.get("id") for row in written(place)] == [row.get("id") for row in GOOD]
    read_as, *errors = capsys.readouterr().err.splitlines()
    assert read_as.startswith("read as a prompt and its response (3 rows); ") and read_as.endswith("id, note")
    assert len(errors) == len(bad) + 1 and errors[-1].startswith("5 rows written")
    for number, ((_, words), line) in enumerate(zip(BAD.values(), errors, strict=False), start=2):
        assert f"in.jsonl, row {number}: " in line and words in line
    assert files(place) == ["in.jsonl", "out.jsonl"]


def test_skip_bad_with_nothing_good_says_why_and_writes_nothing(place, model, capsys):
    (place / "in.jsonl").write_text('{"prompt": "a"}\n{}\n')
    assert score(place, model, "--skip-bad") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "none of its 2 rows" in error and "no 'response'" in error
    assert files(place) == ["in.jsonl"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no rows"),
        (b"\n \n", "no rows"),
        (b"PK\x03\x04xl", "Excel"),
        (b'{"prompt": "\xff"}', "not valid UTF-8"),
    ],
)
def test_a_file_that_is_no_rows_is_one_line(place, model, capsys, content, words):
    (place / "in.jsonl").write_bytes(content)
    assert score(place, model) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and "in.jsonl" in error
    assert files(place) == ["in.jsonl"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "/nowhere/at/all"], "no such folder"),
        (["--steering", "absent.json"], "absent.json: cannot be read"),
        (["--device", "banana"], "device 'banana' is not known"),
        (["--dtype", "int4"], "dtype 'int4' is not known"),
        (["--out", "/nowhere/at/all/out.jsonl"], "cannot be written"),
        (["--out", "."], "cannot be written"),
    ],
)
def test_a_wrong_option_is_one_line(place, model, capsys, options, words):
    source = str(place / "in.jsonl")
    assert main(["score", source, "--model", str(model), "--out", str(place / "o"), *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and "Traceback" not in error
    assert files(place) == ["in.jsonl"]


def test_a_missing_input_file_is_one_line(place, model, capsys):
    assert score(place, model, source="absent.jsonl") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "absent.jsonl: cannot be read" in error


def test_a_steering_for_another_model_is_refused_before_anything_is_written(place, model, capsys):
    Steering(scale={64: 2.0}).write(place / "s.json")
    assert score(place, model, "--steering", str(place / "s.json")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "feature 64 does not exist: this model has features 0 to 63" in error
    assert files(place) == ["in.jsonl", "s.json"]


def test_text_for_a_checkpoint_without_tokenizer_is_refused_and_ids_score(place, bare, capsys):
    assert score(place, bare) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "in.jsonl, row 1: the checkpoint ships no tokenizer" in error
    (place / "in.jsonl").write_text(json.dumps(GOOD[3]))
    assert score(place, bare) == 0
    assert len(written(place)) == 1


@pytest.mark.parametrize("options", [[], ["--top", "0"], ["--top", "x"], ["--max-length", "-1"]])
def test_a_wrong_call_exits_with_2_and_says_where_help_is(options, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["score", "in.jsonl", *options])
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("; see sarm score --help\n")


# -- as a program ----------------------------------------------------------------------------------------


def run(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "sarm_core", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_program_ends_with_2_and_one_line(place, model):
    (place / "in.jsonl").write_text(f"{json.dumps(GOOD[0])}\n{{\n")
    done = run("score", place / "in.jsonl", "--model", model, "--out", place / "out.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {place / 'in.jsonl'}, row 2: not valid JSON")
    assert files(place) == ["in.jsonl"]


@pytest.mark.slow
def test_export_then_score_gives_the_steered_rewards(place, model, capsys):
    Steering(scale=dict.fromkeys(range(20), 0.5)).write(place / "s.json")
    assert score(place, model, "--steering", str(place / "s.json")) == 0
    wanted = [row["reward_steered"] for row in written(place)]
    target = place / "exported"
    assert (
        main(["export", "--model", str(model), "--steering", str(place / "s.json"), "--out", str(target)])
        == 0
    )
    assert capsys.readouterr().out == f"{target}\n"
    assert score(place, target) == 0
    np.testing.assert_allclose([row["reward"] for row in written(place)], wanted, atol=1e-5)
