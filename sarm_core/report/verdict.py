"""What an evaluation says, in words that follow from the figures by rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.figures import (
    count,
    interval,
    percent,
    plural,
    points,
    points_interval,
)
from sarm_core.markup import isolated
from sarm_core.prove.benchmarks.registry import known
from sarm_core.steering import Steering

__all__ = ["KINDS", "headline_scores", "judged", "prompts_of", "row_verdict", "verdict"]

KINDS = {
    "better": ("better", "The interval of the change is above 0."),
    "worse": ("worse", "The interval of the change is below 0."),
    "unclear": ("not told apart", "The interval of the change holds 0."),
    "unchanged": ("unchanged", "No resample changed at all."),
    "few": ("few prompts", f"Fewer than {FEWEST_PROMPTS} prompts: no interval is drawn."),
    "open": ("no interval", "No bootstrap was drawn."),
    "undefined": ("undefined", "There is no such score here."),
}
"""What a verdict on one score is called, and what it rests on"""


def row_verdict(change: float | None, low: float | None, high: float | None, prompts: int) -> str:
    """A key of `KINDS` for a change over `prompts` prompts and its interval."""
    if change is None:
        return "undefined"
    if prompts < FEWEST_PROMPTS:
        return "few"
    if low is None or high is None:
        return "open"
    if change == low == high == 0:
        return "unchanged"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "unclear"


def judged(evaluation: Mapping[str, Any], name: str) -> str:
    """The verdict on one score of an evaluation."""
    change = evaluation["change"][name]
    return row_verdict(change["change"], change["low"], change["high"], prompts_of(evaluation)[name])


def prompts_of(evaluation: Mapping[str, Any]) -> Mapping[str, int]:
    """Prompts under each score; an older file has only the values, of which there are at least as many."""
    found: Mapping[str, int] = evaluation.get("prompts", evaluation["n"])
    return found


def headline_scores(evaluation: Mapping[str, Any]) -> list[str]:
    """The total and the scores by domain, subset and difficulty (see `Benchmark.headlines`)."""
    return known(evaluation["benchmark"]).headlines(evaluation["scores"])


def verdict(evaluation: Mapping[str, Any], steering: Steering) -> tuple[str, str, list[str]]:
    """(kind, the verdict in a few words, two sentences)."""
    if "steering" not in evaluation:
        return _plain(evaluation)
    change = evaluation["change"]["total"]
    kind = judged(evaluation, "total")
    if not steering.can_rerank():
        what = "only adds constants" if steering else "changes nothing"
        return (
            "unchanged",
            "It cannot change an order",
            [
                f"This steering {what}, which moves every answer alike, so it cannot change an order: the total "
                f"stays at {percent(change['after'])}.",
                _decisions(evaluation),
            ],
        )
    words = {
        "better": "Better on these items",
        "worse": "Worse on these items",
        "unclear": "Not told apart from no change",
        "unchanged": "No score changed",
        "few": "Too few prompts to judge",
        "open": "Changed, but without an interval",
        "undefined": "There is no total to judge",
    }[kind]
    return kind, words, [_total(evaluation, change, kind), _decisions(evaluation)]


def _plain(evaluation: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    total, between = evaluation["scores"]["total"], evaluation["intervals"]["total"]
    first = f"The plain model reaches a total of {percent(total)} over {plural(evaluation['items'], 'item')}"
    if between[0] is not None:
        first += f" ({_level(evaluation)} interval {interval(*between)})"
    return (
        "plain",
        "The plain model, without a steering",
        [first + ".", "Nothing was changed, so there is no before and after to compare."],
    )


def _total(evaluation: Mapping[str, Any], change: Mapping[str, float | None], kind: str) -> str:
    if kind == "undefined":
        return "The total is undefined on these items, so nothing can be said about its change."
    if kind == "unchanged":
        return (
            f"The total is {percent(change['after'])} with and without the steering over "
            f"{plural(evaluation['items'], 'item')}: none of its comparisons came out differently."
        )
    text = (
        f"The steering takes the total from {percent(change['before'])} to {percent(change['after'])}, "
        f"a change of {points(change['change'])} points"
    )
    if kind == "few":
        return (
            f"{text}; {plural(prompts_of(evaluation)['total'], 'prompt')} (in one part at least) are too few for an "
            "interval, so whether that is more than chance is not known."
        )
    if kind == "open":
        return text + "; no bootstrap was drawn, so whether that is more than chance is not known."
    text += f" ({_level(evaluation)} interval {points_interval(change['low'], change['high'])})"
    return (
        text
        + {
            "better": ", so on items like these it does better.",
            "worse": ", so on items like these it does worse.",
            "unclear": ", which is not told apart from no change because the interval holds 0.",
        }[kind]
    )


def _decisions(evaluation: Mapping[str, Any]) -> str:
    won, lost = evaluation["won"], evaluation["lost"]
    decisions = plural(evaluation["decisions"], "decision")
    if won + lost == 0:
        return f"None of its {decisions} came out differently."
    text = f"Of {decisions} it wins {count(won)} and loses {count(lost)}"
    parts = [name for name in headline_scores(evaluation) if name != "total"]
    clear = [
        (name, evaluation["change"][name])
        for name in parts
        if judged(evaluation, name) in ("better", "worse")
    ]
    if clear:
        clear.sort(key=lambda entry: entry[1]["change"])
        ends = [clear[-1]] if clear[-1][1]["change"] > 0 else []
        ends += [clear[0]] if clear[0][1]["change"] < 0 else []
        text += "; " + " and ".join(
            f"“{isolated(name)}” changes by {points(c['change'])} points ({points_interval(c['low'], c['high'])})"
            for name, c in ends
        )
    elif parts and evaluation["bootstrap"]["resamples"]:
        text += "; no part of the benchmark changed clearly"
    return text + "."


def _level(evaluation: Mapping[str, Any]) -> str:
    return percent(evaluation["bootstrap"]["confidence"], 0)
