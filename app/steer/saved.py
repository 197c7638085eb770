"""Saved steerings as tables and titles: what a version does, how two differ, what composing would make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from app.draw.plain_text import cut
from app.session.engine import FeatureNote
from app.session.feature_title import marked_name
from feature_db.saved_work import SteeringVersion
from sarm_core.errors import SteeringError
from sarm_core.steering import UNCHANGED, Group, Steering

__all__ = [
    "composition_table",
    "difference_table",
    "groups_table",
    "mentioned",
    "read_version",
    "summary",
    "version_title",
    "versions_table",
]


def read_version(version: SteeringVersion) -> Steering:
    """The steering a version holds. Raises SteeringError naming it."""
    return Steering.from_json(version.body, f"{cut(version.name, 40)} version {version.version}")


def summary(steering: Steering) -> str:
    """ "2 features scaled", "3 features changed: 2 scaled, 1 set; 1 group": words that also fit a table."""
    n = len(steering.features())
    scaled = sum(m != 1.0 for i, m in steering.multipliers().items() if i not in steering.set)
    offset = sum(v != 0.0 for v in steering.offset.values())
    counts = [(scaled, "scaled"), (len(steering.set), "set"), (offset, "offset")]
    kinds = [f"{count} {what}" for count, what in counts if count]
    text = f"{n} feature{'s' if n != 1 else ''} {kinds[0].split()[1] if len(kinds) == 1 else 'changed'}"
    if len(kinds) > 1:
        text += ": " + ", ".join(kinds)
    if steering.groups:
        text += f"; {len(steering.groups)} group{'s' if len(steering.groups) != 1 else ''}"
    return text


def version_title(version: SteeringVersion, *, with_name: bool = False) -> str:
    """One line for a list of versions: number, time, author and note."""
    parts = [
        f"{cut(version.name, 40)} version {version.version}" if with_name else f"Version {version.version}"
    ]
    parts.append(_time(version).strftime("%Y-%m-%d %H:%M"))
    parts += [cut(version.author, 30)] if version.author else []
    parts += [cut(version.note, 60)] if version.note else []
    return " · ".join(parts)


def versions_table(versions: Sequence[SteeringVersion]) -> pd.DataFrame:
    """version, changes, saved (UTC), author, note; in the order given."""
    changes = []
    for version in versions:
        try:
            changes.append(summary(read_version(version)))
        except SteeringError:
            changes.append("cannot be read")
    return pd.DataFrame(
        {
            "version": [version.version for version in versions],
            "changes": changes,
            "saved (UTC)": [_time(version) for version in versions],
            "author": [version.author for version in versions],
            "note": [version.note for version in versions],
        }
    )


def mentioned(*steerings: Steering) -> list[int]:
    """Every feature that one of them changes, ascending."""
    return sorted(set().union(*(steering.described() for steering in steerings)))


def difference_table(before: Steering, after: Steering, notes: Mapping[int, FeatureNote]) -> pd.DataFrame:
    """Features that the two treat differently: feature, name, before, after."""
    found = before.diff(after)
    return pd.DataFrame(
        {
            "feature": list(found),
            "name": [_name(i, notes) for i in found],
            "before": [_signs(was) for was, _ in found.values()],
            "after": [_signs(now) for _, now in found.values()],
        }
    )


def groups_table(before: Steering, after: Steering) -> pd.DataFrame:
    """Groups that differ in members or multiplier: group, before, after."""
    found = before.diff_groups(after)
    return pd.DataFrame(
        {
            "group": list(found),
            "before": [_group(was) for was, _ in found.values()],
            "after": [_group(now) for _, now in found.values()],
        }
    )


def composition_table(
    first: Steering, second: Steering, together: Steering, notes: Mapping[int, FeatureNote]
) -> pd.DataFrame:
    """What composing does to every feature the second changes: feature, name, in force, saved, together.

    Features that both change come first: there the order and the rules matter.
    """
    mine, theirs, result = first.described(), second.described(), together.described()
    order = sorted(theirs, key=lambda i: (i not in mine, i))
    return pd.DataFrame(
        {
            "feature": order,
            "name": [_name(i, notes) for i in order],
            "in force": [_signs(mine.get(i, UNCHANGED)) for i in order],
            "saved": [_signs(theirs[i]) for i in order],
            "together": [_signs(result.get(i, UNCHANGED)) for i in order],
        }
    )


def _time(version: SteeringVersion) -> datetime:
    return datetime.fromtimestamp(version.created / 1e6, tz=UTC)


def _name(feature: int, notes: Mapping[int, FeatureNote]) -> str:
    return marked_name(notes.get(feature)) or "unlabelled"


def _signs(text: str) -> str:
    return text.replace("x ", "×").replace("-", "−")


def _group(group: Group | None) -> str:
    if group is None:
        return "none"
    members = ", ".join(f"#{i}" for i in group.features)
    return f"×{group.scale:.9g}".replace("-", "−") + f" on {members}"
