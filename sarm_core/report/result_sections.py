"""The sections on the results: scores before and after, the trade-off, items won and lost, what else moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.figures import (
    count,
    interval,
    percent,
    plural,
    points,
    points_interval,
    reward,
    signed,
)
from sarm_core.markup import Markup, cut, join, table, tag
from sarm_core.prove.benchmarks.registry import known
from sarm_core.report.charts import Mark, distribution_chart, dot_chart
from sarm_core.report.curves import LINE_SERIES, Series, curve_chart, trade_off_chart
from sarm_core.report.verdict import KINDS, headline_scores, judged, prompts_of
from sarm_core.steering import Steering

__all__ = ["curve_section", "items_section", "moved_section", "results_section"]

MAX_MARKS = 24
PROMPT_WIDTH, ANSWER_WIDTH = 260, 420
DOT_KIND = {"better": "better", "worse": "worse"}


def results_section(evaluation: Mapping[str, Any]) -> list[object]:
    """Scores per domain, subset or style, with intervals; every other score in a table to open."""
    names = headline_scores(evaluation)
    rest = [name for name in evaluation["scores"] if name not in set(names)]
    if "steering" not in evaluation:
        return [
            _plain_table(evaluation, names, "Scores of the plain model"),
            *_grid(evaluation),
            *([_more(_plain_table(evaluation, rest, "Every other score"), len(rest))] if rest else []),
        ]
    drawn = names
    if len(names) > MAX_MARKS:
        largest = sorted(names, key=lambda name: (name != "total", -evaluation["n"][name]))[:MAX_MARKS]
        drawn = [name for name in names if name in set(largest)]
    parts: list[object] = [
        dot_chart(
            "changes",
            "Change of each score under the steering, in percentage points",
            [_mark(evaluation, name) for name in drawn],
            points,
            "change, percentage points",
            _change_numbers(evaluation, drawn),
            tag(
                "ul",
                tag("li", tag("span", "●", class_="better"), " better: the interval is above 0"),
                tag("li", tag("span", "◆", class_="worse"), " worse: below 0"),
                tag("li", tag("span", "○", class_="unclear"), " not told apart from no change: it holds 0"),
                *_few_key(evaluation, drawn),
                class_="key",
            ),
        ),
    ]
    if len(drawn) < len(names):
        parts.append(
            tag("p", f"{len(drawn)} of {len(names)} scores are drawn, those with most items.", class_="note")
        )
    parts += [_score_table(evaluation, names, "Scores before and after"), *_grid(evaluation)]
    if rest:
        parts.append(_more(_score_table(evaluation, rest, "Every other score"), len(rest)))
    return parts


def curve_section(
    evaluation: Mapping[str, Any], steering: Steering, trade_off: tuple[str, str] | None
) -> list[object]:
    """The trade-off over the strength of the steering, and two scores against each other."""
    curve = evaluation.get("curve")
    if curve is None:
        return [tag("p", _no_curve(evaluation, steering))]
    strengths = curve["strengths"]
    names = [name for name in headline_scores(evaluation) if name in curve["scores"]]
    series = [_series(name, strengths, curve["scores"][name]) for name in names]
    marks = [(0.0, "plain model"), (1.0, "as steered")]
    marks = [(at, text) for at, text in marks if at in strengths]
    parts: list[object] = [
        tag(
            "p",
            "Strength t replaces every multiplier m by 1 + t (m − 1): 0 is the plain model, 1 this steering, 2 twice "
            "its change. Every point is computed, none is chosen.",
        )
    ]
    if series:
        parts.append(
            curve_chart("curve", "Scores over the strength of the steering", series, "strength", marks=marks)
        )
    if len(series) > LINE_SERIES:
        parts.append(
            tag("p", f"{LINE_SERIES} of {len(series)} scores are drawn; the table has all.", class_="note")
        )
    pair = trade_off or known(evaluation["benchmark"]).trade_off(names)
    if pair is not None:
        found = {s.name: s for s in (_series(n, strengths, curve["scores"][n]) for n in curve["scores"])}
        at = [(0.0, "plain model"), (1.0, "as steered"), (2.0, "twice")]
        parts.append(
            trade_off_chart(
                "trade-off",
                f"“{pair[0]}” against “{pair[1]}” along the strength",
                found[pair[0]],
                found[pair[1]],
                marks=[(t, text) for t, text in at if t in strengths],
            )
        )
        parts.append(
            tag(
                "p",
                "Further right and higher is better. The crosses are the intervals of the two scores.",
                class_="note",
            )
        )
    return parts


def items_section(evaluation: Mapping[str, Any], shown: int) -> list[object]:
    """Items won and lost with their texts, the largest change of the margin first."""
    flips = evaluation.get("flips", [])
    if "steering" not in evaluation:
        return []
    if not flips:
        return [tag("p", "No decision came out differently.")]
    parts: list[object] = []
    for direction in ("won", "lost"):
        found = [flip for flip in flips if flip["direction"] == direction]
        title = f"{plural(len(found), 'decision')} {direction}"
        parts.append(tag("h3", title))
        if not found:
            continue
        part = found[:shown]
        if len(part) < len(found):
            parts.append(
                tag(
                    "p",
                    f"The {plural(len(part), 'decision')} with the largest change of margin; the evaluation file "
                    f"has all {count(len(found))}.",
                    class_="note",
                )
            )
        parts += [_item(flip) for flip in part]
    return parts


def moved_section(evaluation: Mapping[str, Any]) -> list[object]:
    """Rewards before and after among the benchmark's own answers and in the complement."""
    parts: list[object] = []
    own = evaluation.get("distribution")
    if own is not None:
        parts += [
            tag("h3", "In this benchmark"),
            _moved(evaluation["collateral"]),
            _spread("spread", "Rewards of the benchmark's answers, before and after", own),
        ]
    complement = evaluation.get("complement")
    if complement is None:
        parts.append(
            tag(
                "p",
                "No complement was evaluated, so this report cannot say what the steering moves in other answers "
                "(give one with --complement).",
            )
        )
        return parts
    file = complement.get("file")
    where: object = "answers the steering is not meant for"
    if file:
        # One file may hold both: then the complement is what is left of it.
        same = file["sha256"] in [each["sha256"] for each in evaluation.get("files", ())]
        where = join(["the other answers of " if same else "", tag("bdi", cut(file["name"], 120))])
    parts.append(tag("h3", "Elsewhere: ", where))
    if "collateral" in complement:
        parts.append(_moved(complement["collateral"], complement.get("pairing", "")))
    parts.append(
        _spread("spread-elsewhere", "Rewards of the complement's answers", complement["distribution"])
    )
    return parts


