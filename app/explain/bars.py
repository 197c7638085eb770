"""Contributions as bars: one row a feature, with the numbers that a bar can be checked with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from app.components.feature_bars import Bar
from app.session.engine import FeatureNote
from app.session.feature_title import about_mark

__all__ = ["bars"]


def bars(
    table: pd.DataFrame,
    columns: Sequence[str],
    notes: Mapping[int, FeatureNote],
    panel: Collection[int] = (),
) -> list[Bar]:
    """Rows of `decide`'s table, or of one answer's contributions, for the bars; `columns` are drawn.

    The line beside a name gives activations and head weight, so that a bar can be checked by hand.
    """
    on_panel = set(panel)
    found = []
    for row in table.to_dict("records"):
        feature = int(row["feature"])
        note = notes.get(feature, FeatureNote())
        activations = [row[name] for name in ("activation", "z_left", "z_right") if name in row]
        z = " / ".join(f"{value:.3g}" for value in activations)
        facts = f"z {z} · w {row['weight']:.3g}".replace("-", "−")
        if note.density is not None:
            facts += f" · fires in {100 * note.density:.3g} %"
        found.append(
            Bar(
                feature,
                note.name,
                tuple(float(row[column]) for column in columns),
                facts,
                note.mark,
                about_mark(note.mark),
                feature in on_panel,
            )
        )
    return found
