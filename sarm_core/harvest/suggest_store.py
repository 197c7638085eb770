"""Suggestions for every feature of a store, from the examples it keeps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any

from sarm_core.harvest.progress import bar_of
from sarm_core.harvest.store_protocol import ExampleStore, Place
from sarm_core.harvest.suggest import Background, FeaturePlaces, suggest
from sarm_core.text.text_traits import AnswerPlaces

__all__ = ["METHOD", "StoredPlaces", "suggest_all"]

METHOD = "log-odds"
"""Name under which suggestions are stored"""
POOL = 2048
MOST_PLACES = 20_000
"""Of the background. At some 60 traits a place this bounds it to about 200 MB, however long the texts are."""


class StoredPlaces:
    """The places of a store's examples, one feature at a time; some thousand texts are kept parsed."""

    def __init__(self, store: ExampleStore):
        self.store = store
        harvests = store.imports("harvest")
        settings = harvests[-1].header.get("settings") if harvests else None
        self.scored_only = isinstance(settings, dict) and settings.get("positions") == "scored"
        self._parsed = lru_cache(maxsize=4096)(self._parse)
        self._traits = lru_cache(maxsize=MOST_PLACES)(self._traits_at)

    def _parse(self, text: int) -> tuple[AnswerPlaces, list[str], int | None]:
        """The answer's places, the tokens, and a hash of the prompt, where there is one."""
        found = self.store.text(text)
        messages = list(found.messages)
        prompt = hash(json.dumps(messages[:-1], sort_keys=True)) if messages[:-1] else None
        return AnswerPlaces(messages, found.category), list(found.tokens or ()), prompt

    def _traits_at(self, text: int, place: int) -> frozenset[str]:
        return self._parsed(text)[0].traits(place)

    def background(self) -> Background:
        """The texts that silent examples are drawn from, a sample of the corpus; else the first ones stored."""
        texts = self.store.sample_texts(POOL)
        places = sum(len(self._parsed(text)[0].looked_at(self.scored_only)) for text in texts)
        step = -(-places // MOST_PLACES) or 1
        return Background(
            ((text, self._parsed(text)[0]) for text in texts[::step]), scored_only=self.scored_only
        )

    def features(self) -> Iterator[tuple[int, FeaturePlaces]]:
        """Every feature that has examples, ascending, with the places of its examples."""
        for feature, places in groupby(self.store.places(), key=attrgetter("feature")):
            yield feature, self._of(places)

    def _of(self, places: Iterable[Place]) -> FeaturePlaces:
        """Texts are told apart: one may be there as a top and as a band example, and counts once.

        An answer to a prompt that another answer kept for labelling has is not unseen: what the two share may be
        what was asked.
        """
        examples = [(p.text, p.kind, p.purpose, p.peak_position) for p in places]
        seen = {
            self._parsed(text)[2]
            for text, kind, purpose, _ in examples
            if kind != "silent" and purpose == "label"
        } - {None}
        found: dict[str, dict[int, frozenset[str]]] = {
            name: {} for name in ("strongest", "firing", "unseen_strongest", "unseen_firing")
        }
        silent: list[frozenset[str]] = []
        texts = set()
        for text, kind, purpose, peak in examples:
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


def suggest_all(store: ExampleStore) -> int:
    """Replace the suggestions of all features by those their stored examples give; returns how many.

    Texts are read from the store one feature at a time and a few thousand are kept parsed: what grows with
    the dictionary is the suggestions alone, at most one a feature, which are written when all are made. What several
    features would be called says "shared_by" how many: it tells none of them apart, so it is no name of theirs.
    """
    places = StoredPlaces(store)
    background = places.background()
    found: list[_Suggested] = []
    with bar_of(store.n_exemplified(), "suggesting descriptions", " features") as bar:
        for feature, examples in places.features():
            bar.update()
            made = suggest(examples, background)
            if made is not None:
                found.append(_Suggested(feature, made.text, made.evidence))
    shared = Counter(each.text for each in found)
    for each in found:
        if shared[each.text] > 1:
            each.evidence["shared_by"] = shared[each.text]
    return store.replace_suggestions(METHOD, found)
