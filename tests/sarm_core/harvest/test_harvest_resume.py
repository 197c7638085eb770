"""A harvest that is killed -9 at any moment and resumed gives the store of one that never was."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.cli.stores import harvest_into
from sarm_core.errors import SarmError
from sarm_core.harvest.corpus import read_corpus
from sarm_core.harvest.harvest import HarvestSettings, Workspace, harvest
from sarm_core.harvest.work import run_here
from tests.processes import Program
from tests.sarm_core.harvest.harvest_corpus import content, write_corpus, write_model

ROOT = Path(__file__).parents[3]
SETTINGS = HarvestSettings(top=5, chunk_texts=10)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def scorer(model):
    return load_sarm(model, dtype="float32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", n=60)


@pytest.fixture(scope="module")
def unbroken(scorer, corpus, tmp_path_factory):
    """(content of the store of an unbroken run, its milliseconds)"""
    database = tmp_path_factory.mktemp("unbroken") / "store.db"
    started = time.monotonic()
    harvest_into(database, scorer, [corpus], SETTINGS, checkpoint_seconds=0)
    return content(database), int(1000 * (time.monotonic() - started))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_random_moments_changes_nothing(model, corpus, unbroken, tmp_path, seed):
    wanted, milliseconds = unbroken
    database = tmp_path / "store.db"
    command = ["harvest", str(corpus), "--model", str(model), "--dtype", "float32", "--top", "5"]
    command += ["--chunk", "10", "--checkpoint-seconds", "0", "--resume", "--db", str(database)]
    dice, ends = random.Random(seed), []
    while len(ends) < 4 and 0 not in ends:
        program = Program(*command)
        time.sleep(dice.uniform(0.1, 1) * milliseconds / 1000)
        program.signalled(signal.SIGKILL)
        ends.append(program.ended()[0])
    if 0 not in ends:
        ends.append(Program(*command).ended()[0])
    assert ends == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    assert len(ends) > 1, "none was killed: the delays are too long"
    assert content(database) == wanted
    assert not Workspace(database).folder.exists()


class Stopped(Exception):
    """Stands for a kill at an exact point."""


def stopping_engine(scorer, n_results):
    """The local engine, which dies after `n_results` results."""
    left = [n_results]

    def run(work):
        for result in run_here(scorer)(work):
            if not left[0]:
                raise Stopped
            left[0] -= 1
            yield result

    return run


@pytest.mark.slow
def test_a_stop_after_every_single_result_changes_nothing(scorer, corpus, unbroken, tmp_path):
    wanted, _ = unbroken
    database = tmp_path / "store.db"
    stops = 0
    while True:
        try:
            harvest_into(
                database,
                scorer,
                [corpus],
                SETTINGS,
                engine=stopping_engine(scorer, 2),
                resume=True,
                checkpoint_seconds=0,
            )
            break
        except Stopped:
            stops += 1
    assert stops > 8
    assert content(database) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("where", ["import", "suggestions", "removal", "folder"])
def test_a_stop_while_the_store_is_written_changes_nothing(
    where, scorer, corpus, unbroken, tmp_path, monkeypatch
):
    from feature_db import Store

    wanted, _ = unbroken
    database = tmp_path / "store.db"

    def die(*_args, **_named):
        raise Stopped

    with monkeypatch.context() as patched:
        if where == "import":
            patched.setattr(
                "feature_db.harvest.staging._check_references", die
            )  # after all rows, before the commit
        elif where == "suggestions":
            patched.setattr(Store, "replace_suggestions", die)
        elif where == "removal":
            patched.setattr(Workspace, "remove", die)
        else:
            patched.setattr(
                "sarm_core.harvest.checkpoint_file.shutil.rmtree", die
            )  # its state is gone already
        with pytest.raises(Stopped):
            harvest_into(database, scorer, [corpus], SETTINGS)
    harvest_into(database, scorer, [corpus], SETTINGS, resume=True)
    assert content(database) == wanted
    assert not Workspace(database).folder.exists()


@pytest.mark.slow
def test_nothing_to_resume_is_said_and_nothing_encoded(
    model, scorer, corpus, unbroken, tmp_path, monkeypatch, capsys
):
    database, other = tmp_path / "store.db", write_corpus(tmp_path / "other.jsonl", n=20, seed=5)
    command = ["harvest", str(corpus), "--model", str(model), "--dtype", "float32", "--db", str(database)]
    command += ["--top", "5", "--chunk", "10"]
    assert main(command) == 0
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(
            "sarm_core.harvest.into_store.harvest", lambda *_args, **_named: pytest.fail("work began")
        )
        assert main([*command, "--resume"]) == 0
        assert capsys.readouterr().out == "nothing to resume: this corpus is in the store already\n"
    assert content(database) == unbroken[0] and not Workspace(database).folder.exists()
    # A corpus that was replaced since is not in the store any more, and other settings would find other texts.
    for paths, settings in (([other], SETTINGS), ([corpus], SETTINGS), ([corpus], HarvestSettings(top=4))):
        assert harvest_into(database, scorer, paths, settings, resume=True)
    assert harvest_into(database, scorer, [corpus], HarvestSettings(top=4)), (
        "without --resume it is done again"
    )


@pytest.mark.slow
def test_what_was_computed_for_the_store_is_not_computed_again(
    scorer, corpus, unbroken, tmp_path, monkeypatch
):
    from feature_db import Store

    def die(*_args, **_named):
        raise Stopped

    database = tmp_path / "store.db"
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Store, "import_harvest", die)
        harvest_into(database, scorer, [corpus], SETTINGS)
    for slow in (
        "sarm_core.harvest.harvest.decoder_neighbours",
        "sarm_core.harvest.cofiring.PositionSample.partners",
    ):
        monkeypatch.setattr(slow, die)
    monkeypatch.setattr(type(scorer), "tokens", die)
    harvest_into(database, scorer, [corpus], SETTINGS, resume=True)
    assert content(database) == unbroken[0]


@pytest.mark.slow
def test_a_text_that_was_edited_between_the_phases_is_not_traced_for_another(
    scorer, corpus, tmp_path, monkeypatch
):
    """An edit of equal length in the middle of a large file leaves its identity as it was."""
    monkeypatch.setattr("sarm_core.harvest.corpus._END_BYTES", 16)
    path = tmp_path / "corpus.jsonl"
    path.write_text(corpus.read_text())
    database = tmp_path / "store.db"
    n_chunks = -(-sum(len(row.texts) for row in read_corpus([path])) // SETTINGS.chunk_texts)
    with pytest.raises(Stopped):
        harvest_into(database, scorer, [path], SETTINGS, engine=stopping_engine(scorer, n_chunks))
    assert Workspace(database).read()[0]["stage"] == "trace"
    text = path.read_text()
    at = text.index("lamp", len(text) // 2)
    path.write_text(text[:at] + "oven" + text[at + 4 :])
    with pytest.raises(SarmError, match="the corpus changed while it was harvested"):
        harvest_into(database, scorer, [path], SETTINGS, resume=True)
    assert not database.exists()


def test_unfinished_work_is_not_overwritten_nor_mixed(scorer, corpus, tmp_path):
    database = tmp_path / "store.db"

    def start(settings=SETTINGS, paths=(corpus,), **options):
        harvest_into(
            database,
            scorer,
            paths,
            settings,
            engine=stopping_engine(scorer, 3),
            checkpoint_seconds=0,
            **options,
        )

    with pytest.raises(Stopped):
        start()
    with pytest.raises(SarmError, match="holds an unfinished harvest: add --resume"):
        start()
    with pytest.raises(SarmError, match="with another settings"):
        start(HarvestSettings(top=6, chunk_texts=10), resume=True)
    longer = write_corpus(tmp_path / "corpus.jsonl", n=81)
    with pytest.raises(SarmError, match="with another corpus"):
        start(paths=[longer], resume=True)
    assert not database.exists()


def test_two_harvests_into_one_store_do_not_meet(scorer, corpus, tmp_path):
    workspace = Workspace(tmp_path / "store.db")
    with (
        workspace.opened(resume=False),
        pytest.raises(SarmError, match="another harvest is going on there"),
    ):
        harvest_into(tmp_path / "store.db", scorer, [corpus], SETTINGS)


def test_a_damaged_checkpoint_is_refused_in_one_line(scorer, corpus, tmp_path):
    workspace = Workspace(tmp_path / "store.db")
    workspace.folder.mkdir()
    np.savez(workspace.folder / "x.npz", a=np.zeros(3))
    whole = (workspace.folder / "x.npz").read_bytes()
    for damaged in (b"", whole[:40], whole):
        workspace.state_file.write_bytes(damaged)
        with workspace.opened(resume=True), pytest.raises(SarmError, match="damaged"):
            harvest(scorer, [corpus], workspace, SETTINGS)


@pytest.mark.slow
def test_traces_without_a_checkpoint_are_not_taken_for_this_harvests(scorer, corpus, unbroken, tmp_path):
    workspace = Workspace(tmp_path / "store.db")
    workspace.folder.mkdir()
    np.save(workspace.trace_file(0), np.zeros(5, np.int32))
    harvest_into(tmp_path / "store.db", scorer, [corpus], SETTINGS)
    assert content(tmp_path / "store.db") == unbroken[0]
