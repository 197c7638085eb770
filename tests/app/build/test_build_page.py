"""The Build page: a process beside the app, its log, and the curve of what it made; on a tiny backbone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from app.build.curve_chart import curve_chart, points_of
from app.build.job import Asked, Job, jobs, start
from sarm_core import load_sarm
from sarm_core.errors import SarmError
from tests.app.conftest import Run
from tests.sarm_core.tiny_models import backbone, chatml
from tests.sarm_core.train.test_build import dictionary, rows


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    dictionary(folder / "sae")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return folder


@pytest.fixture(autouse=True)
def own_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.build.job.cache_folder", lambda *names: tmp_path.joinpath("jobs", *names))


def asked(parts: Path, out: Path, **changes: object) -> Asked:
    made = Asked(
        (str(parts / "pairs.jsonl"),), str(parts / "tiny"), str(parts / "sae" / "layers.1"), str(out)
    )
    return Asked(**{**made.__dict__, **changes})


def waited(job: Job, seconds: float = 120) -> Job:
    until = time.monotonic() + seconds
    while job.state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    return job


def test_words_are_those_of_the_command(parts: Path, tmp_path: Path) -> None:
    from sarm_core.cli.parser import COMMANDS, parser_of

    made = asked(parts, tmp_path / "out", layer=2, features=7, ties="half")
    options = parser_of(COMMANDS).parse_args(made.words())
    assert (options.backbone, options.sae, options.layer, options.features) == (made.backbone, made.sae, 2, 7)
    assert options.ties == "half"
    assert [str(path) for path in options.pairs] == list(made.pairs) and str(options.out) == made.out


def test_progress_is_what_the_log_measured(parts: Path, tmp_path: Path) -> None:
    job = Job(tmp_path, asked(parts, tmp_path / "out"), 0, 0.0)
    assert job.progress() is None and job.state == "stopped"
    (tmp_path / "log.txt").write_text(
        "3,139 pairs\n  256 of 6,012 answers read, 12.5 a second, 460 s left\n"
        "  1,503 of 6,012 answers read, 1,250.0 a second, 4,361 s left\nerror: no room\n"
    )
    assert job.progress() == (0.25, 1250.0, 4361) and job.error() == "no room"


def test_the_curve_has_one_point_a_number_of_features() -> None:
    def point(n: int, loss: float, accuracy: float) -> dict:
        test = {"n": 9, "accuracy": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1}
        return {"n_features": n, "validation_loss": loss, "test": test}

    report = {
        "curve": [point(1, 0.6, 0.5), point(3, 0.5, 0.6), point(3, 0.4, 0.7), point(2, 0.45, 0.65)],
        "head": {**point(3, 0.4, 0.7), "test": {"all": {"accuracy": 0.7}}},
        "baselines": {"length": {"test": {"all": {"accuracy": 0.55}}}},
    }
    assert [each["n_features"] for each in points_of(report)] == [1, 2, 3]
    figure = curve_chart(report)
    assert list(figure.data[0].y) == [0.5, 0.65, 0.7]
    assert list(figure.data[0].error_y.array) == pytest.approx([0.1] * 3)
    assert list(figure.data[2].y) == [0.55, 0.55]


@pytest.mark.slow
def test_a_build_is_asked_for_watched_and_shown(run_page: Run, parts: Path, tmp_path: Path) -> None:
    test = run_page("build.py")
    test.text_input("build_paths").set_value(str(parts / "pairs.jsonl"))
    test.text_input("build_backbone").set_value(str(parts / "tiny"))
    test.text_input("build_sae").set_value(str(parts / "sae" / "layers.1"))
    test.text_input("build_out").set_value(str(tmp_path / "made"))
    next(button for button in test.button if button.label == "What are these?").click().run()
    assert any("sae/sparsify" in box.value.replace("\\", "") for box in test.info)
    next(button for button in test.button if button.label == "Build").click().run()
    (job,) = jobs()
    assert waited(job).state == "built", job.log()
    again = run_page("build.py")  # another session: the page was closed meanwhile
    assert any("held-out pairs in order" in text.value for text in again.markdown)
    assert any(button.label == "Open it on Compare" for button in again.button)
    head = job.report()["head"]
    assert (load_sarm(tmp_path / "made").head != 0).sum() == head["n_features"]
    with pytest.raises(SarmError, match="already exists"):
        start(job.asked)


@pytest.mark.slow
def test_a_refusal_is_one_line_on_the_page_and_a_stop_leaves_nothing(
    run_page: Run, parts: Path, tmp_path: Path
) -> None:
    refused = waited(start(asked(parts, tmp_path / "wide", layer=-1)))  # the quickest to be refused
    assert refused.state == "stopped" and "--layer" in (refused.error() or "")
    stopped = start(asked(parts, tmp_path / "gone"))
    stopped.stop()
    assert waited(stopped).state == "stopped"
    assert not (tmp_path / "gone").exists()
    test = run_page("build.py")
    assert any("layer" in box.value for box in test.error)
    assert any("stopped before a model was written" in box.value for box in test.warning)
