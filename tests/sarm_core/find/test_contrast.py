"""Contrast statistics against plain loops over dense arrays, and against the reference scores."""

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.find.contrast import contrast, salience
from sarm_core.find.suspicious import concept_scores, keep_trusted, suspicious_pairs, write_cleaned
from tests.golden import seeded

SHARED = Path(__file__).parents[4] / "shared" / "golden"


def matrix(dense, head=None) -> FeatureMatrix:
    dense = np.asarray(dense, np.float32)
    head = np.linspace(-1, 1, dense.shape[1]) if head is None else head
    return FeatureMatrix(sparse.csr_matrix(dense), np.asarray(head, np.float32))


def some(seed, n, width, signed=False, density=0.4):
    rng = np.random.default_rng(seed)
    z = rng.exponential(1.0, (n, width)) * (rng.random((n, width)) < density)
    return z * rng.choice([-1, 1], z.shape) if signed else z


# -- oracles: one feature at a time, no shared code ------------------------------------------------------


def loop_s(left, right, i):
    width = len(left[0])
    c = [sum(float(row[f]) for row in left) for f in range(width)]
    j = [sum(float(row[f]) for row in right) for f in range(width)]
    under = c[i] + j[i] + sum(a + b for a, b in zip(c, j, strict=True)) / width
    return (c[i] - j[i]) / under if under else math.nan


def loop_d(left, right, i):
    a, b = [float(row[i]) for row in left], [float(row[i]) for row in right]
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    squares = sum((v - mean_a) ** 2 for v in a) + sum((v - mean_b) ** 2 for v in b)
    if len(a) + len(b) < 3 or squares == 0:
        return math.nan
    return (mean_a - mean_b) / math.sqrt(squares / (len(a) + len(b) - 2))


def loop_stability(left, right, i):
    differences = [float(a[i]) - float(b[i]) for a, b in zip(left, right, strict=True)]
    total = sum(differences)
    apart = [d for d in differences if d != 0]
    return sum(d * total > 0 for d in apart) / len(apart) if apart else math.nan


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 7),
    m=st.integers(1, 7),
    signed=st.booleans(),
    pair=st.booleans(),
)
def test_every_column_equals_a_plain_loop(seed, n, m, signed, pair):
    m = n if pair else m
    # eighths add up exactly, so that no comparison hangs on the order of a sum
    left = np.round(some(seed, n, 6, signed) * 8) / 8
    right = np.round(some(seed + 1, m, 6, signed) * 8) / 8
    other = np.round(some(seed + 2, 3, 6, signed) * 8) / 8
    found = contrast(matrix(left), matrix(right), paired=pair, complement=matrix(other), resamples=0)
    rows = {int(row["feature"]): row for _, row in found.table.iterrows()}
    assert set(rows) == {i for i in range(6) if any(z[:, i].any() for z in (left, right, other))}
    head = np.linspace(-1, 1, 6).astype(np.float32)
    for i, row in rows.items():
        wanted = {
            "w": head[i],
            "s": loop_s(left, right, i),
            "chosen_sum": sum(left[:, i]),
            "rejected_sum": sum(right[:, i]),
            "freq_difference": sum(v != 0 for v in left[:, i]) / n - sum(v != 0 for v in right[:, i]) / m,
            "cohens_d": loop_d(left, right, i),
            "stability": loop_stability(left, right, i) if pair else math.nan,
            "complement_sum": sum(other[:, i]),
            "complement_freq": sum(v != 0 for v in other[:, i]) / 3,
            "n_firing": sum(v != 0 for v in [*left[:, i], *right[:, i]]),
        }
        for name, value in wanted.items():
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), (name, i)
        assert row["opposes_head"] == (wanted["s"] * head[i] < 0)


