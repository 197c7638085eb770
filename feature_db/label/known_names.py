"""Which features have a name that holds, as far as the people who labelled them say."""

from __future__ import annotations

from collections.abc import Iterable

from feature_db.sqlite.connection import Connection

__all__ = ["LEAST_VERDICT", "well_named"]

LEAST_VERDICT = 3
"""Verdicts below say that the texts have no pattern, or hardly one."""


def well_named(store: Connection, features: Iterable[int]) -> set[int]:
    """Those of `features` that an adjudicator settled, or whose latest label has a verdict of `LEAST_VERDICT` or more
    while nobody's verdict or category differs.

    Of a person who has several labels after a merge the latest counts. An adjudication with a lower verdict says that
    there is no name; one without a verdict says that there is. Suggestions are no names.
    """
    wanted = (str([int(feature) for feature in features]),)
    latest: dict[int, dict[str, tuple[str | None, int | None]]] = {}
    for feature, annotator, category, verdict in store.rows(
        "SELECT feature, annotator, category, verdict FROM current_labels "
        "WHERE feature IN (SELECT value FROM json_each(?)) ORDER BY feature, time, uid",
        wanted,
    ):
        people = latest.setdefault(feature, {})
        people.pop(annotator, None)  # behind those who labelled before
        people[annotator] = (category, verdict)
    found = {feature for feature, people in latest.items() if _holds(list(people.values()))}
    for feature, text, verdict in store.rows(
        "SELECT feature, text, verdict FROM current_adjudications "
        "WHERE feature IN (SELECT value FROM json_each(?))",
        wanted,
    ):
        found.discard(feature)
        if text and (verdict is None or verdict >= LEAST_VERDICT):
            found.add(feature)
    return found


def _holds(labels: list[tuple[str | None, int | None]]) -> bool:
    """Of each person's latest label (category, verdict), the last one first of all."""
    if any(len({value for value in values if value is not None}) > 1 for values in zip(*labels, strict=True)):
        return False
    last = labels[-1][1]
    return last is not None and last >= LEAST_VERDICT
