"""Does a harmless rewrite change the order? Pairs and their rewrites encoded once, checked under any steering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.draw.files import uploaded
from app.draw.plain_text import cut
from app.session.comparison import Answer, Comparison
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import HOW_NAMED, insert_names
from sarm_core.errors import SarmError
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.corpus import CORPUS_SETS
from sarm_core.prove.perturb import Perturbation, rewritten
from sarm_core.prove.rewritten import Rewritten, encode_rewrites
from sarm_core.score.encoded import Progress
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader

__all__ = [
    "RULES",
    "SEED",
    "SIDES",
    "Checked",
    "check_corpus",
    "check_upload",
    "flip_comparison",
    "flip_rows",
    "moved_rows",
    "outcome",
    "rate",
    "rule_rows",
    "totals",
]

RULES = {
    "whitespace": "two spaces after a sentence, one blank line more between paragraphs",
    "greeting": "a greeting before the first word",
    "reordered list": "the items of a list of things in another order; instructions and sentences stay",
    "synonyms": "words of a small table replaced by synonyms",
    "suffix": "a polite last sentence",
}
SIDES = {"both": "both rewritten", "chosen": "only chosen rewritten", "rejected": "only rejected rewritten"}
SEED = 0
TOP = 30


@dataclass(frozen=True, eq=False)
class Checked:
    """Pairs that were checked, under the name people know them by."""

    title: str
    of: Rewritten
    said: tuple[str, ...] = ()
    """As what rows were read"""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd."""
        n_cut = int((self.of.n_cut > 0).sum())
        cut = (
            f"{n_cut} texts were too long for the model and were cut on the left; a rewrite that lost another part "
            "of the prompt than its original is in no figure",
        )
        return (*self.said, *self.of.notes, *(cut if n_cut else ()))


def check_corpus(
    engine: Engine, name: str, rules: Sequence[str], most: int, progress: Progress | None = None
) -> Checked:
    """Pairs of the project's corpus (a name in `CORPUS_SETS`), `most` of them, evenly spread over the set."""
    chosen = CORPUS_SETS[name]
    found = encode_rewrites(engine.scorer, chosen.pairs(), rules, most=most, seed=SEED, progress=progress)
    return Checked(chosen.title, found)


def check_upload(
    engine: Engine,
    file: tuple[str, bytes],
    rules: Sequence[str],
    most: int,
    progress: Progress | None = None,
    *,
    reader: Reader | None = None,
) -> Checked:
    """Pairs of an uploaded file. Raises RowError naming the upload and the row, SarmError."""
    with uploaded(file) as (path,):
        reader = reader or Reader()
        pairs = Pairs.read(path, reader=reader).under_names({str(path): file[0]})
    found = encode_rewrites(engine.scorer, pairs, rules, most=most, seed=SEED, progress=progress)
    return Checked(file[0], found, tuple(reader.said()))


def outcome(of: Checked, steering: Steering) -> Perturbation:
    """Arithmetic on the stored activations. Raises SteeringError when the steering does not fit the model."""
    return of.of.outcome(steering, top=TOP)


def rule_rows(plain_model: Perturbation, steered: Perturbation | None) -> pd.DataFrame:
    """One row a rule: what it does, answers rewritten, orders asked (n), changed, and their share, before and after."""
    rows = []
    after = {} if steered is None else {row["rule"]: row for row in steered.rules.to_dict("records")}
    for row in plain_model.rules.to_dict("records"):
        line = {
            "rule": row["rule"],
            "flip_rate": row.get("flip_rate", np.nan),
            "flips": _count(row, "flips"),
            "n": _asked(row),
        }
        if after:
            row = after[row["rule"]]
            line |= {"rate_steered": row.get("flip_rate", np.nan), "flips_steered": _count(row, "flips")}
        line |= {
            "answers": row["answers"],
            "not_applicable": row["not_applicable"],
            "cut": row["cut"],
            "mean_change": row.get("mean_change", np.nan),
            "mean_abs_change": row.get("mean_abs_change", np.nan),
            "what": RULES[row["rule"]],
        }
        line["nan"] = _count(row, "nan")
        rows.append(line)
    return pd.DataFrame(rows)


def totals(found: Perturbation) -> tuple[int, int]:
    """Orders that changed and orders asked, over all rules."""
    rows = found.rules.to_dict("records")
    return sum(_count(row, "flips") for row in rows), sum(_asked(row) for row in rows)


def rate(found: Perturbation) -> float:
    """The share of orders that changed, over all rules, pairs weighing as they do in each; NaN for none asked."""
    asked = found.rules.dropna(subset=["flip_rate"]) if "flip_rate" in found.rules else found.rules.head(0)
    return float(np.average(asked["flip_rate"], weights=asked["weight"])) if len(asked) else np.nan


def _asked(row: Mapping[object, float]) -> int:
    return sum(_count(row, f"pairs_{side}") for side in SIDES)


def _count(row: Mapping[object, float], name: str) -> int:
    value = row.get(name, 0)
    return 0 if np.isnan(value) else int(value)


def moved_rows(found: Perturbation, rule: str, notes: Mapping[int, FeatureNote]) -> pd.DataFrame:
    """Features whose w z the rule moved most, with labels; with "all rules" each by the rule that moved it most.

    The largest over rules and not the sum: a feature that leads there also leads in its rule's own list, so
    that none is missed.
    """
    table = found.features
    if rule != "all rules":
        table = table[table["rule"] == rule]
    table = table.sort_values("mean_abs_change", ascending=False, kind="stable")
    table = table.drop_duplicates("feature").head(TOP).reset_index(drop=True)
    insert_names(table, notes)
    return table[
        ["feature", "label", HOW_NAMED, "w", "mean_change", "mean_abs_change", "share_changed", "rule"]
    ]


def flip_rows(of: Checked, found: Perturbation) -> pd.DataFrame:
    """Every flip with its prompt, largest change of the margin first."""
    table = found.flips.copy()
    size = (table["margin_after"] - table["margin_before"]).abs()
    table = table.iloc[np.argsort(-size.to_numpy(dtype=float), kind="stable")].reset_index(drop=True)
    prompts = [
        (messages[-2].content if len(messages) > 1 else "")
        if (messages := of.of.pairs[pair][0].messages)
        else ""
        for pair in table["pair"]
    ]
    table["prompt"] = [cut(text, 160) for text in prompts]
    table["id"] = [of.of.items[pair].id for pair in table["pair"]]
    return table


def flip_comparison(of: Checked, rule: str, pair: int, side: str) -> tuple[Comparison, int, int]:
    """Both answers, and the rewrites that changed their order, for the compare page; and the two to compare.

    Raises SarmError when they have no text, or do not answer the same turns.
    """
    chosen, rejected = of.of.pairs[pair]
    if chosen.messages is None or rejected.messages is None:
        raise SarmError("this pair holds token ids without text, so there is nothing to show on that page")
    if chosen.messages[:-1] != rejected.messages[:-1]:
        raise SarmError("the two answers follow different turns, so that page cannot show them side by side")
    answers = [Answer(chosen.answer or "", "chosen"), Answer(rejected.answer or "", "rejected")]
    shown = [0, 1]
    for number, (name, answer) in enumerate((("chosen", chosen), ("rejected", rejected))):
        version = rewritten(answer, rule, SEED) if side in (name, "both") else None
        if version is not None:
            shown[number] = len(answers)
            answers.append(Answer(version.answer or "", f"{name}, {rule}"))
    origin = f"{of.title}, {of.of.items[pair].id}"
    return Comparison(chosen.messages[:-1], tuple(answers), origin), shown[0], shown[1]
