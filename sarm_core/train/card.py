"""A model card from a run's `report.json`: every figure in it was measured by that run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["card", "difference"]

_ROWS = (
    ("this SARM", None),
    ("(a) scalar head on the same h", "scalar_head"),
    ("(b) the same SARM, random encoder", "random_encoder"),
)


def card(report_file: Path) -> str:
    """Markdown for a report written by `train-reward` in mode 0."""
    report = json.loads(report_file.read_text(encoding="utf-8"))
    stage1, stage2 = report["stage1"], report["stage2"]
    sae, head = stage1["config"], stage2["config"]
    parts = [
        f"# {head['name']}",
        "",
        f"Sparse autoencoder of {sae['n_features']:,} features (k = {sae['k']}) on block {sae['layer']} of the "
        f"backbone `{sae['backbone']}`, with a linear reward head. Files: `sarm.json`, `sarm.safetensors` "
        "(matrices float16, biases and head float32). Licences of backbone and data: see NOTICE.",
        "",
        "Small on purpose: it is here to show what a readable reward model can be asked, not to judge answers.",
        "",
        "## How it was made",
        "",
        "    sarm train-sae sarm_core/demo/train_sae.yaml",
        "    sarm train-reward sarm_core/demo/train_reward.yaml",
        "",
        f"Stage 1: {sae['steps']:,} steps of {sae['batch']:,} positions (mix {_mix(sae['mix'])}), seed {sae['seed']}. "
        f"Stage 2: mode {head['mode']}, head only, weight decay {stage2['decay']:.3g} chosen on the validation part.",
        "A tenth of all prompts is held out for test and a tenth for validation, by a hash of the prompt; neither "
        "stage was trained on them.",
        "",
        "## Reconstruction on held-out prompts",
        "",
        "| position | n | variance unexplained | normalised MSE (the paper's loss) | features firing |",
        "|---|---|---|---|---|",
        *(
            _reconstruction(kind, stage1["reconstruction"][f"test/{kind}"])
            for kind in ("scored", "sentence", "token")
            if f"test/{kind}" in stage1["reconstruction"]
        ),
        "",
        _dead(stage1),
        "",
        "## Held-out pair accuracy",
        "",
        "95 % intervals (Wilson). All three heads saw the same pairs, splits and search over weight decays.",
        "",
        *_accuracy(stage2),
    ]
    if "rm_bench_chat" in stage2:
        parts += ["", "## RM-Bench, chat (never trained on)", "", *_bench(stage2)]
    for number, remark in enumerate(head["remarks"]):
        parts += ["", *(["## Reading these figures", ""] if number == 0 else []), " ".join(remark.split())]
    return "\n".join(parts) + "\n"


def _mix(mix: Mapping[str, float]) -> str:
    names = {
        "scored": "scored tokens",
        "cut": "scored tokens of answers cut short",
        "sentence": "sentence ends",
        "token": "other answer tokens",
    }
    return ", ".join(f"{share:.0%} {names[kind]}" for kind, share in mix.items())


def _reconstruction(kind: str, row: Mapping[str, Any]) -> str:
    names = {"scored": "scored token", "sentence": "sentence end", "token": "other answer token"}
    return (
        f"| {names[kind]} | {row['n']:,} | {row['variance_unexplained']:.3f} | {row['normalised_mse']:.4f} "
        f"| {row['features_firing']:,} |"
    )


def _dead(stage1: Mapping[str, Any]) -> str:
    never = stage1["never_firing"]
    total = stage1["config"]["n_features"]
    return (
        f"Dead features: {never:,} of {total:,} ({never / total:.1%}) never fire on any position of the train, "
        "validation and test parts."
    )


def _accuracy(stage2: Mapping[str, Any]) -> list[str]:
    sources = list(stage2["test"])
    lines = [
        "| | " + " | ".join(f"{source} (n = {stage2['test'][source]['n']})" for source in sources) + " |",
        "|---" * (len(sources) + 1) + "|",
    ]
    for name, key in _ROWS:
        test = (stage2 if key is None else stage2[key])["test"]
        cells = [f"{test[s]['accuracy']:.3f} [{test[s]['low']:.3f}, {test[s]['high']:.3f}]" for s in sources]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for key, other in (("scalar_head", "(a)"), ("random_encoder", "(b)")):
        change = stage2[key]["paired_difference"]
        lines += [
            "",
            f"Paired difference to {other} over all test pairs: {difference(change)} (bootstrap over prompts, "
            f"{change['resamples']:,} resamples).",
        ]
    return lines


def difference(change: Mapping[str, Any]) -> str:
    """A paired difference with its interval, where there were prompts enough for one."""
    if change["low"] is None:
        return f"{change['difference']:+.3f} (too few prompts for an interval)"
    return f"{change['difference']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"


def _bench(stage2: Mapping[str, Any]) -> list[str]:
    lines = ["| | easy | normal | hard | mean | prompts |", "|---|---|---|---|---|---|"]
    for name, key in _ROWS:
        row = (stage2 if key is None else stage2[key])["rm_bench_chat"]
        figures = " | ".join(f"{row[key]:.3f}" for key in ("easy", "normal", "hard", "total"))
        lines.append(f"| {name} | {figures} | {row['n']} |")
    return lines
