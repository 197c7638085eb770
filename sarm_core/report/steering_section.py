"""The sections on the steering: what was changed, what each change does, and why these features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarm_core.figures import count, percent, plural, points, points_interval, reward, signed, tick
from sarm_core.markup import Markup, cut, isolated, join, table, tag
from sarm_core.report.charts import Mark, bar_chart, dot_chart
from sarm_core.report.drawing import fitted
from sarm_core.report.evidence import Evidence, FeatureNote
from sarm_core.steering import Steering

__all__ = ["COMPARED", "change_section", "evidence_section", "feature_name"]

MAX_BARS = 24
LABEL_WIDTH = 108.0
"""Pixels of a feature's name in a picture"""
MAX_ROWS = 60
COMPARED = 5
"""Features that were not steered, shown beside those that were"""


def feature_name(feature: int, notes: Mapping[int, FeatureNote]) -> str:
    """ "#12 refusal wording (suggested)"."""
    note = notes.get(feature, FeatureNote())
    return f"#{feature} {cut(note.name, 80) or 'unlabelled'}{_marked(note)}"


def _label(feature: int, notes: Mapping[int, FeatureNote]) -> str:
    """The same for a picture: short, so that the mark is not what gets cut."""
    note = notes.get(feature, FeatureNote())
    name = fitted(note.name, LABEL_WIDTH) if note.name else "unlabelled"
    return f"#{feature} {name}{_marked(note)}"


def _marked(note: FeatureNote) -> str:
    return f" ({note.mark})" if note.mark else ""


def change_section(
    evaluation: Mapping[str, Any], steering: Steering, notes: Mapping[int, FeatureNote]
) -> list[object]:
    """What was changed: every feature with its weight and change, then its share of the change of the margins."""
    if "steering" not in evaluation:
        return [tag("p", "No steering: these are the figures of the plain model.")]
    if not steering:
        return [tag("p", "The steering is there but changes nothing: every multiplier is 1.")]
    details = {
        entry["feature"]: entry for entry in evaluation.get("steered_features", {}).get("features", ())
    }
    features = list(steering.features())
    rows = []
    for feature in features[:MAX_ROWS]:
        entry = details.get(feature, {})
        active = (
            f"{count(entry['answers_active'])} of {count(entry['answers'])}"
            if "answers" in entry
            else "unknown"
        )
        rows.append(
            [
                _named(feature, notes),
                _change_in_words(steering, feature),
                reward(entry.get("w")) if entry else "unknown",
                active,
                reward(entry.get("mean_activation")) if entry else "unknown",
                _what_it_can_do(steering, feature),
            ]
        )
    parts: list[object] = [
        table(
            ["feature", "change", "head weight w", "active in", "mean z where active", "what it can do"],
            rows,
            caption="The steering, feature by feature",
            text_columns=(0, 1, 5),
        ),
        _left_out(len(features), MAX_ROWS, "steered feature"),
        tag(
            "p",
            "A reward is the sum of w z over an answer's active features, so a scaled feature moves exactly the "
            "answers in which it is active. An offset adds the same to every answer and cannot change an order.",
            class_="note",
        ),
    ]
    if any(notes[i].texts for i in features if i in notes):
        parts.append(_texts(features, notes))
    if steering.groups:
        parts.append(_groups(steering))
    if details and any(steering.multipliers().get(i, 1.0) != 1.0 or i in steering.set for i in features):
        parts.append(_shares(evaluation, features, notes))
    return parts