# -- parts -------------------------------------------------------------------------------------------------


def _mark(evaluation: Mapping[str, Any], name: str) -> Mark:
    change = evaluation["change"][name]
    kind = judged(evaluation, name)
    few = ", few prompts" if kind == "few" else ""
    return Mark(
        name,
        f"{percent(change['before'])} → {percent(change['after'])}, n {count(evaluation['n'][name])}{few}",
        change["change"],
        change["low"],
        change["high"],
        f"{points(change['change'])}  [{points_interval(change['low'], change['high'])}]"
        if change["low"] is not None
        else points(change["change"]),
        DOT_KIND.get(kind, "unclear"),
    )


def _few_key(evaluation: Mapping[str, Any], names: Sequence[str]) -> list[Markup]:
    if not any(judged(evaluation, name) == "few" for name in names):
        return []
    return [
        tag(
            "li",
            tag("span", "○", class_="unclear"),
            f" few prompts: fewer than {FEWEST_PROMPTS}, no interval",
        )
    ]


def _change_numbers(evaluation: Mapping[str, Any], names: Sequence[str]) -> Markup:
    rows = []
    for name in names:
        change = evaluation["change"][name]
        rows.append([name, points(change["change"]), points(change["low"]), points(change["high"])])
    return table(["score", "change", "from", "to"], rows, caption="Change in percentage points")


def _score_table(evaluation: Mapping[str, Any], names: Sequence[str], caption: str) -> Markup:
    level = percent(evaluation["bootstrap"]["confidence"], 0)

    def with_interval(shown: str, between: str) -> Markup:
        small = [] if between == "no interval" else [tag("small", between, class_="block")]
        return join([shown, *small])

    rows = []
    for name in names:
        change = evaluation["change"][name]
        kind = judged(evaluation, name)
        rows.append(
            [
                name,
                count(evaluation["n"][name]),
                count(prompts_of(evaluation)[name]),
                with_interval(percent(change["before"]), interval(*evaluation["intervals"][name])),
                with_interval(percent(change["after"]), interval(*evaluation["intervals_steered"][name])),
                with_interval(points(change["change"]), points_interval(change["low"], change["high"])),
                tag("span", KINDS[kind][0], class_=f"verdict {kind}", title=KINDS[kind][1]),
            ]
        )
    return table(
        ["score", "n", "prompts", "plain", "steered", "change, points", "verdict"],
        rows,
        caption=f"{caption}; small: {level} intervals",
    )


def _plain_table(evaluation: Mapping[str, Any], names: Sequence[str], caption: str) -> Markup:
    return table(
        ["score", "n", "prompts", "value", "interval"],
        [
            [
                name,
                count(evaluation["n"][name]),
                count(prompts_of(evaluation)[name]),
                percent(evaluation["scores"][name]),
                interval(*evaluation["intervals"][name]),
            ]
            for name in names
        ],
        caption=caption,
    )


