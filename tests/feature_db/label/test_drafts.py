"""What was typed and not sent: one row a person and feature, there until it is sent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from feature_db import Store, StoreError
from feature_db.exchange.event_files import export_events
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.roles import People


@pytest.fixture
def ann(store: Store) -> Labels:
    People(store).set_role(None, "root", "admin")
    return Labels(store, "ann")


@pytest.mark.slow
def test_typing_adds_no_event_and_one_row(store: Store, ann: Labels) -> None:
    for length in range(1, 200):
        ann.draft(3, {"text": "x" * length})
    assert ann.last_draft(3) == {"text": "x" * 199}
    assert store.value("SELECT count(*) FROM label_events") == 0
    assert store.value("SELECT count(*) FROM drafts") == 1


@pytest.mark.parametrize("send", ["label", "skip"])
def test_what_is_sent_ends_the_senders_draft_of_that_feature_only(
    store: Store, ann: Labels, send: str
) -> None:
    bo = Labels(store, "bo")
    for person, feature in ((ann, 3), (ann, 4), (bo, 3)):
        person.draft(feature, {"text": f"{person.annotator} {feature}"})
    getattr(ann, send)(3, "sent")
    assert ann.last_draft(3) is None
    assert ann.last_draft(4) == {"text": "ann 4"} and bo.last_draft(3) == {"text": "bo 3"}


def test_a_skip_keeps_what_was_typed_and_offers_it_nowhere(store: Store, ann: Labels) -> None:
    typed = {"text": "half", "verdict": 2, "evidence": ["a" * 64]}
    ann.draft(3, typed)
    ann.draft(4, {"text": "", "verdict": None})
    skips = [Labels(store, " ann ").skip(feature, "unclear") for feature in (3, 4, 5)]
    assert [events(store, uid=uid)[0].data for uid in skips] == [typed, {}, {}]
    assert ann.drafts() == [] and ann.last_draft(3) is None


@pytest.mark.parametrize("way", ["jsonl", "csv", "db"])
def test_what_a_skip_kept_moves_with_it(
    store: Store, ann: Labels, template: Path, tmp_path: Path, way: str
) -> None:
    ann.draft(3, {"text": '=half,\n"quoted"', "verdict": 2, "from_suggestion": {"method": "m", "text": "t"}})
    ann.skip(3, "unclear")
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).set_role(None, "root", "admin")
        for new in ({"skip": 1}, {}):
            if way == "db":
                assert merge_store(other, store.path, "root").new == new
            else:
                export_events(store, tmp_path / f"e.{way}")
                assert import_events(other, tmp_path / f"e.{way}", "root").new == new
        assert events(other) == events(store) and Labels(other, "ann").drafts() == []


@pytest.mark.parametrize(
    "fields",
    [["text"], None, {"text": {1, 2}}, {"text": float("nan")}, {"text": b"x"}, {"text": "x" * 100_001}],
    ids=["a list", "nothing", "a set", "no number", "bytes", "too long"],
)
def test_what_no_draft_can_hold_leaves_the_last_one(store: Store, ann: Labels, fields: Any) -> None:
    ann.draft(3, {"text": "kept"})
    with pytest.raises(StoreError, match="a draft holds"):
        ann.draft(3, fields)
    assert ann.last_draft(3) == {"text": "kept"}


@pytest.mark.parametrize("way", ["file", "store"])
def test_drafts_move_with_a_history_and_the_later_one_stays(
    store: Store, ann: Labels, template: Path, tmp_path: Path, way: str
) -> None:
    shutil.copy(template, tmp_path / "other.db")
    with Store.open(tmp_path / "other.db") as other:
        People(other).set_role(None, "root", "admin")
        Labels(other, "ann").draft(5, {"text": "older there"})
        ann.draft(4, {"text": "only here"})
        ann.draft(5, {"text": "newer here"})
        ann.draft(6, {"text": "older here"})
        ann.draft(7, {"text": "sent there meanwhile"})
        Labels(other, "ann").draft(6, {"text": "newer there"})
        Labels(other, "ann").label(7, "sent")

        def take(dry_run: bool) -> dict[str, int]:
            if way == "file":
                export_events(store, tmp_path / "e.jsonl")
                return import_events(other, tmp_path / "e.jsonl", "root", dry_run=dry_run).new
            return merge_store(other, store.path, "root", dry_run=dry_run).new

        assert take(True) == take(False) == {"draft": 2}
        assert take(False) == {}
        there = Labels(other, "ann")
        assert [there.last_draft(i) for i in (4, 5, 6, 7)] == [
            {"text": "only here"},
            {"text": "newer here"},
            {"text": "newer there"},
            None,
        ]


@pytest.mark.parametrize("change", [{}, {"text": "says sor"}, {"verdict": None}, {"evidence": []}])
def test_words_that_were_sent_leave_no_draft_and_others_do(ann: Labels, change: dict[str, Any]) -> None:
    # Told from another window, or by a browser that was closed before it heard that the label was in.
    sent = {
        "text": "says sorry",
        "category": None,
        "verdict": 4,
        "confidence": 0.5,
        "note": "",
        "evidence": ["h"],
    }
    ann.label(3, **{**sent, "text": " says sorry "})
    ann.draft(3, {"text": "begun before"})
    ann.draft(3, {**sent, "from_suggestion": None, **change})
    assert ann.last_draft(3) == ({**sent, "from_suggestion": None, **change} if change else None)
