"""The report: one HTML file about an evaluation, to read offline, print or send.

evaluation = read_evaluation("evaluation.json")            # what the command `evaluate` wrote
text = html_report(evaluation, question="...", evidence=read_contrast("contrast.csv"), time="1 May 2026")

The file loads nothing: no script, no font, no picture from elsewhere, and a policy in it forbids all three.
The same input gives the same bytes, so the time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sarm_core.errors import SarmError
from sarm_core.figures import count, percent, points
from sarm_core.markup import Markup, clean, cut, join, paragraphs, tag
from sarm_core.prove.benchmarks.registry import known
from sarm_core.report.curves import Series, curve_chart, trade_off_chart
from sarm_core.report.document import document
from sarm_core.report.evaluation_json import checked_evaluation, read_evaluation, steering_of
from sarm_core.report.evidence import Evidence, FeatureNote, evidence_from_rows, read_contrast
from sarm_core.report.record_sections import caveats, provenance_section
from sarm_core.report.result_sections import (
    curve_section,
    items_section,
    moved_section,
    results_section,
)
from sarm_core.report.steering_section import COMPARED, change_section, evidence_section
from sarm_core.report.verdict import verdict
from sarm_core.steering import Steering

__all__ = [
    "Curve",
    "Evidence",
    "FeatureNote",
    "Series",
    "checked_evaluation",
    "evidence_from_rows",
    "html_report",
    "read_contrast",
    "read_evaluation",
    "steered_ids",
]


@dataclass(frozen=True)
class Curve:
    """A curve of one's own for the report: named scores over a multiplier, with intervals where there are any.

    `trade_off` names two of the series to draw against each other as well. `marks` are (multiplier, words).
    """

    title: str
    series: Sequence[Series]
    x_title: str = "multiplier"
    text: str = ""
    marks: Sequence[tuple[float, str]] = ()
    trade_off: tuple[str, str] | None = None


def steered_ids(evaluation: Mapping[str, Any], evidence: Evidence | None = None) -> list[int]:
    """Features a report of this evaluation names: those steered, then the ones shown beside them."""
    steered = list(steering_of(evaluation).features())
    rows = evidence.rows if evidence is not None else ()
    beside = [row["feature"] for row in rows if row["feature"] not in set(steered)][:COMPARED]
    return [*steered, *beside]


def html_report(
    evaluation: Mapping[str, Any],
    *,
    question: str = "",
    title: str = "",
    author: str = "",
    time: str = "",
    evidence: Evidence | None = None,
    notes: Mapping[int, FeatureNote] | None = None,
    curves: Sequence[Curve] = (),
    trade_off: tuple[str, str] | None = None,
    commands: Sequence[str] = (),
    sources: Sequence[tuple[str, str]] = (),
    items: int = 10,
) -> str:
    """One HTML document about an evaluation (plain data of `evaluation_report`, with its `model`).

    `evidence` says why these features; `notes` names features; `curves` are drawn beside the evaluation's
    own curve over the strength; `trade_off` names two of its scores to draw against each other. `commands` are
    written after the evaluation's own, `sources` as further (name, text) of the provenance, and `items` is
    the number of items won, and lost, that are shown. All text is escaped; no input is markup.
    Raises SarmError for an evaluation that is not one, a contrast of another model, an unknown score.
    """
    checked_evaluation(evaluation)
    steering = steering_of(evaluation)
    known = dict(notes or {})
    _check_model(evaluation, evidence)
    _check_trade_off(evaluation, trade_off, curves)
    heading = title.strip() or _title(evaluation)
    kind, words, sentences = verdict(evaluation, steering)
    steered = "steering" in evaluation
    sections: list[tuple[str, str, Sequence[object]]] = [
        ("question", "Question", [paragraphs(question.strip() or _question(evaluation, steering))]),
        ("verdict", "Verdict", _verdict(evaluation, kind, words, sentences)),
    ]
    if steered:
        sections += [
            ("steering", "What was changed", change_section(evaluation, steering, known)),
            ("evidence", "Why these features", evidence_section(evidence, steering, known)),
        ]
    sections.append(("results", "Results", results_section(evaluation)))
    if steered or curves:
        own = curve_section(evaluation, steering, trade_off) if steered else []
        sections.append(("curve-section", "Trade-off", [*own, *_own_curves(curves)]))
    if steered:
        sections += [
            ("items", "Items won and lost", items_section(evaluation, items)),
            ("moved", "What else moved", moved_section(evaluation)),
        ]
    told = [tag("li", text, dir="auto") for text in caveats(evaluation, steering, evidence)]
    sections += [
        ("caveats", "Caveats", [tag("ul", *told)]),
        (
            "provenance",
            "Provenance",
            provenance_section(evaluation, steering, evidence, commands, sources),
        ),
    ]
    return document(heading, _header(evaluation, heading, author, time), sections)


# -- the page ----------------------------------------------------------------------------------------------


def _header(evaluation: Mapping[str, Any], heading: str, author: str, time: str) -> Markup:
    model = evaluation["model"]
    facts: list[object] = [tag("bdi", cut(text, 200)) for text in (author.strip(), time.strip()) if text]
    name = model.get("name") or model.get("source") or "unnamed model"
    facts.append(
        join([tag("bdi", cut(name, 120)), " ", tag("code", cut(model["fingerprint"], 12).rstrip("…"))])
    )
    what = known(evaluation["benchmark"]).title or cut(evaluation["benchmark"], 60)
    facts.append(f"{what}, {count(evaluation['items'])} items")
    return tag(
        "header",
        tag("p", "SARM Explorer report", class_="kicker"),
        tag("h1", clean(heading), dir="auto"),
        tag("p", join(facts, " · "), class_="byline"),
    )


def _verdict(evaluation: Mapping[str, Any], kind: str, words: str, sentences: Sequence[str]) -> list[object]:
    cards: list[tuple[str, str, str]] = []
    if "change" in evaluation:
        change = evaluation["change"]["total"]
        cards += [
            ("total, plain", percent(change["before"]), ""),
            ("total, steered", percent(change["after"]), f"{points(change['change'])} points"),
            ("decisions won", count(evaluation["won"]), ""),
            ("decisions lost", count(evaluation["lost"]), ""),
        ]
        elsewhere = (evaluation.get("complement") or {}).get("collateral")
        if elsewhere is not None:
            cards.append(("other answers whose reward moved", percent(elsewhere["share_moved"]), ""))
    else:
        cards += [
            ("total", percent(evaluation["scores"]["total"]), ""),
            ("items", count(evaluation["items"]), ""),
        ]
    return [
        tag(
            "div",
            tag("p", words, class_="badge"),
            *(tag("p", sentence) for sentence in sentences),
            class_=f"verdict-box {kind}",
        ),
        tag(
            "ul",
            *(
                tag(
                    "li",
                    tag("span", name),
                    tag("b", value),
                    tag("small", beside) if beside else "",
                )
                for name, value, beside in cards
            ),
            class_="cards",
        ),
    ]


def _own_curves(curves: Sequence[Curve]) -> list[object]:
    parts: list[object] = []
    for number, curve in enumerate(curves, 1):
        parts.append(tag("h3", curve.title))
        if curve.text:
            parts.append(paragraphs(curve.text))
        parts.append(
            curve_chart(f"own-{number}", curve.title, curve.series, curve.x_title, marks=curve.marks)
        )
        if curve.trade_off is not None:
            by_name = {series.name: series for series in curve.series}
            across, up = (by_name[name] for name in curve.trade_off)
            parts.append(
                trade_off_chart(
                    f"own-{number}-trade-off",
                    f"“{across.name}” against “{up.name}” along the {curve.x_title}",
                    across,
                    up,
                    marks=curve.marks,
                    multiplier=curve.x_title,
                )
            )
    return parts


# -- words and checks --------------------------------------------------------------------------------------


def _title(evaluation: Mapping[str, Any]) -> str:
    what = known(evaluation["benchmark"]).title or evaluation["benchmark"]
    on = ", ".join(cut(file["name"], 60) for file in evaluation.get("files", ())) or what
    return f"{'What a steering changes' if 'steering' in evaluation else 'The plain model'} on {on}"


def _question(evaluation: Mapping[str, Any], steering: Steering) -> str:
    """What the figures answer, when the person stated nothing."""
    if not steering:
        return "How often does the model prefer the right answer on these items?"
    ids = [f"#{i}" for i in steering.features()]
    more = f" and {len(ids) - 6} more" if len(ids) > 6 else ""
    feature = "feature" if len(ids) == 1 else "features"
    return (
        f"What does changing {feature} {', '.join(ids[:6])}{more} win and lose on these items, and what else does "
        "it move?"
    )


def _check_model(evaluation: Mapping[str, Any], evidence: Evidence | None) -> None:
    """A contrast carries no fingerprint, but every row carries the head weight, which must be the model's."""
    if evidence is None:
        return
    weights = {
        entry["feature"]: entry["w"]
        for entry in evaluation.get("steered_features", {}).get("features", ())
        if entry["w"] is not None
    }
    for feature, weight in weights.items():
        row = evidence.by_feature.get(feature)
        if row is None or row["w"] is None:
            continue
        if abs(row["w"] - weight) > 1e-5 * max(abs(weight), 1e-6):
            raise SarmError(
                f"the contrast gives feature {feature} another head weight ({row['w']:.6g}) than the evaluation "
                f"({weight:.6g}): it was made for another model"
            )


def _check_trade_off(
    evaluation: Mapping[str, Any], trade_off: tuple[str, str] | None, curves: Sequence[Curve]
) -> None:
    known = list((evaluation.get("curve") or {}).get("scores", ()))
    for name in trade_off or ():
        if name not in known:
            names = ", ".join(cut(each, 40) for each in known[:8]) or "none, it has no curve"
            raise SarmError(
                f"there is no score {cut(name, 40)!r} to draw; this evaluation's curve has {names}"
            )
    for curve in curves:
        for name in curve.trade_off or ():
            if name not in [series.name for series in curve.series]:
                raise SarmError(f"the curve {cut(curve.title, 40)!r} has no series {cut(name, 40)!r}")
