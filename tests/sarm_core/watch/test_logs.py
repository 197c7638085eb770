"""Logs are read as their writers write them; what is half-written waits, what is wrong is refused with file and row."""

from __future__ import annotations

import json
import os
import time

import pandas as pd
import pytest

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Message
from sarm_core.watch.folder import LogFolder, NothingLogged
from sarm_core.watch.logs import LOGS, JsonLines, TRLParquet
from sarm_core.watch.logs.trl_parquet import unrendered
from sarm_core.watch.trainer_log import trainer_log


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


def trl(folder, step, rows, **columns):
    """A file as TRL's `log` writes it (trl 1.16, GRPOTrainer): a DataFrame of columns, `to_parquet`."""
    place = folder / "completions"
    place.mkdir(parents=True, exist_ok=True)
    table = {
        "step": [step] * len(rows),
        "prompt": [prompt for prompt, _ in rows],
        "completion": [said for _, said in rows],
        "steered_reward": [0.5] * len(rows),
        **columns,
        "advantage": [0.0] * len(rows),
    }
    path = place / f"completions_{step:05d}.parquet"
    pd.DataFrame(table).to_parquet(path)
    return path


def rows(*texts, prompt="Is it safe?"):
    return [(user(prompt), assistant(text)) for text in texts]


def said(answers):
    return [answer.conversation.answer if answer.conversation else None for answer in answers]


def line(step, completion, prompt="Is it safe?", **more):
    return json.dumps({"step": step, "prompt": prompt, "completion": completion, **more}) + "\n"


# -- TRL ---------------------------------------------------------------------------------------------------


def test_trl_s_files_are_found_in_the_run_s_folder_and_in_their_own(tmp_path):
    for step in (2, 1):
        trl(tmp_path, step, rows(f"{step} a", f"{step} b"), extra=["x", None], score=[float("nan"), 2.0])
    for source in (tmp_path, tmp_path / "completions"):
        reading = LogFolder(source).read()
        assert {step: said(answers) for step, answers in reading.steps.items()} == {
            1: ["1 a", "1 b"],
            2: ["2 a", "2 b"],
        }
    first = reading.steps[1][0]
    assert first.conversation.messages == (Message("user", "Is it safe?"), Message("assistant", "1 a"))
    assert first.figures == {"steered_reward": 0.5}  # neither texts nor NaN, and no advantage
    assert reading.steps[1][1].figures == {"steered_reward": 0.5, "score": 2.0}
    assert first.place[1] == 1 and first.place[0].endswith("completions_00001.parquet")


def test_strings_and_blank_completions_are_read_too(tmp_path):
    trl(tmp_path, 1, [("Is it safe?", "Yes."), ("Is it safe?", " "), ("Is it safe?", "No.")])
    assert said(LogFolder(tmp_path).read().steps[1]) == ["Yes.", None, "No."]


def test_a_file_that_is_being_written_waits_and_is_read_when_it_is_whole(tmp_path):
    trl(tmp_path, 1, rows("one"))
    path = trl(tmp_path, 2, rows("two"))
    whole = path.read_bytes()
    folder = LogFolder(tmp_path)
    for half in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(half)
        reading = folder.read()
        assert list(reading.steps) == [1] and reading.waiting == (path.name,) and not reading.bad
    path.write_bytes(whole)
    reading = folder.read()
    assert list(reading.steps) == [1, 2] and not reading.waiting


def test_one_that_stays_damaged_is_refused_with_its_name_or_left_out(tmp_path):
    trl(tmp_path, 1, rows("one"))
    path = trl(tmp_path, 2, rows("two"))
    path.write_bytes(path.read_bytes()[:-9])
    old = time.time() - 3600
    os.utime(path, (old, old))
    with pytest.raises(RowError, match=r"completions_00002\.parquet: .*not written to its end"):
        LogFolder(tmp_path).read()
    reading = LogFolder(tmp_path, skip_bad=True).read()
    assert list(reading.steps) == [1] and "completions_00002" in str(reading.bad[0])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"step": [1, 1.5]}, "'step' is 1.5"),
        ({"step": [1, None]}, "'step' is None"),
        ({"step": [1, -1]}, "'step' is -1"),
        ({"prompt": [user("Hi"), [{"role": "alien", "content": "x"}]]}, "unknown role 'alien'"),
        ({"prompt": ["Hi", None]}, "expected a string or a list"),
    ],
)
def test_a_wrong_row_is_refused_with_file_and_row(tmp_path, wrong, reason):
    path = tmp_path / "completions_00001.parquet"
    table = {"step": [1, 1], "prompt": ["Hi", "Hi"], "completion": ["a", "b"], **wrong}
    pd.DataFrame(table).to_parquet(path)
    with pytest.raises(RowError, match=f"row 2: .*{reason}") as caught:
        LogFolder(tmp_path).read()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_parquet_without_the_columns_is_refused(tmp_path):
    pd.DataFrame({"step": [1], "text": ["x"]}).to_parquet(tmp_path / "completions_00001.parquet")
    with pytest.raises(RowError, match=r"row 1: no 'prompt' and 'completion' \(it has 'step', 'text'\)"):
        LogFolder(tmp_path).read()


