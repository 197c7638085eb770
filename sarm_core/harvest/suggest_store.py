"""Suggestions for every feature of a store, from the examples it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sarm_core.harvest.progress import bar_of
from sarm_core.harvest.suggest import Background, FeaturePlaces, suggest
from sarm_core.text.text_traits import AnswerPlaces

if TYPE_CHECKING:
    from feature_db import Store

__all__ = ["METHOD", "StoredPlaces", "suggest_all"]

METHOD = "log-odds"
"""Name under which suggestions are stored"""
POOL = 2048
MOST_PLACES = 20_000
"""Of the background. At some 60 traits a place this bounds it to about 200 MB, however long the texts are."""


class StoredPlaces:
    """The places of a store's examples, one feature at a time; some thousand texts are kept parsed."""

    def __init__(self, store: Store):
        self.store = store
        self.scored_only = (
            store.value(
                "SELECT json_extract(header, '$.settings.positions') FROM imports "
                "WHERE format = 'harvest' ORDER BY id DESC LIMIT 1"
            )
            == "scored"
        )
        self._parsed = lru_cache(maxsize=4096)(self._parse)
        self._traits = lru_cache(maxsize=MOST_PLACES)(self._traits_at)

    def _parse(self, text: int) -> tuple[AnswerPlaces, list[str], int | None]:
        """The answer's places, the tokens, and a hash of the prompt, where there is one."""
        row = self.store.row("SELECT messages, tokens, category FROM texts WHERE id = ?", (text,))
        assert row is not None  # a foreign key holds it
        messages = json.loads(row[0])
        prompt = hash(json.dumps(messages[:-1], sort_keys=True)) if messages[:-1] else None
        return AnswerPlaces(messages, row[2]), json.loads(row[1] or "[]"), prompt

    def _traits_at(self, text: int, place: int) -> frozenset[str]:
        return self._parsed(text)[0].traits(place)

    def background(self) -> Background:
        """The texts that silent examples are drawn from, a sample of the corpus; else the first ones stored."""
        texts = [
            row[0]
            for row in self.store.rows(
                "SELECT DISTINCT text FROM examples WHERE kind = 'silent' ORDER BY text"
            )
            or self.store.rows("SELECT id FROM texts ORDER BY id LIMIT ?", (POOL,))
        ]
        places = sum(len(self._parsed(text)[0].looked_at(self.scored_only)) for text in texts)
        step = -(-places // MOST_PLACES) or 1
        return Background(
            ((text, self._parsed(text)[0]) for text in texts[::step]), scored_only=self.scored_only
        )

    def features(self) -> Iterator[tuple[int, FeaturePlaces]]:
        """Every feature that has examples, ascending, with the places of its examples."""
        rows = self.store.conn.execute(
            "SELECT feature, text, kind, purpose, peak_position FROM examples "
            "WHERE activation > 0 OR kind = 'silent' ORDER BY feature, kind = 'top' DESC, kind, rank, id"
        )
        for feature, examples in groupby(rows, key=itemgetter("feature")):
            yield feature, self._of(examples)

    def _of(self, rows: Iterable[Any]) -> FeaturePlaces:
        """Texts are told apart: one may be there as a top and as a band example, and counts once.

        An answer to a prompt that another answer kept for labelling has is not unseen: what the two share may be
        what was asked.
        """
        examples = list(rows)
        seen = {
            self._parsed(text)[2]
            for _, text, kind, purpose, _ in examples
            if kind != "silent" and purpose == "label"
        } - {None}
        found: dict[str, dict[int, frozenset[str]]] = {
            name: {} for name in ("strongest", "firing", "unseen_strongest", "unseen_firing")
        }
        silent: list[frozenset[str]] = []
        texts = set()
        for _, text, kind, purpose, peak in examples:
            unseen = purpose == "check"
            if kind != "silent" or unseen:
                texts.add(text)
            answer, tokens, prompt = self._parsed(text)
            if kind == "silent":
                if unseen:
                    silent += [self._traits(text, place) for place in answer.looked_at(self.scored_only)]
                continue
            place = None if peak is None else answer.place_of(tokens, peak)
            if place is None or (unseen and prompt in seen):
                continue
            for name in ("strongest", "firing") if kind == "top" else ("firing",):
                found[f"unseen_{name}" if unseen else name].setdefault(text, self._traits(text, place))
        return FeaturePlaces(
            **{name: tuple(by_text.values()) for name, by_text in found.items()},
            unseen_silent=tuple(silent),
            texts=frozenset(texts),
        )


@dataclass(frozen=True)
class _Suggested:
    feature: int
    text: str
    evidence: dict[str, Any]


def suggest_all(store: Store) -> int:
    """Replace the suggestions of all features by those their stored examples give; returns how many.

    Texts are read from the store one feature at a time and a few thousand are kept parsed: what grows with
    the dictionary is the suggestions alone, at most one a feature, which are written when all are made.
    """
    places = StoredPlaces(store)
    background = places.background()

    def suggestions() -> Iterator[_Suggested]:
        for feature, found in places.features():
            bar.update()
            made = suggest(found, background)
            if made is not None:
                yield _Suggested(feature, made.text, made.evidence)

    total = store.value("SELECT count(DISTINCT feature) FROM examples")
    with bar_of(total, "suggesting descriptions", " features") as bar:
        return store.replace_suggestions(METHOD, suggestions())
