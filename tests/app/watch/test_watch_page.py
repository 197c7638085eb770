"""Watch a run: only runs below a root, hostile texts as text, and first and last answers that open elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from app.watch.roots import allowed, roots, runs
from sarm_core.errors import SarmError
from tests.app.conftest import Run
from tests.sarm_core.watch.test_logs import line, trl
from tests.sarm_core.watch.test_watch import texts

HOSTILE = "<img src=x onerror=alert(1)> **bold** $x$ [link](javascript:alert(1))"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder below which runs may be watched."""
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("SARM_RUNS", str(folder))
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    st.cache_resource.clear()
    return folder


def grow(folder: Path, *steps: int) -> None:
    for step in steps:
        trl(folder, step, texts(step))


def test_runs_below_the_roots_are_found_the_last_changed_first(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(root / "one", 1)
    grow(root / "deep" / "two", 1)
    (root / "other").mkdir()
    assert runs() == ["deep/two", "one"]
    assert allowed("one") == root / "one" and allowed(str(root / "deep" / "two")) == root / "deep" / "two"
    second = tmp_path / "second"
    grow(second / "three", 1)
    monkeypatch.setenv("SARM_RUNS", f"{root}:{second}")
    assert allowed("three") == second / "three" and set(runs()) == {"one", "deep/two", "three"}
    monkeypatch.delenv("SARM_RUNS")
    assert roots() == [Path("runs").resolve()]


@pytest.mark.parametrize(
    "text", ["..", "../secret", "/etc", "/etc/passwd", "one/../../secret", "a\0b", "x" * 5000, "~"]
)
def test_folders_outside_are_refused_alike_whether_they_are_there_or_not(
    root: Path, tmp_path: Path, text: str
) -> None:
    grow(tmp_path / "secret", 1)
    with pytest.raises(SarmError) as there:
        allowed(text)
    with pytest.raises(SarmError) as absent:
        allowed("../never-made")
    assert str(there.value) == str(absent.value) and "secret" not in str(there.value)


def test_a_link_that_leads_out_is_outside(root: Path, tmp_path: Path) -> None:
    grow(tmp_path / "secret", 1)
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(SarmError):
        allowed("link")
    assert runs() == []


@pytest.mark.slow
def test_a_run_is_a_sentence_lines_a_table_and_texts(run_page: Run, root: Path) -> None:
    grow(root / "one", 1, 8)
    test = run_page("watch.py", run="one")
    shown = " ".join(part.value for part in test.markdown)
    assert "Mean reward" in shown and "from step 1 to 8" in shown
    table = test.dataframe[0].value
    assert {"feature", "change", "low", "high"} <= set(table.columns) and len(table) > 3
    assert not test.error and test.query_params["run"] in ("one", ["one"])
    test.button(key="watch_compare_0").click().run()
    assert not test.exception
    now = test.session_state["comparison"]
    assert [answer.note for answer in now.answers] == ["step 1", "step 8"]
    assert now.answers[1].text.endswith("8")


@pytest.mark.slow
def test_what_a_page_cannot_watch_is_one_line(run_page: Run, root: Path) -> None:
    for run, said in (("/etc", "no such run below"), ("empty", "holds no logged completions")):
        (root / "empty").mkdir(exist_ok=True)
        test = run_page("watch.py", run=run)
        assert len(test.error) == 1 and said in test.error[0].value.replace("\\", "")


@pytest.mark.slow
def test_hostile_texts_and_bad_files_are_shown_as_text(run_page: Run, root: Path) -> None:
    (root / "one").mkdir()
    rows = [
        line(step, f"{HOSTILE} {step} {i}", prompt=f"{HOSTILE} {i}") for step in (0, 3) for i in range(12)
    ]
    (root / "one" / "log.jsonl").write_text("".join(rows))
    test = run_page("watch.py", run="one")
    assert not test.error
    drawn = " ".join(part.value for part in test.markdown)
    assert (
        "\\<img" in drawn and "<img" not in drawn.replace("\\<", "") and "](" not in drawn.replace("\\]", "")
    )
    html = " ".join(str(part.proto.body) for part in test.main.get("html"))
    assert "&lt;img" in html and "<img" not in html