def test_completions_that_several_updates_use_count_once(tmp_path):
    """With num_iterations or steps_per_generation TRL logs them again and again."""
    for step, text in ((1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "a")):
        trl(tmp_path, step, rows(text, text + "!"))
    reading = LogFolder(tmp_path).read()
    assert list(reading.steps) == [1, 4, 6]
    assert any("steps 2, 3, 5" in note and "counted once" in note for note in reading.notes)


def test_files_of_an_earlier_run_are_told(tmp_path):
    for step in (1, 2, 3):
        path = trl(tmp_path, step, rows(f"{step}"))
        os.utime(path, (1000 + (0 if step == 3 else 100), 1000 + (0 if step == 3 else 100)))
    assert any("step 3" in note and "another run" in note for note in LogFolder(tmp_path).read().notes)


def test_a_file_without_rows_and_one_that_goes_away_are_nothing(tmp_path):
    trl(tmp_path, 1, rows("one"))
    empty, gone = trl(tmp_path, 2, []), trl(tmp_path, 3, rows("three"))
    folder = LogFolder(tmp_path)
    assert list(folder.read().steps) == [1, 3]
    gone.unlink()
    assert list(folder.read().steps) == [1] and empty.exists()


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("user\nHello\nassistant\n", [("user", "Hello")]),
        (
            "system\nBe brief.\nuser\nOne\n\ntwo\nassistant\n",
            [("system", "Be brief."), ("user", "One\n\ntwo")],
        ),
        ("user\nA\nassistant\nB\nuser\nC\nassistant\n", [("user", "A"), ("assistant", "B"), ("user", "C")]),
        ("user\nHello\nmodel\n", [("user", "Hello")]),
        ("system\n\nDate\n\nuser\n\nHelloassistant\n\n", [("system", "Date\n\n"), ("user", "Hello")]),
        ("user\n\nHelloassistant\n\n", [("user", "Hello")]),
        ("Is it safe?", None),
        ("Be my assistant\n", None),
        ("user\nnames are secret", None),
    ],
)
def test_rendered_prompts_of_older_versions_are_read_back_as_turns(text, turns):
    found = unrendered(text)
    assert found == (turns and [{"role": role, "content": said} for role, said in turns])


@pytest.mark.parametrize(
    "text",
    [
        "user\nThe roles are\nuser\nand\nassistant\nas ever\nassistant\n",
        "user\nHello\nassistant\n<think>\n\n</think>\n\n",
        "user\n\nOneassistant\n\nTwouser\n\nThreeassistant\n\n",
    ],
)
def test_a_rendered_prompt_with_two_meanings_is_refused(text, tmp_path):
    path = tmp_path / "completions_00001.parquet"
    pd.DataFrame({"step": [1], "prompt": [text], "completion": ["x"]}).to_parquet(path)
    with pytest.raises(RowError, match=r"row 1: 'prompt' looks like a rendered template"):
        LogFolder(tmp_path).read()


# -- JSONL -------------------------------------------------------------------------------------------------


def test_a_jsonl_that_grows_is_read_from_where_it_ended(tmp_path):
    path = tmp_path / "answers.jsonl"
    folder = LogFolder(tmp_path)
    path.write_text(line(0, "a", reward=1) + line(0, ""))
    assert said(folder.read().steps[0]) == ["a", None]
    with path.open("a") as file:
        whole = line(1, "ü" * 40, kl=0.5)
        file.write(whole[:30])
        file.flush()
        reading = folder.read()
        assert list(reading.steps) == [0] and any("half-written" in note for note in reading.notes)
        file.write(whole[30:])
        file.flush()
        reading = folder.read()
        assert said(reading.steps[1]) == ["ü" * 40] and not reading.notes
        assert reading.steps[1][0].figures == {"kl": 0.5} and reading.steps[1][0].place == (str(path), 3)
        file.write("\n{oops}\n")
        file.flush()
        with pytest.raises(RowError, match=r"answers\.jsonl, row 5"):
            folder.read()


