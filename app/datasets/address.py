"""A slice of a data set in the address of a page: to reload, to copy, to take to another page."""

from __future__ import annotations

from collections.abc import Mapping

from app.draw.plain_text import cut, plain
from feature_db.datasets.slices import SORTS, VERDICTS, Slice

__all__ = ["NAMES", "SORT_WORDS", "VERDICT_WORDS", "from_address", "in_words", "to_address"]

NAMES = {
    "words": "dq",
    "verdict": "dv",
    "subset": "ds",
    "column": "dc",
    "value": "dx",
    "sort": "do",
}
"""Fields of a slice and their names in an address; "d" names the data set."""

VERDICT_WORDS = {
    "agrees": "the model agrees",
    "disagrees": "the model disagrees",
    "ties": "equal rewards",
    "unscored": "not scored yet",
    "unlabelled": "no label",
}

SORT_WORDS = {
    "file": "as they stand",
    "worst": "most against the label first",
    "margin": "most with the label first",
    "close": "closest first",
    "length": "longest answers first",
    "shortest": "shortest answers first",
    "longer": "better answer much longer first",
    "shorter": "better answer much shorter first",
}


def to_address(of: Slice) -> dict[str, str]:
    """The fields that ask for something."""
    found = {NAMES["sort"]: of.sort} if of.sort != "file" else {}
    for field in ("words", "verdict"):
        if text := getattr(of, field).strip():
            found[NAMES[field]] = text
    if of.subset is not None:
        found[NAMES["subset"]] = of.subset
    if of.column and of.value:
        found |= {NAMES["column"]: of.column, NAMES["value"]: of.value}
    return found


def from_address(params: Mapping[str, str]) -> Slice:
    """The slice an address asks for; what no slice has is left out."""
    given = {field: params[name] for field, name in NAMES.items() if name in params}
    if given.get("verdict", "") not in ("", *VERDICTS):
        given.pop("verdict")
    sort = given.get("sort", "file")
    if sort not in SORTS and not sort.removeprefix("-").startswith("own:"):
        given.pop("sort")
    return Slice(**given)


def in_words(of: Slice) -> str:
    """What a slice leaves in, as Markdown; "" for everything."""
    parts = []
    if of.verdict:
        parts.append(VERDICT_WORDS[of.verdict])
    if of.subset is not None:
        parts.append(f"subset {plain(cut(of.subset, 60))}" if of.subset else "without a subset")
    if of.column and of.value:
        parts.append(f"{plain(cut(of.column, 40))} is {plain(cut(of.value, 60))}")
    if of.words.strip():
        parts.append(f"with “{plain(cut(of.words, 60))}”")
    return ", ".join(parts)