def evidence_section(
    evidence: Evidence | None, steering: Steering, notes: Mapping[int, FeatureNote]
) -> list[object]:
    """Why these features: the rows of the contrast for the steered ones, and some others beside them."""
    if evidence is None:
        return [
            tag(
                "p",
                "No contrast was handed to this report, so it does not say why these features were chosen. ",
                tag("code", "sarm contrast"),
                " makes one.",
            )
        ]
    steered = [i for i in steering.features() if i in evidence.by_feature]
    absent = [i for i in steering.features() if i not in evidence.by_feature]
    others = [row["feature"] for row in evidence.rows if row["feature"] not in set(steering.features())]
    shown = steered[:MAX_ROWS]
    shown.sort(key=evidence.rank)
    beside = others[:COMPARED]
    intro = [evidence.title] if evidence.title else []
    side = f"“{isolated(evidence.positive, 60)}”"
    parts: list[object] = [
        tag("p", tag("bdi", ". ".join([*intro, *evidence.facts]) + ".")) if intro or evidence.facts else "",
        tag(
            "p",
            f"The contrast lists {plural(len(evidence.rows), 'feature')}. Salience s is above 0 where a feature is "
            f"more active in the answers that are {side}; the head weight w is what the reward pays for it. Where "
            "their signs differ, the reward works against the contrast.",
            class_="note",
        ),
    ]
    if not shown and not beside:
        return [*parts, tag("p", "None of the steered features is in this contrast.")]
    drawn = shown[:MAX_BARS]
    ranked = [*shown, *beside]
    numbers = table(
        [
            "feature",
            "rank",
            "s",
            "frequency difference",
            "Cohen's d",
            "stability",
            "w",
            "s and w",
            "fires in",
        ],
        [_evidence_row(i, evidence, notes, i in set(steered)) for i in ranked],
        caption="Steered features first, then the most salient of those left alone",
    )
    if drawn:
        parts.append(
            dot_chart(
                "evidence-chart",
                "Salience s of the steered features, with its interval",
                [_salience_mark(i, evidence, notes) for i in drawn],
                tick,
                "salience s",
                _salience_numbers(drawn, evidence, notes),
            )
        )
    parts += [numbers, _left_out(len(steered), MAX_ROWS, "steered feature")]
    opposed = [i for i in steered if evidence.by_feature[i]["opposes_head"]]
    sentences = []
    if opposed:
        sentences.append(f"s and w have opposite signs in {_list(opposed)}")
    few = [i for i in steered if evidence.by_feature[i]["few"]]
    if few:
        sentences.append(f"too few answers to judge (fewer than 20) in {_list(few)}")
    fragile = [i for i in steered if evidence.by_feature[i]["fragile"]]
    if fragile:
        sentences.append(f"s has no bound (its denominator is not positive) in {_list(fragile)}")
    if absent:
        sentences.append(f"not active in any answer of the contrast: {_list(absent)}")
    if sentences:
        parts.append(tag("ul", *(tag("li", text[0].upper() + text[1:] + ".") for text in sentences)))
    return parts


# -- parts -------------------------------------------------------------------------------------------------


def _named(feature: int, notes: Mapping[int, FeatureNote]) -> Markup:
    note = notes.get(feature, FeatureNote())
    parts: list[object] = [tag("b", f"#{feature}"), " "]
    parts.append(tag("bdi", cut(note.name, 200)) if note.name else tag("i", "unlabelled"))
    if note.mark:
        parts.append(tag("small", _marked(note)))
    if note.density is not None:
        parts.append(tag("small", f" fires at {percent(note.density, 2)} of positions", class_="block"))
    return join(parts)


def _change_in_words(steering: Steering, feature: int) -> Markup:
    out: list[object] = []
    multiplier = steering.multipliers().get(feature, 1.0)
    if feature in steering.set:
        out.append(f"= {reward(steering.set[feature])} where active")
    elif multiplier != 1.0:
        words = " (silenced)" if multiplier == 0 else " (reversed)" if multiplier < 0 else ""
        out.append(f"× {_plain_number(multiplier)}{words}")
    if steering.offset.get(feature):
        out.append(f"{signed(steering.offset[feature])} in every answer")
    groups = [name for name, group in steering.groups.items() if feature in group.features]
    if groups:
        out.append(tag("small", "group ", tag("bdi", cut(", ".join(groups), 60))))
    return join(out, ", ")


def _plain_number(value: float) -> str:
    return f"{value:.6g}".replace("-", "\u2212", 1) if value < 0 else f"{value:.6g}"


def _what_it_can_do(steering: Steering, feature: int) -> str:
    if feature in steering.set:
        return "can re-rank; cannot be folded into the head"
    if steering.multipliers().get(feature, 1.0) != 1.0:
        also = "; its offset cannot" if steering.offset.get(feature) else ""
        return f"can re-rank{also}"
    return "cannot re-rank"


def _texts(features: list[int], notes: Mapping[int, FeatureNote]) -> Markup:
    entries = [
        tag(
            "li",
            tag("b", tag("bdi", feature_name(i, notes))),
            tag("ul", *(tag("li", tag("q", cut(text, 240), dir="auto")) for text in notes[i].texts)),
        )
        for i in features
        if i in notes and notes[i].texts
    ]
    return tag(
        "details",
        tag("summary", "Where these features fire most, from the store"),
        tag("ul", *entries, class_="texts"),
        class_="printed",
    )


