"""How much of the reward falls on features with a name that holds, and do such names hold on prompts they never saw?

    python benchmarks/names.py                        on a copy of the store that ships
    python benchmarks/names.py --store STORE.db       on a copy of another
    python benchmarks/names.py --generated NEW.jsonl  the store's own names on rows of answers made after them

A fifth of the prompts is kept out altogether; names are made of the rest, as `sarm suggest` makes them (half to make
them, half to try them). On the answers kept out: the share of the sum of |w z| that falls on named features, beside the
method before this one (words at the places a feature fires at; those were made of all texts, which flatters them, and
several features share one), and for the 100 names with the most of it, how often each tells which of two answers has
more of its feature (a pair it does not decide counts half; interval over prompts). Against chance: the same after each
feature's activations are shuffled within prompts.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.report import Figure, arguments, publish
from benchmarks.suggestions import SHIPPED, copied
from feature_db import Store
from sarm_core import load_sarm
from sarm_core.bootstrap import interval, redrawn
from sarm_core.demo import CORPUS
from sarm_core.harvest import suggest_pairs
from sarm_core.harvest.pairwise import AnswerSet, PairwiseName, names_of
from sarm_core.text.answer_traits import TRAITS, TraitTable, measured, words_of
from sarm_core.text.row_files import read_rows

LARGEST = 100


def part(answers: AnswerSet, rows: npt.NDArray[np.int64]) -> AnswerSet:
    """The answers of some rows."""
    traits = TraitTable(answers.traits.traits, answers.traits.values[rows])
    return AnswerSet(answers.z[rows], traits, answers.group[rows], [answers.prompt[i] for i in rows.tolist()])


def shuffled(answers: AnswerSet, seed: int) -> AnswerSet:
    """Each answer with the activations of another one to its prompt."""
    rng = np.random.default_rng(seed)
    order = np.arange(len(answers.prompt))
    for group in np.unique(answers.group):
        rows = np.flatnonzero(answers.group == group)
        order[rows] = rng.permutation(rows)
    return AnswerSet(sparse.csr_matrix(answers.z[order]), answers.traits, answers.group, answers.prompt)


def right_share(name: PairwiseName, answers: AnswerSet) -> npt.NDArray[np.float64]:
    """[prompts, 2]: right forecasts, and pairs in which the feature differs; an undecided pair is half right."""
    words = {}
    for column, trait in enumerate(answers.traits.traits):
        words[trait.more], words[trait.less] = (column, 1.0), (column, -1.0)
    chosen = [words[word] for word, *_ in name.evidence["traits"]]
    z = answers.z[:, [name.feature]].toarray()[:, 0]
    found = []
    for group in np.unique(answers.group):
        rows = np.flatnonzero(answers.group == group)
        first, second = (rows[i] for i in np.triu_indices(len(rows), 1))
        sign, score = np.sign(z[first] - z[second]), np.zeros(len(first))
        for column, direction in chosen:
            apart = np.sign(answers.traits.values[first, column] - answers.traits.values[second, column])
            score = np.where(score == 0, apart * direction, score)
        found.append((((score * sign + 1) / 2)[sign != 0].sum(), np.abs(sign).sum()))
    return np.array(found, dtype=np.float64)


def held(names: list[PairwiseName], answers: AnswerSet) -> list[Figure]:
    """How often names tell which of two of these answers has more of their feature."""
    rights = np.array([right_share(name, answers) for name in names])
    rights = rights[rights[:, :, 1].sum(axis=1) > 0]
    each = rights[:, :, 0].sum(axis=1) / rights[:, :, 1].sum(axis=1)
    totals = rights.sum(axis=0)
    right, pairs = redrawn(totals.T, 2000, np.random.default_rng(0))
    low, high = interval(right / pairs, 0.95)
    share = totals[:, 0].sum() / totals[:, 1].sum()
    return [
        Figure(f"the {len(each)} with most: right on unseen pairs", 100 * share, "%"),
        Figure("  from", 100 * low, "%", (">=", 50)),
        Figure("  to", 100 * high, "%"),
        Figure("  of them right in more than half", 100 * float(np.mean(each > 0.5)), "%"),
    ]


def on_generated(options: argparse.Namespace) -> list[Figure]:
    """The store's names on answers that were made after them; what people tagged is not known of these."""
    sarm = load_sarm(options.model)
    rows = [row for _, row in read_rows(options.generated)]
    scored = sarm.score([{"prompt": row["prompt"], "response": row["response"]} for row in rows])
    prompts = [str(row["prompt"]) for row in rows]
    texts = [(prompt, str(row["response"])) for prompt, row in zip(prompts, rows, strict=True)]
    with tempfile.TemporaryDirectory() as folder, Store.open(copied(options.store, Path(folder))) as store:
        stored = suggest_pairs.answer_set(store, suggest_pairs.tags_in(options.tags, strict=True))
        names = [
            PairwiseName(s.feature, s.text, dict(s.evidence)) for s in store.suggestions(suggest_pairs.METHOD)
        ]
    if stored is None:
        raise SystemExit("the store has no answers that share a prompt")
    own = measured(texts, TRAITS)
    place = {trait.more: column for column, trait in enumerate(own.traits)}
    words = [set(words_of(answer)) for _, answer in texts]
    values = np.zeros((len(texts), len(stored.traits.traits)), dtype=np.float32)
    for column, trait in enumerate(stored.traits.traits):
        if trait.more in place:
            values[:, column] = own.values[:, place[trait.more]]
        elif trait.more.startswith("says “"):
            values[:, column] = [trait.more[6:-1] in said for said in words]
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    group = np.array([numbers[prompt] for prompt in prompts])
    answers = AnswerSet(scored.matrix.csr, TraitTable(stored.traits.traits, values), group, prompts)
    mass = np.asarray(abs(answers.z).sum(axis=0)).ravel() * np.abs(scored.matrix.head)
    ranked = sorted(names, key=lambda name: -mass[name.feature])[:LARGEST]
    share = 100 * mass[[name.feature for name in names]].sum() / mass.sum()
    return [
        Figure("answers generated after the names", len(texts), ""),
        Figure("  prompts", len(numbers), ""),
        Figure("share of |w z| on names", share, "%", (">=", 60)),
        *held(ranked, answers),
    ]


