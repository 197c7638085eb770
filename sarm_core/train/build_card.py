"""The model card of a built SARM, from its report: every figure in it was measured by that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarm_core.markup import markdown
from sarm_core.train.card import difference

__all__ = ["BASELINES", "build_card"]

BASELINES = {
    "all_features": "ridge over all features of the dictionary",
    "scalar_head": "scalar head on h (standardised)",
    "random_encoder": "the same, random directions for a dictionary",
    "length": "length of the answers alone",
    "original": "the reward model's own head",
}
"""Heads beside this one, by their name in the report, and what they are."""
_HOW = {
    "l1": "L1 chose them and their weights",
    "relaxed": "L1 chose them, ridge their weights",
    "ridge": "ridge over all of them",
}


def build_card(report: Mapping[str, Any]) -> str:
    """Markdown for the `report.json` of `sarm build`."""
    built, head, pairs = report["built"], report["head"], report["pairs"]
    lines = [
        f"# {markdown(built['name'])}",
        "",
        f"A reward model whose score is a sum over features: the first {built['layer']} blocks of "
        f"{markdown(built['backbone'])}, the dictionary {markdown(built['sae'])} of {built['n_features']:,} "
        f"features ({markdown(built['words'])}), and a head that uses {head['n_features']:,} of them "
        f"({_HOW[head['how']]}). "
        "Built by `sarm build`: backbone and dictionary are as they were, only the head was fitted. Their "
        "licences, and the "
        "data's, hold for it.",
        "",
        "## Pairs",
        "",
        f"{pairs['pairs']:,} pairs of {pairs['prompts']:,} prompts: {pairs['train']:,} to fit on, "
        f"{pairs['validation']:,} to choose by, {pairs['test']:,} to measure on, split by a hash of the prompt. "
        f"{pairs['cut']:,} of {pairs['answers']:,} answers were longer than {built['max_length']:,} tokens and "
        f"were cut on the left.{_ties(pairs, built)} {pairs['contradicting']:,} pairs contradict another one and "
        f"{pairs['against']:,} look mislabelled: they are listed in `doubtful_pairs.jsonl`, and were left in.",
        "",
        _unexplained(report["unexplained"]),
        "",
        "## Held-out accuracy",
        "",
        "Share of test pairs put in order, 95 % bootstrap intervals over prompts. All heads saw the same pairs and "
        "the same search over penalties.",
        "",
        *_table(report),
        "",
        *(
            f"This head minus *{text}*: {difference(report['baselines'][name]['paired_difference'])}.\n"
            for name, text in BASELINES.items()
            if name in report["baselines"]
        ),
        *_explained(report),
        "## Accuracy against the number of features",
        "",
        "| features used | chosen by | validation loss | test accuracy |",
        "|---|---|---|---|",
        *(
            f"| {point['n_features']:,} | {point['how']} | {point['validation_loss']:.4f} "
            f"| {_accuracy(point['test'])} |"
            for point in _thinned(report["curve"])
        ),
        "",
        "## Features that move margins most",
        "",
        "| feature | head weight | spread of the margin it makes |",
        "|---|---|---|",
        *(
            f"| {row['feature']} | {row['weight']:+.4g} | {row['margin_sd']:.3f} |"
            for row in head["largest"][:10]
        ),
    ]
    return "\n".join(lines) + "\n"


def _ties(pairs: Mapping[str, Any], built: Mapping[str, Any]) -> str:
    """What became of pairs whose two answers are called equally good."""
    if not pairs["ties"]:
        return ""
    if built["ties"] == "out":
        return f" {pairs['ties']:,} more are ties and were left out."
    return (
        f" {pairs['ties']:,} more are ties: the {pairs['ties_half']:,} of them to fit on counted as half a win for "
        "each answer; no accuracy is of a tie."
    )


def _unexplained(left: float) -> str:
    if left <= 1:
        return f"At the scored tokens the dictionary leaves {left:.1%} of the variance of h unexplained."
    return (
        f"At the scored tokens the dictionary misses h by {left:,.1f} times its variance, where the mean of h would "
        "miss by 1: it may have been trained on another model, block or kind of token."
    )


def _table(report: Mapping[str, Any]) -> list[str]:
    test = report["head"]["test"]
    sources = list(test)
    beside = {
        text: report["baselines"][name] for name, text in BASELINES.items() if name in report["baselines"]
    }
    rows = {"this SARM": test, **{text: found["test"] for text, found in beside.items()}}
    return [
        "| | " + " | ".join(f"{markdown(s)} (n = {test[s]['n']:,})" for s in sources) + " |",
        "|---" * (len(sources) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(_accuracy(found[s]) for s in sources) + " |"
            for name, found in rows.items()
        ),
    ]


def _explained(report: Mapping[str, Any]) -> list[str]:
    """What a built SARM on a reward model says of the model's own decisions."""
    found = report.get("explained")
    if found is None:
        return []
    return [
        "## How much of the reward model's own decisions the features explain",
        "",
        f"On the test pairs this SARM agrees with the reward model's own head on {_accuracy(found['agreement'])} of "
        f"the pairs, and its margin explains {found['r2']:.1%} of the variance of the original's. Fitted to the "
        f"original's margins instead of labels, the features explain {found['features']['r2']:.1%} (agreement "
        f"{_accuracy(found['features']['agreement'])}), h of the same block {found['h']['r2']:.1%} (agreement "
        f"{_accuracy(found['h']['agreement'])}).",
        "",
    ]


def _accuracy(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['accuracy']:.3f}"
    return f"{found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _thinned(curve: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One point a number of features, the last one, of at most a dozen numbers."""
    single = list({point["n_features"]: point for point in curve}.values())
    step = max(1, -(-len(single) // 12))
    return [point for i, point in enumerate(single) if i % step == 0 or point is single[-1]]