@pytest.mark.slow
@given(
    seed=st.integers(0, 10_000),
    copies=st.lists(st.integers(1, 4), min_size=2, max_size=7),
    signed=st.booleans(),
)
def test_a_weighted_pair_counts_as_copies_of_it(seed, copies, signed):
    n, prompts = len(copies), [i // 2 for i in range(len(copies))]
    left, right = (np.round(some(seed + i, n, 6, signed) * 8) / 8 for i in range(2))
    rows = np.repeat(np.arange(n), copies)
    how = {"resamples": 20, "fewest_prompts": 1}
    weighted = contrast(matrix(left), matrix(right), prompts=prompts, weights=copies, **how)
    copied = contrast(matrix(left[rows]), matrix(right[rows]), prompts=[prompts[row] for row in rows], **how)
    counts = ["n_firing", "n_differing", "few"]  # of answers and pairs that there are
    wanted = copied.table.set_index("feature").drop(columns=counts)
    found = weighted.table.set_index("feature").drop(columns=counts).loc[wanted.index]
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-9, atol=1e-9)
    plain = contrast(matrix(left), matrix(right), prompts=prompts, **how).table
    pd.testing.assert_frame_equal(
        contrast(matrix(left), matrix(right), prompts=prompts, weights=np.ones(n), **how).table, plain
    )
    assert weighted.table.set_index("feature")["n_firing"].equals(
        plain.set_index("feature")["n_firing"].loc[weighted.table["feature"]]
    )


def test_weights_are_a_positive_number_for_each_pair():
    one = matrix(some(1, 3, 6))
    for weights in ([1, 2], [1, 0, 1], [1, math.nan, 1]):
        with pytest.raises(SarmError, match="a positive number for each of 3 pairs"):
            contrast(one, one, weights=weights, resamples=0)
    with pytest.raises(SarmError, match="weights"):
        contrast(one, one, paired=False, weights=[1, 1, 1], resamples=0)


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_concept_scores_weigh_pairs_as_copies(leave_one_out):
    left, right, copies = some(3, 5, 8), some(4, 5, 8), [1, 3, 2, 1, 2]
    rows = np.repeat(np.arange(5), copies)
    weighted = concept_scores(
        matrix(left), matrix(right), leave_one_out=leave_one_out, prompts=range(5), weights=copies
    )
    copied = concept_scores(
        matrix(left[rows]), matrix(right[rows]), leave_one_out=leave_one_out, prompts=rows.tolist()
    )
    np.testing.assert_allclose(weighted[rows], copied, rtol=1e-9)


def test_margin_shares_add_up_to_the_mean_margin():
    left, right = matrix(some(1, 9, 20)), matrix(some(2, 9, 20))
    found = contrast(left, right, resamples=0)
    margin = float(np.mean(left.exact_rewards - right.exact_rewards))
    assert found.table["margin_share"].sum() == pytest.approx(margin, abs=1e-9)


@pytest.mark.parametrize("folder", [seeded.FOLDER, SHARED], ids=["oracle", "reference"])
def test_salience_agrees_with_the_golden_scores(folder):
    files = list(folder.glob("*-SARM-TopK-*.expected.json"))
    if not files:
        pytest.skip("the reference scores are not beside the project")
    expected = json.loads(files[0].read_text())
    dense = np.zeros((len(expected["examples"]), 256), np.float32)
    for row, example in enumerate(expected["examples"]):
        for feature, z in example["features"].items():
            dense[row, int(feature)] = z
    reference = {int(i): s for i, s in expected["contrast"]["scores"].items()}
    found = contrast(
        matrix(dense[expected["contrast"]["chosen"]]), matrix(dense[expected["contrast"]["rejected"]])
    )
    top = found.top(len(reference))
    assert dict(zip(top["feature"], top["s"], strict=True)) == pytest.approx(reference, abs=1e-6)


# -- the bootstrap ---------------------------------------------------------------------------------------


