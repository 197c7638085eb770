"""The report of a dictionary as a file: JSON, a Markdown text, or an HTML page that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sarm_core.dictionary.look import FORMAT
from sarm_core.dictionary.words import Table, headline, sections
from sarm_core.markup import clean, cut, join, markdown, table, tag
from sarm_core.report.document import document
from sarm_core.text.json_check import (
    COUNT,
    MAYBE_TEXT,
    NUMBER,
    REAL,
    TEXT,
    ListOf,
    MapOf,
    Object,
    Value,
    check,
    wrong,
)

__all__ = ["ENDINGS", "SHAPE", "as_html", "as_json", "as_markdown", "checked", "written"]

_PART = {"features": COUNT, "share": REAL}
_FEATURE = {"feature": COUNT, "name": TEXT, "share": REAL}
_MODEL = Object(
    {
        **dict.fromkeys(("name", "source", "fingerprint", "kind"), TEXT),
        **dict.fromkeys(("features", "width", "layer"), COUNT),
    }
)
_PAIR = Object(
    {
        **dict.fromkeys(("left", "right", "both", "left_fires", "right_fires"), COUNT),
        **dict.fromkeys(("left_name", "right_name"), TEXT),
        **dict.fromkeys(("cosine", "share"), REAL),
        **dict.fromkeys(("jaccard", "pmi"), NUMBER),
    }
)
_PAIR_KIND = Object({**_PART, "title": TEXT, "pairs": COUNT, "rows": ListOf(_PAIR)})
_DENSE = Object({**_PART, "rows": ListOf(Object({**_FEATURE, "density": REAL, "weight": REAL}))})
_MATCH = ListOf(
    Object(
        {
            **_FEATURE,
            **dict.fromkeys(("nearest", "answers"), COUNT),
            **dict.fromkeys(("cosine", "correlation"), REAL),
            "alike": Value("a whole number from 0 or null"),
        }
    )
)
_BESIDE = Object(
    {
        **dict.fromkeys(("cosine", "correlation"), REAL),
        "answers": COUNT,
        "notes": ListOf(TEXT),
        "sides": ListOf(
            Object(
                {
                    "model": _MODEL,
                    **dict.fromkeys(("direction", "activation", "both", "matched", "only"), Object(_PART)),
                    "seldom": COUNT,
                    "matched_rows": _MATCH,
                    "only_rows": _MATCH,
                }
            ),
            2,
        ),
    }
)
SHAPE = Object(
    {
        "model": _MODEL,
        "versions": MapOf(TEXT),
        "answers": Object({"n": COUNT, "of": TEXT}),
        "mass": Object(
            {
                "total": REAL,
                "features": COUNT,
                "kinds": ListOf(Object({**_PART, "kind": TEXT, "title": TEXT})),
                "largest": ListOf(Object({**_FEATURE, "kind": TEXT, "weight": REAL, "answers": COUNT})),
            }
        ),
        "pairs": Object(
            {
                **dict.fromkeys(("cosine", "jaccard"), REAL),
                **dict.fromkeys(("near", "near_looked_at"), COUNT),
                "kinds": Object(dict.fromkeys(("double", "split", "together", "unseen"), _PAIR_KIND)),
            }
        ),
        "density": Object(
            {
                "of": TEXT,
                **dict.fromkeys(("dense_above", "always_from"), REAL),
                **dict.fromkeys(("dense", "always", "dead"), _DENSE),
                **dict.fromkeys(("unknown", "silent"), COUNT),
            }
        ),
    },
    {"made": MAYBE_TEXT, "against": _BESIDE},
)
"""What the JSON holds beside its `format`; other keys are left alone."""


def checked(report: Any, source: str) -> Mapping[str, Any]:
    """A report that was read from `source`. Raises SarmError for what is none."""
    if isinstance(report, dict) and report.get("format") != FORMAT:
        raise wrong(source, "format", f"must be {FORMAT!r}, not {report.get('format')!r}")
    check(report, SHAPE, source)
    return dict(report)


def as_json(report: Mapping[str, Any]) -> str:
    """The whole report."""
    return json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as a text with tables."""
    lines = [
        f"# {markdown(_title(report))}",
        "",
        markdown(headline(report)),
        "",
        markdown(_byline(report)),
        "",
    ]
    for section in sections(report):
        lines += [f"## {markdown(section.title)}", ""]
        for sentence in section.sentences:
            lines += [markdown(sentence), ""]
        for each in section.tables:
            lines += [f"**{markdown(each.caption)}**", "", *_markdown_table(each), ""]
    return "\n".join(lines).rstrip() + "\n"


def as_html(report: Mapping[str, Any]) -> str:
    """The report as one page."""
    parts: list[tuple[str, str, list[object]]] = [
        ("summary", "In short", [tag("p", headline(report), dir="auto")])
    ]
    for section in sections(report):
        body: list[object] = [tag("p", sentence, dir="auto") for sentence in section.sentences]
        body += [
            table(each.head, each.shown, caption=each.caption, text_columns=each.text_columns)
            for each in section.tables
        ]
        parts.append((section.place, section.title, body))
    header = tag(
        "header",
        tag("p", "SARM Explorer report", class_="kicker"),
        tag("h1", clean(_title(report)), dir="auto"),
        tag("p", join(_byline(report).split(" · "), " · "), class_="byline"),
    )
    return document(_title(report), header, parts)


ENDINGS = {".json": as_json, ".md": as_markdown, ".html": as_html}
"""What a report is written as, by the ending of its file"""


def written(report: Mapping[str, Any], ending: str) -> str:
    """The report as the text of a file of that ending, which is one of ENDINGS."""
    return ENDINGS[ending](report)


def _title(report: Mapping[str, Any]) -> str:
    return f"Dictionary of {cut(report['model']['name'], 120)}"


def _byline(report: Mapping[str, Any]) -> str:
    model = report["model"]
    facts = [
        f"{model['features']:,} features ({model['kind']}) of width {model['width']:,} after {model['layer']} blocks",
        f"model {model['fingerprint'][:12]}",
        *([report["made"]] if report.get("made") else []),
    ]
    return " · ".join(facts)


def _markdown_table(of: Table) -> list[str]:
    rule = " | ".join(":--" if i in of.text_columns else "--:" for i in range(len(of.head)))
    rows = [" | ".join(markdown(cell) for cell in row) for row in (of.head, *of.shown)]
    return [f"| {rows[0]} |", f"| {rule} |", *(f"| {row} |" for row in rows[1:])]
