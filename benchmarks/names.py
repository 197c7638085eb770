"""How much of the reward falls on features with a name that holds, and do such names hold on prompts they never saw?

    python benchmarks/names.py                        on a copy of the store that ships
    python benchmarks/names.py --store STORE.db       on a copy of another

A fifth of the prompts is kept out altogether; names are made of the rest, as `sarm suggest` makes them (half to make
them, half to try them). On the answers kept out: the share of the sum of |w z| that falls on named features, beside the
method before this one (words at the places a feature fires at; those were made of all texts, which flatters them, and
several features share one), and for the 100 names with the most of it, how often each tells which of two answers has
more of its feature (a pair it does not decide counts half; interval over prompts). Against chance: the same after each
feature's activations are shuffled within prompts.
"""

from __future__ import annotations

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
from sarm_core.bootstrap import interval, redrawn
from sarm_core.demo import CORPUS
from sarm_core.harvest import suggest_pairs
from sarm_core.harvest.pairwise import AnswerSet, PairwiseName, names_of
from sarm_core.text.answer_traits import TraitTable

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


def main() -> None:
    """Measure and publish."""
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=SHIPPED)
    parser.add_argument("--tags", type=Path, nargs="*", default=[CORPUS])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Store.open(copied(options.store, Path(folder))) as store:
        answers = suggest_pairs.answer_set(store, suggest_pairs.tags_in(options.tags))
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
    rights = np.array([right_share(name, unseen) for name in ranked])
    each = rights[:, :, 0].sum(axis=1) / np.maximum(1, rights[:, :, 1].sum(axis=1))
    totals = rights.sum(axis=0)
    right, pairs = redrawn(totals.T, 2000, np.random.default_rng(0))
    low, high = interval(right / pairs, 0.95)
    chance = [len(names_of(shuffled(made_of, seed))) for seed in range(5)]
    figures += [
        Figure(
            f"the {len(ranked)} with most: right on unseen prompts",
            100 * totals[:, 0].sum() / totals[:, 1].sum(),
            "%",
        ),
        Figure("  from", 100 * low, "%", (">=", 50)),
        Figure("  to", 100 * high, "%"),
        Figure("  of them right in more than half", 100 * float(np.mean(each > 0.5)), "%"),
        Figure(
            "names of shuffled activations, mean of 5", float(np.mean(chance)), "", ("<=", 0.05 * len(names))
        ),
        Figure("time for all names", seconds, "s"),
    ]
    publish(figures, options.out, store=options.store.name)


if __name__ == "__main__":
    main()