def test_intervals_are_the_percentiles_of_redrawn_prompts():
    """The same draws, repeated row by row, give the same interval: weights stand for copies."""
    left, right = some(3, 6, 5), some(4, 6, 5)
    names = ["a", "a", "b", "c", "c", "c"]
    found = contrast(matrix(left), matrix(right), prompts=names, resamples=40, seed=9, fewest_prompts=3)
    rng = np.random.default_rng(9)
    members = {0: [0, 1], 1: [2], 2: [3, 4, 5]}
    draws = []
    for _ in range(40):
        rows = [row for group in rng.integers(0, 3, 3) for row in members[int(group)]]
        s = [loop_s(np.float32(left)[rows], np.float32(right)[rows], i) for i in range(5)]
        f = [np.mean(left[rows][:, i] != 0) - np.mean(right[rows][:, i] != 0) for i in range(5)]
        draws.append((s, f))
    for _, row in found.table.iterrows():
        i = int(row["feature"])
        for which, name in ((0, "s"), (1, "freq_difference")):
            low, high = np.quantile([draw[which][i] for draw in draws], [0.025, 0.975])
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high), abs=1e-9)


def test_unpaired_sides_are_redrawn_by_prompt_and_no_resample_loses_one():
    """Prompts answered on both sides, on the left only and on the right only are drawn within their own kind."""
    left, right = some(13, 5, 4), some(14, 6, 4)
    ours, theirs = ["a", "a", "b", "x", "y"], ["b", "a", "u", "u", "v", "w"]
    found = contrast(
        matrix(left), matrix(right), paired=False, prompts=ours, rejected_prompts=theirs, resamples=60, seed=5,
        fewest_prompts=1,
    )  # fmt: skip
    assert found.n_prompts == 7
    numbers = {name: i for i, name in enumerate(dict.fromkeys([*ours, *theirs]))}
    kinds = [["x", "y"], ["u", "v", "w"], ["a", "b"]]  # in the order of the generator's draws
    rng = np.random.default_rng(5)
    # each kind draws all its resamples before the next one starts
    drawn = [[rng.integers(0, len(kind), len(kind)) for _ in range(60)] for kind in kinds]
    samples = []
    for r in range(60):
        names = [
            sorted(kind, key=numbers.get)[i]
            for kind, draws in zip(kinds, drawn, strict=True)
            for i in draws[r]
        ]
        a = [row for name in names for row in range(5) if ours[row] == name]
        b = [row for name in names for row in range(6) if theirs[row] == name]
        assert a and b
        s = [loop_s(np.float32(left)[a], np.float32(right)[b], i) for i in range(4)]
        f = [np.mean(left[a][:, i] != 0) - np.mean(right[b][:, i] != 0) for i in range(4)]
        samples.append((s, f))
    for _, row in found.table.iterrows():
        i = int(row["feature"])
        for which, name in ((0, "s"), (1, "freq_difference")):
            low, high = np.quantile([sample[which][i] for sample in samples], [0.025, 0.975])
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high), abs=1e-9)


def test_few_prompts_give_no_interval_however_many_answers():
    """One prompt redrawn is itself: its interval would be a point."""
    left, right = matrix(some(5, 40, 8)), matrix(some(6, 40, 8))
    for n, known in ((1, False), (9, False), (10, True)):
        table = contrast(left, right, prompts=[i % n for i in range(40)], resamples=30).table
        for name in ("s_low", "s_high", "freq_difference_low", "freq_difference_high"):
            assert table[name].notna().all() == known and table[name].isna().all() != known
        assert table["s"].notna().all()


@pytest.mark.slow
def test_the_bootstrap_never_holds_features_times_resamples(monkeypatch):
    width, resamples = 6_000, 2_000
    rng = np.random.default_rng(0)
    left, right = (
        FeatureMatrix(
            sparse.random(60, width, 0.2, format="csr", dtype=np.float32, random_state=rng),
            np.ones(width, np.float32),
        )
        for _ in range(2)
    )
    monkeypatch.setattr("sarm_core.bootstrap.BLOCK_BYTES", 4_000_000)
    tracemalloc.start()
    found = contrast(left, right, resamples=resamples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.table) > 0.99 * width
    assert peak < width * resamples * 8 / 3  # one dense [features, resamples] would take 96 MB


