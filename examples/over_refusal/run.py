"""Reproduce the over-refusal case study: `python examples/over_refusal/run.py`.

Finds the features behind refusals in the project's corpus, silences them, and shows on held-out items what that wins
back and what it costs, as a curve over the multiplier, beside control features that weigh as much. Writes to --out:

    contrast.csv     every feature: refusing against answering answers
    steering.json    the features at x0
    pairs.jsonl      the held-out pairs
    curve.csv        both scores at every multiplier, with 95 % intervals
    control.csv      what silencing other features of the same weight does
    bonus.csv        what a flat bonus for every answer that does not refuse would do
    evaluation.json  before and after, by `sarm evaluate`
    report.html      the same for a colleague
    steered/         the steered model, by `sarm export`; its rewards are checked after reloading
    summary.json     the figures that docs/over-refusal.md quotes; with --page it and its pictures are written, too

Encoding takes a few minutes on two cores the first time and is kept on disk. Everything after it is arithmetic.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from examples.over_refusal.document import multiplier_curve, write_page
from examples.over_refusal.study import (
    ITEMS,
    MULTIPLIERS,
    RULE,
    Found,
    corpus_matrix,
    find,
    flat_bonus,
    held_out,
    matched_draws,
    outcome,
)
from feature_db import Store
from sarm_core import (
    FeatureMatrix,
    FeatureNote,
    Pairs,
    SarmError,
    Steering,
    encode_once,
    html_report,
    load_sarm,
    notes_of,
    read_contrast,
    strength_curve,
    whole_file,
)
from sarm_core import main as sarm
from sarm_core.demo import STORE

ROOT = Path(__file__).resolve().parents[2]

QUESTION = "Does silencing the features behind refusals win harmless requests back, and what does it cost?"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="demo", help='"demo", a checkpoint folder or a Hub id')
    parser.add_argument(
        "--items", type=Path, default=ITEMS, help="held-out items (default: those beside this file)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "over-refusal")
    parser.add_argument("--draws", type=int, default=1000, help="control sets of features")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--page", type=Path, help="also write this page of the documentation")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="written into the report")
    parser.add_argument("--cache", type=Path, help="where encoded answers are kept")
    options = parser.parse_args()
    try:
        run(options)
    except SarmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    """The whole study; every file is written whole."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    scorer = load_sarm(options.model)
    benchmark = held_out(options.items)
    with tqdm(unit=" tokens", unit_scale=True, desc="encoding", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        corpus = corpus_matrix(scorer, progress, options.cache)
        bar.reset()
        matrix = encode_once(scorer, benchmark.conversations, folder=options.cache, progress=progress).matrix

    found = find(corpus, resamples=options.resamples)
    if not found.features:
        raise SarmError("no feature follows the rule, so there is nothing to steer: " + "; ".join(RULE))
    steering = found.steering()
    with whole_file(out / "contrast.csv") as file:
        found.contrast.table.to_csv(file, index=False)
    with whole_file(out / "steering.json") as file:
        file.write(steering.to_json() + "\n")
    write_pairs(out / "pairs.jsonl", benchmark)

    # At strength t a feature silenced at 1 has the multiplier 1 - t.
    curve = strength_curve(
        benchmark, matrix, steering, [1.0 - m for m in MULTIPLIERS], resamples=options.resamples
    )
    curve.insert(0, "multiplier", np.round(1.0 - curve.pop("strength"), 6))
    with whole_file(out / "curve.csv") as file:
        curve.to_csv(file, index=False)
    control = controls(benchmark, matrix, corpus, found, options.draws)
    with whole_file(out / "control.csv") as file:
        control.to_csv(file, index=False)
    bonus = flat_bonus(benchmark, matrix, [round(0.05 * step, 2) for step in range(41)])
    with whole_file(out / "bonus.csv") as file:
        bonus.to_csv(file, index=False)

    steered = ["--steering", out / "steering.json"]
    evaluation, contrasted = out / "evaluation.json", out / "contrast.csv"
    command(
        "evaluate",
        "pairs",
        out / "pairs.jsonl",
        *model(options),
        *steered,
        *cache(options),
        "--out",
        evaluation,
    )
    report = html_report(
        json.loads(evaluation.read_text(encoding="utf-8")),
        title="Over-refusal",
        question=QUESTION,
        time=options.date,
        evidence=read_contrast(contrasted),
        notes=notes(options, found, scorer.fingerprint),
        curves=[multiplier_curve(curve)],
        commands=[f"python examples/over_refusal/run.py --model {shlex.quote(str(options.model))}"],
    )
    with whole_file(out / "report.html") as file:
        file.write(report)
    error = shipped(options, out, steering, benchmark, matrix)

    summary = summarised(found, benchmark, matrix, steering, curve, control)
    summary["model"] = {
        "source": str(options.model), "fingerprint": scorer.fingerprint, "n_features": scorer.n_features
    }  # fmt: skip
    summary["answers_longer"] = answers_longer(benchmark)
    summary["error_after_reload"] = error
    summary["flat_bonus"] = same_gain(bonus, summary["subsets"]["should answer"]["accuracy"]["x0"][0])
    with whole_file(out / "summary.json") as file:
        json.dump(summary, file, indent=1)
        file.write("\n")
    if options.page:
        write_page(options.page, summary, curve)
    say(summary, out)


def write_pairs(path: Path, benchmark: Pairs) -> None:
    """The held-out pairs as a file that `evaluate` and the app read."""
    with whole_file(path) as file:
        for item, chosen, rejected in zip(benchmark.items, benchmark.chosen, benchmark.rejected, strict=True):
            sides = (benchmark.conversations[chosen], benchmark.conversations[rejected])
            row = {
                "id": item.id,
                "subset": item.subset,
                "chosen": sides[0].as_dicts(),
                "rejected": sides[1].as_dicts(),
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def controls(benchmark: Pairs, matrix: FeatureMatrix, corpus: FeatureMatrix, found: Found, draws: int) -> Any:
    """One row a control set: how many pairs of each subset silencing it wins and loses."""
    import pandas as pd

    rows = []
    for drawn in matched_draws(corpus, found.features, draws=draws):
        counts = outcome(benchmark, matrix, Steering(scale=dict.fromkeys(drawn.tolist(), 0.0)))
        row: dict[str, Any] = {"features": " ".join(map(str, drawn))}
        for subset, (_, won, lost) in counts.items():
            row |= {f"{subset}: won": won, f"{subset}: lost": lost, f"{subset}: net": won - lost}
        rows.append(row)
    return pd.DataFrame(rows)


def notes(options: argparse.Namespace, found: Found, fingerprint: str) -> dict[int, FeatureNote]:
    """Names and texts of the features, from the store that comes with the embedded model."""
    if options.model != "demo":
        return {}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.db"
        with lzma.open(STORE) as source, store.open("wb") as target:
            shutil.copyfileobj(source, target)
        with Store.open(store, fingerprint) as opened:
            return notes_of(opened, found.features)


def answers_longer(benchmark: Pairs) -> float:
    """Share of the pairs in which the answer has more characters than the refusal."""
    longer = []
    for item, chosen, rejected in zip(benchmark.items, benchmark.chosen, benchmark.rejected, strict=True):
        sizes = [len(benchmark.conversations[i].answer or "") for i in (chosen, rejected)]
        longer.append(sizes[0] > sizes[1] if item.subset == "should answer" else sizes[1] > sizes[0])
    return float(np.mean(longer))


def same_gain(bonus: Any, wanted: float) -> dict[str, float] | None:
    """The smallest flat bonus that wins as many "should answer" pairs as the steering, and both scores there."""
    scores = bonus.pivot(index="bonus", columns="score", values="value")
    enough = scores[scores["should answer"] >= wanted]
    if enough.empty:
        return None
    return {"bonus": float(enough.index[0]), **{str(k): float(v) for k, v in enough.iloc[0].items()}}


def shipped(
    options: argparse.Namespace, out: Path, steering: Steering, benchmark: Pairs, matrix: FeatureMatrix
) -> float:
    """Export the steered model, load it again, score some pairs; the largest difference from the steered rewards."""
    target = out / "steered"
    if (target / "sarm.json").is_file():  # of an earlier run
        shutil.rmtree(target)
    command("export", *model(options), "--steering", out / "steering.json", "--out", target)
    some = list(range(min(32, len(benchmark.conversations))))
    again = load_sarm(target).score([benchmark.conversations[i] for i in some]).rewards
    return float(np.abs(again - steering.rewards(matrix.select(np.array(some)))).max())


def summarised(
    found: Found, benchmark: Pairs, matrix: FeatureMatrix, steering: Steering, curve: Any, control: Any
) -> dict[str, Any]:
    """The figures the documentation quotes."""
    counts = outcome(benchmark, matrix, steering)
    shown = [
        "feature",
        "w",
        "s",
        "s_low",
        "s_high",
        "chosen_freq",
        "rejected_freq",
        "stability",
        "margin_share",
    ]
    subsets = {}
    for name, (n, won, lost) in counts.items():
        at = {
            m: curve[(curve["score"] == name) & (curve["multiplier"] == m)].iloc[0] for m in (1.0, 0.0, -1.0)
        }
        net = control[f"{name}: net"].to_numpy()
        subsets[name] = {
            "pairs": n,
            "prompts": int(np.unique(benchmark.prompts[[i.subset == name for i in benchmark.items]]).size),
            "won": won,
            "lost": lost,
            "accuracy": {f"x{m:g}": [float(at[m][c]) for c in ("value", "low", "high")] for m in at},
            "change_at_x0": [float(at[0.0]["value"] - at[1.0]["value"]),
                             float(at[0.0]["change_low"]), float(at[0.0]["change_high"])],
            "control_net": {"median": float(np.median(net)), "p95": float(np.quantile(net, 0.95)),
                            "min": float(net.min()), "max": float(net.max())},
        }  # fmt: skip
    return {
        "rule": list(RULE),
        "pairs_to_find": found.n_pairs,
        "features": found.rows[shown].to_dict("records"),
        "subsets": subsets,
        "control_draws": len(control),
    }


def say(summary: dict[str, Any], out: Path) -> None:
    """The result in a few lines."""
    features = ", ".join(f"#{row['feature']}" for row in summary["features"])
    print(f"features that follow the rule: {features}")
    for name, found in summary["subsets"].items():
        before, after = found["accuracy"]["x1"], found["accuracy"]["x0"]
        change = found["change_at_x0"]
        print(
            f"{name} ({found['pairs']} pairs): {before[0]:.3f} -> {after[0]:.3f}, change {change[0]:+.3f} "
            f"[{change[1]:+.3f}, {change[2]:+.3f}]; {found['won']} won, {found['lost']} lost; "
            f"{summary['control_draws']:,} controls: net {found['control_net']['min']:+.0f} to "
            f"{found['control_net']['max']:+.0f}, median {found['control_net']['median']:+.0f}"
        )
    if summary["flat_bonus"] is not None:
        print(f"a flat bonus that wins as many: {summary['flat_bonus']}")
    print(f"written to {out}")


def command(*words: object) -> None:
    """Run one of the project's own commands, printed as a person would type it."""
    texts = [str(word) for word in words]
    print("$ sarm " + shlex.join(texts), file=sys.stderr)
    if sarm(texts):
        raise SarmError(f"the command {texts[0]} failed, see above")


def model(options: argparse.Namespace) -> list[str]:
    return ["--model", str(options.model)]


def cache(options: argparse.Namespace) -> list[str]:
    return ["--cache", str(options.cache)] if options.cache else []


if __name__ == "__main__":
    sys.exit(main())
