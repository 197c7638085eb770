"""What people's labels make a feature called: a name that holds, or none, and what to say of them beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from feature_db.sqlite.connection import Connection

__all__ = ["LEAST_VERDICT", "Standing", "standings", "well_named"]

LEAST_VERDICT = 3
"""Verdicts below say that the texts have no pattern, or hardly one."""


@dataclass(frozen=True)
class Standing:
    """What the labels of one feature come to."""

    name: str
    """The name that holds; "" where the labels make none."""
    note: str
    """What stands beside it: "settled", "3 labels", "1 label"; where there is no name why: "disputed", "no pattern",
    "no verdict", "settled: no pattern"."""

    @property
    def doubt(self) -> str:
        """`note` where it is a reason for doubt, else ""."""
        return self.note if not self.name or self.note == "1 label" else ""


def standings(store: Connection, features: Iterable[int]) -> dict[int, Standing]:
    """The standing of each of `features` that has labels or was settled.

    A label is a name when its verdict is `LEAST_VERDICT` or more and nobody's verdict or category differs; the latest
    one then names the feature. Of a person who has several labels after a merge the latest counts. What an adjudicator
    settled on comes first: with a lower verdict, or without a text, it says that there is no name; a text without a
    verdict is one. Suggestions are no names.
    """
    wanted = (str([int(feature) for feature in features]),)
    latest: dict[int, dict[str, tuple[str, str | None, int | None]]] = {}
    for feature, annotator, text, category, verdict in store.rows(
        "SELECT feature, annotator, text, category, verdict FROM current_labels "
        "WHERE feature IN (SELECT value FROM json_each(?)) ORDER BY feature, time, uid",
        wanted,
    ):
        people = latest.setdefault(feature, {})
        people.pop(annotator, None)  # behind those who labelled before
        people[annotator] = (text, category, verdict)
    found = {feature: _of_labels(list(people.values())) for feature, people in latest.items()}
    for feature, text, verdict in store.rows(
        "SELECT feature, text, verdict FROM current_adjudications "
        "WHERE feature IN (SELECT value FROM json_each(?))",
        wanted,
    ):
        holds = text and (verdict is None or verdict >= LEAST_VERDICT)
        found[feature] = Standing(text, "settled") if holds else Standing("", "settled: no pattern")
    return found


def well_named(store: Connection, features: Iterable[int]) -> set[int]:
    """Those of `features` that have a name that holds, as far as the people who labelled them say."""
    return {feature for feature, standing in standings(store, features).items() if standing.name}


def _of_labels(labels: list[tuple[str, str | None, int | None]]) -> Standing:
    """Of each person's latest label (text, category, verdict), the last one first of all."""
    _, categories, verdicts = zip(*labels, strict=True)
    if any(len({value for value in values if value is not None}) > 1 for values in (categories, verdicts)):
        return Standing("", "disputed")
    text, _, verdict = labels[-1]
    if verdict is None:
        return Standing("", "no verdict")
    if verdict < LEAST_VERDICT:
        return Standing("", "no pattern")
    return Standing(text, f"{len(labels)} label{'' if len(labels) == 1 else 's'}")
