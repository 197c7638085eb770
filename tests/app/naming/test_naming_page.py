"""The page Names by a model, with a real process beside it and a real server: budget first, start, stop, go on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.naming import job as jobs_of
from app.naming.job import Asked, Job, begin, jobs
from feature_db import ModelRecord
from sarm_core.cli.parser import COMMANDS, parser_of
from sarm_core.errors import SarmError
from sarm_core.score.scorer import Scorer
from tests.app.conftest import Run
from tests.sarm_core.name.naming_server import KEY, good, running
from tests.sarm_core.name.naming_store import naming_store


@pytest.fixture(autouse=True)
def own_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_of, "cache_folder", lambda *names: tmp_path.joinpath("jobs", *names))
    for name in ("SARM_NAME_URL", "SARM_NAME_MODEL", "SARM_NAME_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def filled(checkpoint: Path, load_once, tmp_path: Path) -> Path:
    """A store of the app's model with several answers a prompt."""
    scorer: Scorer = load_once(checkpoint)
    path = tmp_path / f"{scorer.fingerprint[:16]}.db"
    return naming_store(path, model=ModelRecord(scorer.fingerprint, "tiny", scorer.n_features))


def press(test, label: str):
    next(button for button in test.button if button.label == label).click()
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def waited(store: Path, seconds: float = 90) -> Job:
    until = time.monotonic() + seconds
    while (job := jobs(str(store))[0]).state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    return job


def words_of(test) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "success")
    return "\n".join(str(each.value) for kind in kinds for each in getattr(test, kind)).replace("\\", "")


def test_words_are_those_of_the_command() -> None:
    asked = Asked("store.db", "judge", "", (3, 7), 20, 12, 100, 2000, 1.5, 2.0, 8.0)
    options = parser_of(COMMANDS).parse_args(asked.words())
    assert (options.model, options.features, options.most, options.pairs) == ("judge", [3, 7], 20, 12)
    assert (options.most_requests, options.most_tokens, options.most_money) == (100, 2000, 1.5)
    assert (options.prompt_price, options.reply_price) == (2.0, 8.0)
    assert parser_of(COMMANDS).parse_args(Asked("s.db", "", "demo").words()).local == "demo"


def test_how_it_ended_is_what_its_log_says(tmp_path: Path) -> None:
    job = Job(tmp_path, Asked("store.db", "judge"), 0, 0.0)
    assert job.state == "stopped" and job.progress() is None
    log = tmp_path / "log.txt"
    log.write_text("error: no such store\n")
    assert (job.state, job.last_words()) == ("stopped", "no such store")
    log.write_text(
        "1,000 features by judge, prompts v1: about 12,000 requests, 1 tokens\n#7 failed: it is cut off\n"
        "400 of 1,000 features, 4,800 requests, 9,000 tokens used\n"
        "s.db: 399 of 1,000 features named by judge with prompt v1; of its 399 names 9 hold\n"
    )
    assert (job.state, job.progress()) == ("some failed", (400, 1000, "4,800 requests, 9,000 tokens"))
    assert job.failed() == [(7, "it is cut off")] and "about 12,000" in (job.estimate() or "")
    log.write_text(log.read_text() + "ended early: the limit is reached\n")
    assert (job.state, job.last_words()) == ("ended early", "the limit is reached")


@pytest.mark.slow
def test_without_an_endpoint_the_page_says_what_to_set(run_page: Run, filled: Path) -> None:
    test = run_page("naming.py")
    assert "SARM_NAME_URL" in words_of(test) and "SARM_NAME_KEY" in words_of(test)
    assert not [box for box in test.text_input if "key" in box.label.lower()]


@pytest.mark.slow
def test_the_budget_comes_first_and_the_names_after(run_page: Run, filled: Path, monkeypatch) -> None:
    monkeypatch.setenv("SARM_NAME_KEY", KEY)
    with running(good, KEY) as server:
        monkeypatch.setenv("SARM_NAME_URL", server.url)
        test = run_page("naming.py")
        assert "a key is in `SARM_NAME_KEY`" in words_of(test) and KEY not in words_of(test)
        test.text_input("naming_model").set_value("judge")
        test.number_input("naming_read").set_value(2.0)
        test.number_input("naming_wrote").set_value(8.0)
        press(test, "What would it cost?")
        assert "About 36 requests" in words_of(test) and "in money" in words_of(test)
        assert "No limit is set" in words_of(test) and not server.times
        press(test, "Start")
        job = waited(filled)
        assert job.state == "done", job.log()
        n = len(server.times)
        again = run_page("naming.py")  # a reload, or another session
        assert "1 of 3 names hold" in words_of(again) and "36 requests" in words_of(again)
        table = next(frame.value for frame in again.dataframe if "pairs right" in frame.value.columns)
        assert table["feature"].tolist()[0] == "#0" and table["holds"].tolist().count("yes") == 1
        again.text_input("naming_model").set_value("judge")
        press(again, "What would it cost?")
        assert "All of it was asked before" in words_of(again) and len(server.times) == n
    assert KEY not in words_of(again)
    for path in filled.parent.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_stop_keeps_what_is_done_and_go_on_asks_the_rest(run_page: Run, filled: Path, monkeypatch) -> None:
    def slow(asked):
        time.sleep(0.15)
        return good(asked)

    with running(slow) as server:
        monkeypatch.setenv("SARM_NAME_URL", server.url)
        monkeypatch.setenv("SARM_NAME_MODEL", "judge")
        test = run_page("naming.py")
        press(press(test, "What would it cost?"), "Start")
        with pytest.raises(SarmError, match="a naming is running"):
            monkeypatch.setattr("app.session.session.check_may_write", lambda _what: None)
            begin(jobs(str(filled))[0].asked)
        until = time.monotonic() + 60
        while len(server.times) < 6 and time.monotonic() < until:
            time.sleep(0.02)
        press(run_page("naming.py"), "Stop")
        job = waited(filled)
        assert (job.state, job.last_words()) == ("ended early", "stopped; the same command goes on from here")
        press(run_page("naming.py"), "Go on")
        assert waited(filled).state == "done"
        assert len(server.asked) == 36 and set(server.asked.values()) == {1}


@pytest.mark.slow
def test_what_cannot_be_is_said_and_nothing_starts(run_page: Run, filled: Path, monkeypatch) -> None:
    monkeypatch.setenv("SARM_NAME_URL", "http://127.0.0.1:9")
    test = run_page("naming.py")
    press(test, "What would it cost?")
    assert "name the model" in words_of(test)
    test.text_input("naming_model").set_value("judge")
    test.text_input("naming_features").set_value("3, <b>")
    press(test, "What would it cost?")
    assert "'<b>' is no feature of this model" in words_of(test)
    test.text_input("naming_features").set_value("2")
    press(test, "What would it cost?")
    assert "no feature has enough answers" in words_of(test)
    test.text_input("naming_features").set_value("")
    test.number_input("naming_money").set_value(1.0)
    press(test, "What would it cost?")
    assert "needs both prices" in words_of(test)
    assert not [button for button in test.button if button.label == "Start"] and not jobs(str(filled))