def test_blocks_do_not_change_the_intervals(monkeypatch):
    left, right = matrix(some(5, 12, 30)), matrix(some(6, 8, 30))
    whole = contrast(left, right, paired=False, resamples=50).table
    monkeypatch.setattr("sarm_core.bootstrap.BLOCK_BYTES", 4000)
    assert contrast(left, right, paired=False, resamples=50).table.equals(whole)


def test_the_seed_decides_the_interval_and_nothing_else():
    left, right = matrix(some(5, 12, 30)), matrix(some(6, 12, 30))
    one, same, other = (contrast(left, right, resamples=50, seed=seed).table for seed in (1, 1, 2))
    assert one.equals(same)
    assert not np.array_equal(one["s_low"], other["s_low"])
    assert one.drop(columns=[c for c in one if c.endswith(("low", "high"))]).equals(
        other.drop(columns=[c for c in one if c.endswith(("low", "high"))])
    )


def test_repeating_every_pair_of_a_prompt_does_not_narrow_the_interval():
    """Copies of a pair are no new evidence when the prompt says so."""
    left, right = some(7, 15, 8), some(8, 15, 8)
    once = contrast(matrix(left), matrix(right), prompts=range(15), resamples=60).table
    names = [i for i in range(15) for _ in range(4)]
    copied = contrast(
        matrix(np.repeat(left, 4, axis=0)), matrix(np.repeat(right, 4, axis=0)), prompts=names, resamples=60
    ).table
    for name in ("feature", "s", "s_low", "s_high", "freq_difference_low"):
        assert copied[name].to_numpy() == pytest.approx(once[name].to_numpy())


# -- flags and bad input ---------------------------------------------------------------------------------


def test_a_silenced_feature_does_not_fire():
    left = matrix([[1.0, 2.0]])
    left.csr.data[0] = 0.0
    table = contrast(left, matrix([[0.0, 1.0]]), resamples=0).table
    assert table["feature"].tolist() == [1]


def test_signed_activations_are_flagged_as_fragile():
    table = contrast(matrix([[-3.0, 1.0]]), matrix([[-1.0, 0.5]]), resamples=0, few=3).table
    assert dict(zip(table["feature"], table["fragile"], strict=True)) == {0: True, 1: False}
    assert table["few"].all()


def test_salience_of_nothing_is_undefined_not_infinite():
    assert np.isnan(salience([0.0, 0.0], [0.0, 0.0])).all()


def test_top_sorts_by_any_number_and_refuses_other_names():
    found = contrast(matrix(some(1, 9, 20)), matrix(some(2, 9, 20)), resamples=0)
    sizes = found.top(20, by="cohens_d")["cohens_d"].abs().to_numpy()
    assert (np.diff(sizes[~np.isnan(sizes)]) <= 0).all()
    with pytest.raises(SarmError, match="the columns are"):
        found.top(by="label")