def main() -> None:
    """Measure and publish."""
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=SHIPPED)
    parser.add_argument("--tags", type=Path, nargs="*", default=[CORPUS])
    parser.add_argument("--generated", type=Path, help="rows of prompt and response, several a prompt")
    parser.add_argument("--model", default="demo", help="scores them")
    options = parser.parse_args()
    if options.generated is not None:
        publish(on_generated(options), options.out, store=options.store.name, rows=options.generated.name)
        return
    with tempfile.TemporaryDirectory() as folder, Store.open(copied(options.store, Path(folder))) as store:
        answers = suggest_pairs.answer_set(store, suggest_pairs.tags_in(options.tags, strict=True))
        head = store.head()
        before = {s.feature: s.text for s in store.suggestions("log-odds")}
    if answers is None:
        raise SystemExit("the store has no answers that share a prompt")
    kept = np.array([hashlib.sha256(p.encode()).digest()[1] >= 51 for p in answers.prompt])
    made_of, unseen = part(answers, np.flatnonzero(kept)), part(answers, np.flatnonzero(~kept))
    started = time.perf_counter()
    names = names_of(made_of)
    seconds = time.perf_counter() - started
    mass = np.asarray(abs(unseen.z).sum(axis=0)).ravel() * np.abs(head)
    share = mass / mass.sum()
    shared = Counter(before.values())
    alone = [feature for feature, text in before.items() if shared[text] == 1]
    own = [name for name in names if "alike" not in name.evidence]
    ranked = sorted(names, key=lambda name: -share[name.feature])[:LARGEST]
    figures = [
        Figure("prompts: made of and tried on; kept out", len(set(made_of.prompt)), ""),
        Figure("  kept out", len(set(unseen.prompt)), ""),
        Figure("names", len(names), ""),
        Figure("  of one feature alone", len(own), ""),
        Figure(
            "share of |w z| on unseen answers, this method",
            100 * share[[n.feature for n in names]].sum(),
            "%",
            (">=", 60),
        ),
        Figure("  on names of one feature alone", 100 * share[[n.feature for n in own]].sum(), "%"),
        Figure("  the method before", 100 * share[list(before)].sum(), "%"),
        Figure("  the method before, names of one feature alone", 100 * share[alone].sum(), "%"),
    ]
    chance = [len(names_of(shuffled(made_of, seed))) for seed in range(5)]
    figures += [
        *held(ranked, unseen),
        Figure(
            "names of shuffled activations, mean of 5", float(np.mean(chance)), "", ("<=", 0.05 * len(names))
        ),
        Figure("time for all names", seconds, "s"),
    ]
    publish(figures, options.out, store=options.store.name)


if __name__ == "__main__":
    main()