def _groups(steering: Steering) -> Markup:
    return table(
        ["group", "features", "multiplier"],
        [
            [cut(name, 80), ", ".join(f"#{i}" for i in group.features), f"× {_plain_number(group.scale)}"]
            for name, group in steering.groups.items()
        ],
        caption="Groups: one multiplier for all their features, on top of their own",
        text_columns=(0, 1),
    )


def _shares(evaluation: Mapping[str, Any], features: list[int], notes: Mapping[int, FeatureNote]) -> Markup:
    found = evaluation["steered_features"]
    changes = {entry["feature"]: entry["margin_change"] for entry in found["features"]}
    margins = found["margins"]
    series = [name for name in margins["before"] if margins["before"][name] is not None]
    first = series[0] if series else "all items"
    # The largest share of the change comes first; what is not drawn is still in the table.
    order = sorted(
        (i for i in features if i in changes), key=lambda i: (-abs(changes[i].get(first) or 0.0), i)
    )
    chart = bar_chart(
        "shares",
        "What each steered feature adds to the mean margin between right and wrong answers",
        [(_label(i, notes), changes[i]) for i in order[:MAX_BARS]],
        series,
        "change of the mean margin, in units of reward",
    )
    lines = []
    for name in series[:8]:
        before, after = margins["before"][name], margins["after"].get(name)
        parts = [changes[i].get(name) for i in order]
        if after is None or any(part is None for part in parts):
            continue
        total = sum(part for part in parts if part is not None)
        lines.append(
            [
                name,
                count(margins["items"].get(name)),
                signed(before),
                signed(after),
                signed(after - before),
                signed(total),
            ]
        )
    return join(
        [
            chart,
            _left_out(len(order), MAX_BARS, "steered feature"),
            table(
                ["items", "n", "mean margin before", "after", "change", "sum over the features"],
                lines,
                caption="The features' shares sum to the change of the mean margin",
            ),
            tag(
                "p",
                "Exact: a margin is a sum over features. A margin is the reward of a right answer minus that of a "
                "wrong one, the mean over an item's pairs of answers. A higher mean margin need not win decisions.",
                class_="note",
            ),
        ]
    )


def _salience_mark(feature: int, evidence: Evidence, notes: Mapping[int, FeatureNote]) -> Mark:
    row = evidence.by_feature[feature]
    sign = "w opposes s" if row["opposes_head"] else "w agrees with s"
    return Mark(
        _label(feature, notes),
        f"w {signed(row['w'])}, {sign}",
        row["s"],
        row["s_low"],
        row["s_high"],
        signed(row["s"]),
        "worse" if row["opposes_head"] else "better",
    )


def _salience_numbers(features: list[int], evidence: Evidence, notes: Mapping[int, FeatureNote]) -> Markup:
    rows = []
    for i in features:
        row = evidence.by_feature[i]
        rows.append([feature_name(i, notes), signed(row["s"]), signed(row["s_low"]), signed(row["s_high"])])
    return table(["feature", "s", "from", "to"], rows, caption="Salience s with its interval")


def _evidence_row(
    feature: int, evidence: Evidence, notes: Mapping[int, FeatureNote], steered: bool
) -> list[object]:
    row = evidence.by_feature[feature]
    name = tag("bdi", feature_name(feature, notes))
    with_s = [signed(row["s"])]
    if row["s_low"] is not None and row["s_high"] is not None:
        with_s.append(tag("small", f"{signed(row['s_low'])} to {signed(row['s_high'])}", class_="block"))
    frequency = [f"{points(row['freq_difference'])} points"]
    if row["freq_difference_low"] is not None and row["freq_difference_high"] is not None:
        between = points_interval(row["freq_difference_low"], row["freq_difference_high"])
        frequency.append(tag("small", between, class_="block"))
    stability = percent(row["stability"], 0)
    if row["n_differing"]:
        stability += f" of {int(row['n_differing']):,}"
    return [
        name if steered else join([name, tag("small", " (not steered)")]),
        f"{evidence.rank(feature):,}",
        join(with_s),
        join(frequency),
        signed(row["cohens_d"]),
        stability,
        signed(row["w"]),
        "opposed" if row["opposes_head"] else "agree",
        "unknown" if row["n_firing"] is None else f"{int(row['n_firing']):,}",
    ]


def _left_out(n: int, shown: int, what: str) -> Markup:
    if n <= shown:
        return Markup("")
    return tag("p", f"{shown} of {plural(n, what)} are shown.", class_="note")


def _list(features: list[int]) -> str:
    return ", ".join(f"#{i}" for i in features[:12]) + (
        f" and {len(features) - 12} more" if len(features) > 12 else ""
    )
