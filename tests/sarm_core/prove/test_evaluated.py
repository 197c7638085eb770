"""One experiment: from Python it gives what the command writes, it is checked before a model runs, it names files."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.cli.parser import main
from sarm_core.errors import RowError, SarmError
from sarm_core.prove.complement import file_complement
from sarm_core.prove.corpus import corpus_complement
from sarm_core.prove.evaluated import Experiment
from sarm_core.score.scorer import Scorer
from tests.sarm_core.tiny_models import text_checkpoint


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return load_sarm(text_checkpoint(folder / "tiny"))


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))


def write(name, rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Path(name)


def pairs(n=12):
    return [{"prompt": f"q {i}", "chosen": f"yes, {i}", "rejected": f"no {i * 3}"} for i in range(n)]


def others(n=8):
    return [{"prompt": f"other {i % 2}", "response": f"answer {i * 7}"} for i in range(n)]


def steering_for(of):
    load = np.abs(of.matrix.csr.toarray() * of.matrix.head).sum(0)
    return Steering(scale={int(i): -1.5 for i in np.argsort(-load)[:3]}, offset={0: 2.0})


@pytest.mark.slow
def test_python_and_the_command_it_names_give_the_same_figures(scorer):
    source = write("mine.jsonl", [*pairs(), {"prompt": "no answers"}])
    beside = file_complement(write("beside.jsonl", others()))
    experiment = Experiment.of_files("pairs", [source], skip_bad=True, complement=beside)
    of = experiment.encode(scorer)
    steering = steering_for(of)
    steering.write("s.json")
    body = of.report(steering, resamples=40, seed=3)
    words = shlex.split(of.command(scorer.checkpoint.source, body, "o.json", steering="s.json"))
    assert words[:4] == ["sarm", "evaluate", "pairs", "mine.jsonl"]
    assert main(words[1:]) == 0
    again = json.loads(Path("o.json").read_text())
    assert again.pop("command") == shlex.join(words) and again == json.loads(json.dumps(body))
    assert body["complement"]["file"]["name"] == "beside.jsonl" and body["bootstrap"]["resamples"] == 40
    found = of.outcome(steering, resamples=40, seed=3)
    assert found.moved_elsewhere.to_dict() == body["complement"]["collateral"]
    assert found.comparison.after.scores == body["scores_steered"]


def test_everything_is_read_and_refused_before_a_model_runs(scorer, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the model ran")

    good, bad = write("good.jsonl", pairs(2)), write("bad.jsonl", [{"a": 1}])
    monkeypatch.setattr(Scorer, "score", refuse)
    for make in (
        lambda: Experiment.of_files("pairs", [bad]),
        lambda: Experiment.of_files("nothing", [good]),
        lambda: Experiment.of_files("pairs", [good, good]),
        lambda: Experiment.of_files("pairs", [Path("absent.jsonl")]),
        lambda: Experiment.of_corpus("nothing"),
        lambda: file_complement(bad),
        lambda: file_complement(Path()),
    ):
        with pytest.raises(SarmError) as refused:
            make()
        assert "\n" not in str(refused.value)


def test_an_upload_goes_by_its_own_name_everywhere(scorer):
    source = write("0-tmp.jsonl", [*pairs(3), {"prompt": "p"}])
    beside = file_complement(write("1-tmp.jsonl", others(4)), "theirs.jsonl")
    names = {str(source): "mine <1>.jsonl"}
    experiment = Experiment.of_files("pairs", [source], skip_bad=True, complement=beside, names=names)
    of = experiment.encode(scorer)
    steering = Steering(scale={int(i): -1.0 for i in np.unique(of.matrix.csr.indices)})
    said = json.dumps(of.report(steering, resamples=0)) + of.title
    said += of.command("m", of.report(resamples=0), "o.json")
    assert "-tmp.jsonl" not in said and said.count("mine <1>.jsonl") >= 6 and "theirs.jsonl" in said
    assert str(experiment.benchmark.skipped[0]).startswith("mine <1>.jsonl, row 4: ")
    too_long = write("2-tmp.jsonl", [{"chosen_input_ids": [5], "rejected_input_ids": [10**9]}])
    unfit = Experiment.of_files("pairs", [too_long], names={str(too_long): "long.jsonl"})
    with pytest.raises(RowError, match=r"^long\.jsonl, row 1: "):
        unfit.encode(scorer)


@pytest.mark.slow
def test_the_corpus_is_encoded_once_for_every_question_about_it(scorer):
    refusals = Experiment.of_corpus("refusals").encode(scorer)
    assert refusals.n_reused == 0
    for again in (
        Experiment.of_corpus("quality").encode(scorer),
        Experiment.of_files("pairs", [write("a.jsonl", pairs(2))], complement=corpus_complement()).encode(
            scorer
        ),
    ):
        assert again.n_answers - again.n_reused in (0, 4)
    assert len(refusals.matrix) + len(refusals.complement.matrix) == refusals.n_answers
    assert refusals.complement.file == refusals.experiment.files[0]