def test_a_jsonl_that_begins_anew_is_read_anew(tmp_path):
    path = tmp_path / "answers.jsonl"
    folder = LogFolder(tmp_path)
    path.write_text(line(0, "a") + line(1, "b"))
    folder.read()
    path.write_text(line(0, "other") + line(1, "longer than before"))
    assert said(folder.read().steps[0]) == ["other"]
    path.write_text(line(0, "c"))
    assert list(folder.read().steps) == [0]


def test_a_last_line_without_its_end_counts_when_it_is_whole(tmp_path):
    (tmp_path / "a.jsonl").write_text(line(0, "a") + line(1, "b").rstrip("\n"))
    assert list(LogFolder(tmp_path).read().steps) == [0, 1]


def test_jsonl_in_any_shape_of_one_answer(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(
        json.dumps({"step": 1, "messages": [*user("Hi"), *assistant("Yes")]})
        + "\n"
        + json.dumps({"step": 2, "question": "Hi", "answer": "No", "system": "Be brief."})
        + "\n"
    )
    steps = LogFolder(path).read().steps
    assert said(steps[1]) == ["Yes"]
    assert steps[2][0].conversation.messages[0] == Message("system", "Be brief.")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"step": 1, "prompt": "Hi"}', "no 'response'"),
        ('{"prompt": "Hi", "completion": "a"}', "no 'step'"),
        ('{"step": true, "prompt": "Hi", "completion": "a"}', "'step' is True"),
        ('{"step": 1, "prompt": "Hi", "completion": "a", "images": ["x.png"]}', "'images'"),
        ("[1]", "not an object"),
    ],
)
def test_a_wrong_line_is_refused_with_file_and_row(tmp_path, bad, reason):
    path = tmp_path / "log.jsonl"
    path.write_text(line(0, "a") + bad + "\n")
    with pytest.raises(RowError, match=rf"log\.jsonl, row 2: .*{reason}"):
        LogFolder(tmp_path).read()


def test_other_files_beside_the_log_are_left_alone(tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "x", "chosen": "a", "rejected": "b"}\n')
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NothingLogged, match="holds no logged completions: it needs completions/"):
        LogFolder(tmp_path).read()
    (tmp_path / "log.jsonl").write_text(line(0, "a"))
    assert list(LogFolder(tmp_path).read().steps) == [0]
    with pytest.raises(SarmError, match="no such folder"):
        LogFolder(tmp_path / "nowhere").read()


def test_every_format_says_what_it_is():
    assert [type(log) for log in LOGS] == [TRLParquet, JsonLines]
    for log in LOGS:
        assert log.name and log.title and log.needs
    assert len({log.name for log in LOGS}) == len(LOGS)


# -- the trainer's own log ---------------------------------------------------------------------------------


def test_the_divergence_comes_from_the_latest_trainer_state(tmp_path):
    for folder, last in (("checkpoint-5", 5), ("checkpoint-10", 10)):
        (tmp_path / folder).mkdir()
        history = [
            {"step": step, "kl": step / 10, "rewards/mine/mean": 0.0} for step in range(1, last + 1)
        ] + [{"step": last, "train_loss": 0.1}]
        (tmp_path / folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    log = trainer_log(tmp_path)
    assert log.kl[10] == 1.0 and len(log.kl) == 10 and log.rewards == {"mine"}
    (tmp_path / "completions").mkdir()
    assert trainer_log(tmp_path / "completions") == log


@pytest.mark.parametrize("text", ["", "{", "[]", '{"log_history": 3}', '{"log_history": [{"step": "x"}]}'])
def test_a_trainer_state_that_says_nothing_is_no_error(tmp_path, text):
    (tmp_path / "trainer_state.json").write_text(text)
    assert not trainer_log(tmp_path).kl


def test_context_columns_that_a_reader_ignores_may_stand_there(tmp_path):
    (tmp_path / "log.jsonl").write_text(line(0, "a", images=["x.png"]))
    assert list(LogFolder(tmp_path, Reader(ignore=["images"])).read().steps) == [0]
