"""Export from the Model page: what it offers was loaded again and gives the steered rewards; refusals say why."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.session.engine import Choice, load_engine
from app.ship import export_view as export_section
from app.ship.exported import Exported, command_line, in_bytes
from sarm_core import load_sarm
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.ship.ship import FOLDED, README, trial_rows
from sarm_core.steering import Group, Steering
from tests.app.conftest import Run
from tests.app.demo_pages import checked
from tests.sarm_core.tiny_models import reference_checkpoint


@pytest.fixture
def page(run_page: Run, store_path: Path) -> AppTest:
    """The Model page of a session that has a comparison; nothing is steered."""
    test = run_page("compare.py")
    test.switch_page("app_pages/model.py")
    return checked(test.run())


def steer(test: AppTest, steering: Steering) -> AppTest:
    test.session_state["steering_state"].load(steering)
    return checked(test.run())


def made(test: AppTest) -> Exported | None:
    state = test.session_state
    return state["export_made"] if "export_made" in state else None  # noqa: SIM401  AppTest's has no get


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["own", "reference", "auto"])
def test_the_packed_model_gives_the_steered_rewards(
    page: AppTest, layout: str, tmp_path: Path, checkpoint: Path
) -> None:
    panel = page.session_state["steering_state"].panel
    steering = Steering(scale={panel[0]: -2.0}, groups={"g": Group((panel[0], panel[1]), 0.5)})
    page = steer(page, steering)
    page.segmented_control("export_layout").set_value(layout).run()
    assert made(page) is None
    checked(page.button("export_go").click().run())
    assert any("gives the steered rewards" in part.value for part in page.success)
    found = made(page)
    assert found is not None and found.check.holds and found.size == found.path.stat().st_size
    with zipfile.ZipFile(found.path) as archive:
        archive.extractall(tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    assert Steering.read(folder / FOLDED) == steering
    assert load_sarm(checkpoint).fingerprint in (folder / README).read_text()
    if layout != "auto":
        rows = page.session_state["comparison"].conversations()
        wanted = load_sarm(checkpoint).score(rows).steered(steering).rewards
        np.testing.assert_allclose(load_sarm(folder).score(rows).rewards, wanted, atol=1e-5)
    assert [path.name for path in found.path.parent.iterdir()] == [found.path.name]
    home = found.path.parent
    page = steer(page, Steering(scale={panel[1]: 0.0}))
    assert made(page) is None, "a file made of another steering is not offered"
    del found
    assert not home.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steering", "words"),
    [
        (Steering(set={3: 1.0}), "no head weight can express"),
        (Steering(offset={3: 1.0}), "would need a bias"),
    ],
)
def test_what_cannot_be_folded_is_refused_with_the_reason(
    page: AppTest, steering: Steering, words: str
) -> None:
    page = steer(page, steering)
    assert any(words in error.value for error in page.error)
    assert not [button for button in page.button if button.key == "export_go"]
    assert page.text_input("switch_source").value


def test_a_large_model_gets_the_command_line_instead(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_section, "LARGEST_DOWNLOAD", 1_000)
    checked(page.run())
    assert any("too large" in part.value for part in page.info)
    assert not [button for button in page.button if button.key == "export_go"]
    assert any("sarm export" in part.value for part in page.code)


@pytest.mark.slow
def test_a_full_disk_and_a_failing_check_are_said(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    import app.ship.exported as exported

    usage = exported.shutil.disk_usage("/")._replace(free=10)
    with monkeypatch.context() as patch:
        patch.setattr(exported.shutil, "disk_usage", lambda _: usage)
        checked(page.button("export_go").click().run())
        assert any("less room" in error.value for error in page.error)
        assert made(page) is None
    import sarm_core.ship.ship as shipping

    real = shipping.check_export

    def wrong(folder, *rest):  # type: ignore[no-untyped-def]
        check = real(folder, *rest)
        return replace(check, wanted=check.wanted + np.float32(0.01))

    monkeypatch.setattr(shipping, "check_export", wrong)
    checked(page.button("export_go").click().run())
    assert any("a reward differs by" in error.value for error in page.error), page.error
    assert made(page) is None


@pytest.mark.slow
def test_a_model_without_a_tokenizer_is_checked_on_token_ids(
    run_page: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wordless = reference_checkpoint(tmp_path / "wordless", n_features=64, k=6)
    monkeypatch.setenv("SARM_MODEL", str(wordless))
    page = run_page("model.py")
    checked(page.button("export_go").click().run())
    found = made(page)
    assert found is not None and found.check.holds and found.check.error < 1e-5
    scorer = load_engine(Choice(str(wordless))).scorer
    assert scorer.format is None and len(found.check.wanted) == len(trial_rows(scorer))


def test_the_command_line_quotes_what_a_shell_would_take_apart(tmp_path: Path) -> None:
    odd = open_checkpoint(reference_checkpoint(tmp_path / "a model; rm -rf ~"))
    line = command_line(odd, "auto")
    assert f"'{tmp_path}/a model; rm -rf ~'" in line and line.endswith(
        "--layout auto --out sarm-steered-auto"
    )
    assert "_Latent64_Layer2_K6_" in command_line(odd, "reference"), "the reference scripts read the name"
    assert [in_bytes(n) for n in (12, 92_871_040, 8_030_000_000)] == ["12 bytes", "92.9 MB", "8.03 GB"]


def test_what_a_killed_server_left_is_removed_and_what_a_living_one_holds_stays(
    page: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, living, other = (
        tmp_path / "scratch" / name
        for name in (f"sarm-export-{ended.pid}-abc", f"sarm-export-{os.getppid()}-abc", "sarm-export-x-abc")
    )
    for folder in (dead, living, other):
        folder.mkdir(parents=True)
        (folder / "file.zip").write_text("x")
    checked(page.button("export_go").click().run())
    assert not dead.exists()
    assert (living / "file.zip").exists() and (other / "file.zip").exists()
    found = made(page)
    assert found is not None and found.path.is_file()
