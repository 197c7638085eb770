"""The report of a dictionary in words and tables: what the page, the HTML file and the Markdown file all show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sarm_core.figures import percent, plural, signed

__all__ = ["Column", "Section", "Table", "headline", "sections"]

_PAIR_KEYS = ("left", "left_name", "right", "right_name", "cosine", "jaccard", "pmi", "both", "share")
_MATCH_KEYS = ("feature", "name", "share", "nearest", "cosine", "alike", "correlation", "answers")
_HOLDS = ("settled", "labels", "label", "pairs")


class Column(NamedTuple):
    """What a column is called and holds: "text"; "feature", a number of this dictionary, or "other", one of the other
    dictionary; "count"; "share", "small", shares to one and two digits; "signed"; "two", a number to two digits."""

    name: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows of values as they are, None where there is none."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    @property
    def head(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def text_columns(self) -> list[int]:
        """Places of the columns that are no numbers to add up."""
        return [i for i, column in enumerate(self.columns) if column.kind in ("text", "feature", "other")]

    @property
    def shown(self) -> list[list[str]]:
        """The rows as a reader meets them."""
        kinds = [column.kind for column in self.columns]
        return [
            ["" if v is None else _SHOWN[k](v) for v, k in zip(row, kinds, strict=True)] for row in self.rows
        ]


_SHOWN: Mapping[str, Callable[[Any], str]] = {
    "text": str,
    "feature": lambda value: f"#{value}",
    "other": lambda value: f"#{value}",
    "count": lambda value: f"{value:,}",
    "share": percent,
    "small": lambda value: percent(value, 2),
    "signed": signed,
    "two": lambda value: f"{value:.2f}",
}
FEATURE, CALLED = Column("feature", "feature"), Column("called")


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    place: str
    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


def headline(report: Mapping[str, Any]) -> str:
    """The report in one or two sentences."""
    mass, answers = report["mass"], report["answers"]
    if not mass["total"]:
        words = f"No feature moves the reward of the {plural(answers['n'], 'answer')} looked at."
    elif mass["kinds"]:
        holds = sum(part["share"] for part in mass["kinds"] if part["kind"] in _HOLDS)
        words = (
            f"{percent(holds, 0)} of the reward's mass falls on features with a name of people or one that holds "
            "on pairs"
            f" of answers, {percent(_share_of(mass, 'suggested'), 0)} on other suggestions, and "
            f"{percent(1 - holds - _share_of(mass, 'suggested'), 0)} on features without a name."
        )
    else:
        words = (
            f"{mass['features']:,} of {plural(report['model']['features'], 'feature')} move the reward of "
            f"{plural(answers['n'], 'answer')}."
        )
    if (other := report.get("against")) is not None:
        left, right = other["sides"]
        words += (
            f" {percent(left['matched']['share'], 0)} of its mass is on features that {right['model']['name']} "
            "has too, "
            f"which are {percent(right['matched']['share'], 0)} of the mass there."
        )
    return words


def sections(report: Mapping[str, Any]) -> list[Section]:
    """Everything the report says, in the order it is read."""
    found = [_mass(report), _pairs(report), _density(report)]
    if "against" in report:
        found.append(_beside(report["against"]))
    return found


def _share_of(mass: Mapping[str, Any], kind: str) -> float:
    return sum(part["share"] for part in mass["kinds"] if part["kind"] == kind)


def _mass(report: Mapping[str, Any]) -> Section:
    mass, answers = report["mass"], report["answers"]
    sentences = [
        f"Mass is the sum of |head weight × activation| over {plural(answers['n'], 'answer')} ({answers['of']}): "
        "what a "
        f"feature moves in either direction. {mass['features']:,} features have any."
    ]
    tables = []
    if mass["kinds"]:
        rows = [(part["title"], part["features"], part["share"]) for part in mass["kinds"]]
        columns = (
            Column("what the name rests on"),
            Column("features", "count"),
            Column("of the mass", "share"),
        )
        tables.append(Table("kinds", "What names rest on", columns, tuple(rows)))
    else:
        sentences.append("No store was given, so what the features are called is not known.")
    listed = mass["largest"]
    tables.append(
        Table(
            "largest",
            f"The {plural(len(listed), 'feature')} with the most of it",
            (
                FEATURE,
                CALLED,
                Column("how named"),
                Column("of the mass", "small"),
                Column("head weight", "signed"),
                Column("fires in answers", "count"),
            ),
            tuple(
                tuple(row[key] for key in ("feature", "name", "kind", "share", "weight", "answers"))
                for row in listed
            ),
        )
    )
    return Section("mass", "Whose names carry the reward", tuple(sentences), tuple(tables))


def _pairs(report: Mapping[str, Any]) -> Section:
    pairs = report["pairs"]
    kinds = pairs["kinds"]
    double = kinds["double"]
    sentences = [
        f"{plural(double['features'], 'feature')} ({percent(double['share'])} of the mass) are doubled by another "
        "one, and "
        f"{plural(kinds['split']['pairs'], 'pair')} of one direction fire on different answers.",
        f"One direction: a cosine of {pairs['cosine']:g} or more between decoder columns. The same answers: of "
        "those in "
        f"which either fires, both do in {percent(pairs['jaccard'], 0)} or more (Jaccard). PMI is the logarithm "
        "to base 2 "
        "of how much more often they fire together than by chance.",
    ]
    if pairs["near"] > pairs["near_looked_at"]:
        sentences.append(
            f"{pairs['near']:,} pairs have nearly one direction; the {pairs['near_looked_at']:,} nearest were "
            "looked at."
        )
    rows = [(part["title"], part["pairs"], part["features"], part["share"]) for part in kinds.values()]
    columns = (
        Column("pairs of"),
        Column("how many", "count"),
        Column("features in them", "count"),
        Column("of the mass", "share"),
    )
    tables = [Table("pair_kinds", "Pairs of features", columns, tuple(rows))]
    for name, part in kinds.items():
        if name == "unseen" or not part["rows"]:
            continue
        tables.append(
            Table(
                name,
                f"{part['title'][0].upper()}{part['title'][1:]}: {plural(len(part['rows']), 'pair')} with the "
                "most of the "
                "mass",
                (
                    FEATURE,
                    CALLED,
                    Column("and", "feature"),
                    Column("that is called"),
                    Column("cosine", "two"),
                    Column("Jaccard", "two"),
                    Column("PMI", "two"),
                    Column("both fire in", "count"),
                    Column("of the mass", "small"),
                ),
                tuple(tuple(row[key] for key in _PAIR_KEYS) for row in part["rows"]),
            )
        )
    return Section("pairs", "Features that double or split", tuple(sentences), tuple(tables))


def _density(report: Mapping[str, Any]) -> Section:
    density = report["density"]
    dense, always, dead = (density[name] for name in ("dense", "always", "dead"))
    sentences = [
        f"{plural(dense['features'], 'feature')} ({percent(dense['share'])} of the mass) fire at more than "
        f"{percent(density['dense_above'], 0)} of {density['of']}, {always['features']:,} more "
        f"({percent(always['share'])}) nearly always (from {percent(density['always_from'], 0)}), and "
        f"{dead['features']:,} never."
    ]
    if density["unknown"]:
        sentences.append(f"Of {plural(density['unknown'], 'feature')} it is not known.")
    if density["silent"]:
        sentences.append(f"{plural(density['silent'], 'feature')} did not fire on the answers looked at.")
    tables = [
        _dense(name, title, density[name])
        for name, title in (("dense", "Dense features"), ("always", "Always on"), ("dead", "Dead features"))
        if density[name]["rows"]
    ]
    return Section("density", "Dense, always on, dead", tuple(sentences), tuple(tables))


def _dense(name: str, title: str, part: Mapping[str, Any]) -> Table:
    listed = part["rows"]
    shown = "" if len(listed) == part["features"] else f", {len(listed)} of {part['features']:,}"
    return Table(
        name,
        title + shown,
        (
            FEATURE,
            CALLED,
            Column("fires at", "share"),
            Column("head weight", "signed"),
            Column("of the mass", "small"),
        ),
        tuple(tuple(row[key] for key in ("feature", "name", "density", "weight", "share")) for row in listed),
    )


def _beside(other: Mapping[str, Any]) -> Section:
    left, right = other["sides"]
    names = [side["model"]["name"] for side in (left, right)]
    sentences = [
        f"{plural(left['matched']['features'], 'feature')} of {names[0]} are in {names[1]} too, with "
        f"{percent(left['matched']['share'])} of the mass; {plural(right['matched']['features'], 'feature')} of "
        f"{names[1]} are in {names[0]}, with {percent(right['matched']['share'])}.",
        f"Matched by direction: a cosine of {other['cosine']:g} or more to the nearest decoder column. By "
        "activation: a "
        f"correlation of {other['correlation']:g} or more over {plural(other['answers'], 'answer')}. Only in one: "
        "neither.",
        *other["notes"],
    ]
    parts = (
        ("matched by direction", "direction"),
        ("matched by activation", "activation"),
        ("by both", "both"),
        ("matched by either", "matched"),
        ("only in this one", "only"),
    )
    rows = [
        (title, *(side[key][name] for side in (left, right) for name in ("features", "share")))
        for title, key in parts
    ]
    rows.append(("fires on too few of these answers to tell", left["seldom"], None, right["seldom"], None))
    columns = (
        Column("features"),
        Column(f"{names[0]}", "count"),
        Column("of its mass", "share"),
        Column(f"{names[1]}", "count"),
        Column("of the mass there", "share"),
    )
    tables = [Table("beside", "Two dictionaries of one backbone", columns, tuple(rows))]
    for number, side in enumerate((left, right)):
        for kind, title in (
            ("matched", f"Of {names[number]}, in both"),
            ("only", f"Only in {names[number]}"),
        ):
            listed = side[f"{kind}_rows"]
            if listed:
                own, there = ("other", "feature") if number else ("feature", "other")
                tables.append(_matches(f"{kind}_{number}", title, listed, own, there))
    return Section("beside", "Two dictionaries", tuple(sentences), tuple(tables))


def _matches(key: str, title: str, listed: Sequence[Mapping[str, Any]], own: str, there: str) -> Table:
    return Table(
        key,
        f"{title}: the {plural(len(listed), 'feature')} with the most of the mass",
        (
            Column("feature", own),
            CALLED,
            Column("of the mass", "small"),
            Column("nearest direction", there),
            Column("cosine", "two"),
            Column("most alike", there),
            Column("correlation", "two"),
            Column("fires in answers", "count"),
        ),
        tuple(tuple(row[key] for key in _MATCH_KEYS) for row in listed),
    )
