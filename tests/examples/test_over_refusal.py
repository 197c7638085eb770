"""The case study: its parts on planted activations, and (marked `study`) the documented figures from the real run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from examples.over_refusal.study import ITEMS, find, flat_bonus, held_out, matched_draws, outcome
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "over-refusal.md"
REFUSING, DISLIKED, EVERYWHERE, RARE, OPPOSITE = range(5)
N_FEATURES = 60


@pytest.fixture(scope="module")
def corpus():
    """One feature fires in most refusals and few answers; four fail one part of the rule each; the rest is noise."""
    rng = np.random.default_rng(0)
    stance = [answer.varied.get("helpfulness", "") for answer in corpus_answers()]
    refuses = np.array([name in ("over-refusing", "refusing") for name in stance])
    n = len(refuses)
    z = np.abs(rng.normal(size=(n, N_FEATURES))) * (rng.random((n, N_FEATURES)) < 0.3)
    noise = np.abs(rng.normal(1, 0.1, size=n))
    z[:, REFUSING] = noise * (rng.random(n) < np.where(refuses, 0.9, 0.1))
    z[:, DISLIKED] = noise * (rng.random(n) < np.where(refuses, 0.9, 0.1))
    z[:, EVERYWHERE] = noise * np.where(refuses, 2.0, 1.0)
    z[:, RARE] = noise * (refuses & (np.cumsum(refuses) <= 6))
    z[:, OPPOSITE] = noise * (rng.random(n) < np.where(refuses, 0.1, 0.9))
    head = np.abs(rng.normal(size=N_FEATURES)).astype(np.float32) + 0.1
    head[DISLIKED] = -0.5
    return FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), head)


def test_the_rule_takes_what_refusals_have_and_the_head_likes(corpus):
    found = find(corpus, resamples=200)
    assert found.features == (REFUSING,)
    stance = [answer.varied.get("helpfulness", "") for answer in corpus_answers()]
    prompts = [answer.prompt_id for answer in corpus_answers()]
    expected = sum(
        prompts[i] == prompts[j]
        and stance[i] in ("over-refusing", "refusing")
        and stance[j] in ("helpful", "complying")
        for i in range(len(stance))
        for j in range(len(stance))
    )
    assert found.n_pairs == expected
    assert found.steering().scale == {REFUSING: 0.0}


def test_held_out_pairs_prefer_what_the_subset_says():
    rows = {row["id"]: row for row in map(json.loads, ITEMS.read_text(encoding="utf-8").splitlines())}
    benchmark = held_out()
    assert len(benchmark.items) == 4 * len(rows)
    for item, chosen, rejected in zip(benchmark.items, benchmark.chosen, benchmark.rejected, strict=True):
        row = rows[item.id.split(":")[0]]
        answers, refusals = {row["answer"], row["answer_2"]}, {row["refusal"], row["refusal_2"]}
        right, wrong = (answers, refusals) if item.subset == "should answer" else (refusals, answers)
        assert benchmark.conversations[chosen].answer in right
        assert benchmark.conversations[rejected].answer in wrong
    prompts = {answer.conversation.messages[-2].content for answer in corpus_answers()}
    assert not prompts & {row["prompt"] for row in rows.values()}


@pytest.fixture(scope="module")
def items():
    """The held-out pairs with made-up activations."""
    benchmark = held_out()
    rng = np.random.default_rng(1)
    z = np.abs(rng.normal(size=(len(benchmark.conversations), N_FEATURES))).astype(np.float32)
    return benchmark, FeatureMatrix(sparse.csr_matrix(z), rng.normal(size=N_FEATURES).astype(np.float32))


def test_the_outcome_counts_pairs_one_by_one(items):
    benchmark, matrix = items
    steering = Steering(scale={3: 0.0, 7: -1.0})
    z, w = matrix.csr.toarray().astype(np.float64), matrix.head.astype(np.float64)
    changed = w.copy()
    changed[3], changed[7] = 0.0, -w[7]
    counted = {"should answer": [0, 0, 0], "should refuse": [0, 0, 0]}
    for item, chosen, rejected in zip(benchmark.items, benchmark.chosen, benchmark.rejected, strict=True):
        before, after = (z[chosen] - z[rejected]) @ w > 0, (z[chosen] - z[rejected]) @ changed > 0
        counted[item.subset][0] += 1
        counted[item.subset][1] += bool(after and not before)
        counted[item.subset][2] += bool(before and not after)
    assert outcome(benchmark, matrix, steering) == {name: tuple(found) for name, found in counted.items()}


def test_a_flat_bonus_favours_answering_everywhere(items):
    benchmark, matrix = items
    table = flat_bonus(benchmark, matrix, [0.0, 1.0, 1e6]).pivot(
        index="bonus", columns="score", values="value"
    )
    plain = benchmark.result(matrix.exact_rewards).scores
    assert table.loc[0.0, "should answer"] == plain["should answer"]
    assert table.loc[1.0, "should answer"] > plain["should answer"]
    assert table.loc[1.0, "should refuse"] < plain["should refuse"]
    assert (table.loc[1e6, "should answer"], table.loc[1e6, "should refuse"]) == (1.0, 0.0)


def test_controls_weigh_about_as_much_and_are_other_features(corpus):
    features = (REFUSING, 20)
    drawn = matched_draws(corpus, features, draws=50, near=5)
    weight = np.abs(corpus.csr.toarray()).mean(axis=0) * np.abs(corpus.head)
    assert drawn.shape == (50, 2)
    for one, other in drawn.tolist():
        assert one != other and not {one, other} & set(features)
        assert corpus.head[one] > 0 and corpus.head[other] > 0
    others = np.setdiff1d(np.flatnonzero(corpus.head > 0), features)
    nearest = set(others[np.argsort(np.abs(weight[others] - weight[REFUSING]))[:5]].tolist())
    assert set(drawn[:, 0].tolist()) == nearest


@pytest.mark.study
def test_one_command_gives_the_documented_figures(tmp_path):
    page = tmp_path / "page.md"
    (tmp_path / "images").mkdir()
    script = ROOT / "examples" / "over_refusal" / "run.py"
    done = subprocess.run(
        [sys.executable, script, "--out", tmp_path / "out", "--page", page], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    new, documented = page.read_text(encoding="utf-8"), PAGE.read_text(encoding="utf-8")
    assert re.findall(r"\| (#\d+) \|", new) == re.findall(r"\| (#\d+) \|", documented)
    row = r"\| (should \w+) \| (\d+) \| [\d.]+ % \| [\d.]+ % \| [^|]+ \| (\d+) \| (\d+) \|"
    for one, other in zip(re.findall(row, new), re.findall(row, documented), strict=True):
        assert one[:2] == other[:2]
        # Another processor rounds otherwise, and a pair that is almost tied may fall on the other side.
        assert abs(int(one[2]) - int(other[2])) <= 3 and abs(int(one[3]) - int(other[3])) <= 3
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Over-refusal" in report and "#1008" in report
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["error_after_reload"] <= 1e-5
