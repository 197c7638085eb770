"""What Share offers: sizes are told before anything is sent, and a large comparison is made only when asked for."""

from __future__ import annotations

import pytest

from app.compare import open_shared, share_view
from app.session.comparison import Comparison, from_texts
from app.session.engine import Engine
from sarm_core.errors import SarmError
from sarm_core.share.shared import Shared
from tests.app.conftest import Run


@pytest.fixture
def now() -> Comparison:
    return from_texts("Why?", ["No.", "Because it is so.", "Ask again."], origin="pasted")


def test_small_files_are_made_and_large_ones_estimated(engine: Engine, now: Comparison) -> None:
    scored = engine.score(f"comparison:{now.key}", now.conversations())
    shared = share_view.shared_of(engine, now, scored)
    (page, said), (file, _) = share_view._offered(shared, many=False)
    assert isinstance(page, str) and said == f"{round(len(page.encode()) / 1e3)} KB"
    assert isinstance(file, str) and Shared.from_json(page).to_json() == file
    (later, about), _ = share_view._offered(shared, many=True)
    assert callable(later) and later() == page and about.startswith("about ")


@pytest.mark.slow
def test_the_page_offers_files_that_are_made_later(run_page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_view, "MANY", 0)
    labels = [button.label for button in run_page("compare.py").get("download_button")]
    assert next(label for label in labels if "about" in label).startswith("Page with live sliders (about ")


def test_what_is_opened_is_checked_before_it_is_shown(engine: Engine, now: Comparison) -> None:
    scored = engine.score(f"comparison:{now.key}", now.conversations())
    shared = share_view.shared_of(engine, now, scored)
    data = shared.to_json().encode()
    assert open_shared.read_shared(data, "c.json").answers == shared.answers
    assert open_shared.other_model(engine, shared) == ""
    foreign = Shared.from_json(data.decode().replace(engine.fingerprint, "0" * 64))
    assert "the texts can be scored anew" in open_shared.other_model(engine, foreign)
    for bad, said in (
        (b"\xff\xfe", "not UTF-8"),
        (data[:-9], "not a readable JSON"),
        (b"{}", "not a shared"),
    ):
        with pytest.raises(SarmError, match=said):
            open_shared.read_shared(bad, "c.json")