@pytest.mark.parametrize(
    ("left", "right", "given", "words"),
    [
        (np.ones((2, 3)), np.ones((1, 3)), {}, "not pairs"),
        (np.ones((0, 3)), np.ones((0, 3)), {}, "at least one answer"),
        (np.ones((1, 3)), np.ones((1, 4)), {}, "another model"),
        (np.ones((2, 3)), np.array([[1, 1, 1], [1, np.nan, 1]]), {}, "rejected answer 2 is not finite"),
        (np.ones((2, 3)), np.ones((2, 3)), {"prompts": ["a"]}, "1 prompts for 2 answers"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(left, right, given, words):
    with pytest.raises(SarmError, match=words):
        contrast(matrix(left), matrix(right), **given)


# -- suspicious pairs ------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 6), leave=st.booleans())
def test_concept_scores_equal_a_plain_loop(seed, n, leave):
    left, right = np.float32(some(seed, n, 5)), np.float32(some(seed + 1, n, 5))
    found = concept_scores(matrix(left), matrix(right), leave_one_out=leave)
    for pair in range(n):
        rest = [row for row in range(n) if not leave or row != pair]
        wanted = 0.0
        for i in range(5):
            s = loop_s(left[rest], right[rest], i)
            wanted += 0.0 if math.isnan(s) else s * (float(left[pair, i]) - float(right[pair, i]))
        assert found[pair] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), names=st.lists(st.sampled_from("abc"), min_size=2, max_size=7))
def test_a_pair_is_judged_by_the_pairs_of_other_prompts(seed, names):
    n = len(names)
    left, right = np.float32(some(seed, n, 5)), np.float32(some(seed + 1, n, 5))
    found = concept_scores(matrix(left), matrix(right), prompts=names)
    for pair in range(n):
        apart = len(set(names)) > 1  # of one prompt alone, pairs are left out one by one
        rest = [row for row in range(n) if (names[row] != names[pair] if apart else row != pair)]
        wanted = 0.0
        for i in range(5):
            s = loop_s(left[rest], right[rest], i)
            wanted += 0.0 if math.isnan(s) else s * (float(left[pair, i]) - float(right[pair, i]))
        assert found[pair] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_swapped_labels_come_first():
    """Planted: 60 pairs where features 0-4 mark the good answer, 4 of them swapped."""
    rng = np.random.default_rng(0)
    good, bad = some(1, 60, 30, density=0.2), some(2, 60, 30, density=0.2)
    good[:, :5] += rng.exponential(2.0, (60, 5))
    swapped = [7, 21, 33, 58]
    good[swapped], bad[swapped] = bad[swapped].copy(), good[swapped].copy()
    table = suspicious_pairs(matrix(good), matrix(bad))
    assert set(table["pair"].head(4)) == set(swapped)
    assert set(keep_trusted(table, 4 / 60)) == set(range(60)) - set(swapped)
    # Copies of a wrong label, as merged sets have them, do not speak for it.
    rows = [*range(60), 7, 7, 7]
    copied = suspicious_pairs(matrix(good[rows]), matrix(bad[rows]), prompts=[f"prompt {i}" for i in rows])
    assert set(copied["pair"].head(7)) == {*swapped, 60, 61, 62}


def test_margin_order_follows_the_rewards():
    left, right = matrix(some(1, 9, 20)), matrix(some(2, 9, 20))
    table = suspicious_pairs(left, right, by="margin")
    assert table["pair"].tolist() == np.argsort(left.exact_rewards - right.exact_rewards).tolist()
    flagged = table["contradicted_by"].isin(["margin", "both"])
    assert (flagged == (table["margin"] < 0)).all()


def test_the_cleaned_set_keeps_rows_whole_and_never_half(tmp_path):
    rows = [{"prompt": "é\n", "chosen": "a", "id": i} for i in range(3)]
    out = tmp_path / "clean.jsonl"
    assert write_cleaned(rows, [0, 2], out) == 2
    assert [json.loads(line) for line in out.read_text().splitlines()] == [rows[0], rows[2]]
    with pytest.raises(SarmError, match="do not exist"):
        write_cleaned(rows, [0, 9], out)
    assert len(out.read_text().splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["clean.jsonl"]


@pytest.mark.parametrize(("n", "share"), [(1, 0.99), (3, 0.9), (40, 0.99)])
def test_a_share_that_would_leave_no_pair_is_refused(n, share):
    table = pd.DataFrame({"pair": np.arange(n)})
    with pytest.raises(SarmError, match=f"of {n} pairs? leaves none"):
        keep_trusted(table, share)
    assert len(keep_trusted(table, 0.04)) >= n - 2