def _grid(evaluation: Mapping[str, Any]) -> list[Markup]:
    """The scores that the benchmark lays out in rows and columns, such as RM-Bench's matrix of styles."""
    scores = evaluation["scores"]
    grid = known(evaluation["benchmark"]).grid
    if grid is None or not any(
        grid.score(row, column) in scores for row in grid.rows for column in grid.columns
    ):
        return []

    def cell(name: str) -> object:
        if name not in scores:
            return ""
        if "change" not in evaluation:
            return percent(scores[name])
        change = evaluation["change"][name]
        return join(
            [
                f"{percent(change['before'])} → {percent(change['after'])}",
                tag("small", f"{points(change['change'])} points", class_="block"),
            ]
        )

    return [
        table(
            [grid.row_title, *(grid.column_title.format(column=column) for column in grid.columns)],
            [[row, *(cell(grid.score(row, column)) for column in grid.columns)] for row in grid.rows],
            caption=grid.caption,
        )
    ]


def _more(content: Markup, n: int) -> Markup:
    return tag("details", tag("summary", f"{plural(n, 'more score')}"), content)


def _series(name: str, strengths: Sequence[float], columns: Mapping[str, Any]) -> Series:
    return Series(name, strengths, columns["value"], columns.get("low"), columns.get("high"))


def _no_curve(evaluation: Mapping[str, Any], steering: Steering) -> str:
    if "steering" not in evaluation:
        return "Without a steering there is no trade-off."
    if steering.set:
        return "This steering sets a feature to a value, which has no strength, so there is no curve over it."
    if not steering.can_rerank():
        return "This steering cannot change an order, so there is no curve over its strength."
    return "This evaluation was written by an older version without the curve: evaluate again to have it."


def _item(flip: Mapping[str, Any]) -> Markup:
    facts = [flip["subset"], flip["case"], f"id {cut(flip['id'], 60)}"]
    place = f"row {flip['row']:,} of {PurePath(flip['source'].replace(chr(92), '/')).name}"
    before, after = flip["margin_before"], flip["margin_after"]

    def answer(side: str, sign: int) -> Markup:
        text = flip[f"{side}_answer"]
        shown = "(token ids without text)" if text is None else cut(text, ANSWER_WIDTH)
        preferred = after is not None and sign * after > 0
        return tag(
            "div",
            tag(
                "div",
                tag("b", f"{side.capitalize()} answer"),
                " preferred now" if preferred else "",
                class_="who",
            ),
            tag("p", shown, dir="auto"),
            class_=f"answer {side}{' preferred' if preferred else ''}",
        )

    return tag(
        "article",
        tag("p", tag("b", cut(flip["prompt"], PROMPT_WIDTH) or "(no prompt)", dir="auto"), class_="prompt"),
        tag("p", join([tag("bdi", cut(fact, 80)) for fact in [*facts, place] if fact], ", "), class_="note"),
        tag(
            "div",
            answer("right", 1),
            answer("wrong", -1),
            class_="answers",
        ),
        tag(
            "p",
            "margin ",
            tag("b", signed(before)),
            " → ",
            tag("b", signed(after)),
            class_="margin",
        ),
        class_=f"item {flip['direction']}",
    )


def _moved(found: Mapping[str, Any], pairing: str = "") -> Markup:
    text = (
        f"{count(found['moved'])} of {plural(found['answers'], 'answer')} ({percent(found['share_moved'])}) changed "
        "their reward at all"
    )
    if found["moved"]:
        text += f", by {reward(found['mean_change'])} on average over all and {reward(found['largest_change'])} at most"
    if found["pairs"]:
        text += (
            f"; {count(found['flipped'])} of {plural(found['pairs'], 'pair')} "
            f"({percent(found['share_flipped'])}) changed their order"
        )
        if pairing:
            text += f" (pairs: {cut(pairing, 80)})"
    if found["nan"]:
        text += f"; {count(found['nan'])} have no reward that is a number and are in neither share"
    return tag("p", text + ".")


def _spread(name: str, title: str, found: Mapping[str, Any]) -> Markup:
    before, after = found["before"], found.get("after")
    sides = [("before", before)] + ([("after", after)] if after is not None else [])
    levels = list(before["quantiles"])
    chart = distribution_chart(
        name,
        title,
        found["edges"],
        before["counts"],
        None if after is None else after["counts"],
        (before["mean"], None if after is None else after["mean"]),
    )
    numbers = table(
        [
            "rewards",
            "n",
            "not a number",
            "mean",
            *(f"{percent(_share(level), 0)} below" for level in levels),
        ],
        [
            [
                side,
                count(each["n"]),
                count(each["nan"]),
                reward(each["mean"]),
                *(reward(each["quantiles"].get(level)) for level in levels),
            ]
            for side, each in sides
        ],
        caption="Summary of the same rewards; “5 % below” is the reward that 5 % of the answers stay under",
    )
    return join([chart, numbers])


def _share(level: str) -> float | None:
    try:
        return float(level)
    except ValueError:
        return None
