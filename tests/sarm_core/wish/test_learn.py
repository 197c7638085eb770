"""A learned steering: the optimum of its loss, what was planted, limits kept, nothing from the half that proves it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import optimize, sparse, special

from sarm_core import (
    FeatureMatrix,
    LabelledPairs,
    RowError,
    SarmError,
    Steering,
    collateral,
    learn,
    learn_each,
)
from sarm_core.prove.complement import Complement
from sarm_core.steering import Group
from sarm_core.text.answers import Reader
from sarm_core.wish.fit import RELAXED, Problem, strengths
from sarm_core.wish.preferences import Preferences

PLANTED = {0: 0.0, 1: 2.0, 2: 0.2}


def answers(seed: int, n: int, n_features: int = 40, k: int = 10, often: float = 1.0) -> FeatureMatrix:
    """n answers of k features each, the first `often` times as often as the others; one head for all seeds."""
    rng = np.random.default_rng(seed)
    share = np.ones(n_features)
    share[:3] = often
    z = np.zeros((n, n_features), dtype=np.float32)
    for row in z:
        row[rng.choice(n_features, k, replace=False, p=share / share.sum())] = rng.gamma(2.0, 1.0, k)
    head = np.random.default_rng(99).normal(size=n_features).astype(np.float32)
    head[:3] = [1.5, -1.2, 1.4]
    return FeatureMatrix(sparse.csr_matrix(z), head)


def pairs_by(
    matrix: FeatureMatrix, multipliers: dict[int, float], seed: int, sure: float = 1.0
) -> np.ndarray:
    """Answers 2 i and 2 i + 1 answer one prompt; somebody who multiplies features so prefers the one or the other."""
    rewards = (
        Steering(scale=multipliers).rewards(matrix).astype(np.float64) if multipliers else 0 * matrix.rewards
    )
    first = np.random.default_rng(seed).random(len(matrix) // 2) < special.expit(
        sure * (rewards[0::2] - rewards[1::2])
    )
    pairs = np.arange(len(matrix)).reshape(-1, 2)
    return np.where(first[:, None], pairs, pairs[:, ::-1])


@pytest.fixture(scope="module")
def planted() -> tuple[FeatureMatrix, np.ndarray]:
    matrix = answers(1, 2400, often=3.0)
    return matrix, pairs_by(matrix, PLANTED, 2)


@pytest.fixture(scope="module")
def found(planted):
    return learn(*planted)


def small(seed: int, start: Steering) -> Problem:
    matrix = answers(seed, 120, 12, 5)
    rng = np.random.default_rng(seed)
    preferences = Preferences.of(
        120, pairs_by(matrix, PLANTED, seed), weights=rng.random(60) + 0.1, tied=rng.random(60) < 0.2
    )
    return Problem.of(matrix, preferences, start, carried=None, bounds=(0.0, 2.0))


STARTS = [Steering(), Steering(scale={3: 0.5, 4: 3.0}, set={5: 1.0}, groups={"g": Group((6, 7), 0.5)})]


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS, ids=["plain", "steered"])
def test_every_strength_is_the_optimum_of_the_stated_loss(start):
    """The loss is written out here in multipliers, over dense rewards, and an independent optimiser does no better."""
    problem = small(5, start)
    p, matrix = problem.preferences, answers(5, 120, 12, 5)
    contributions = matrix.csr.toarray().astype(np.float64) * matrix.head
    d = (contributions[p.chosen] - contributions[p.rejected])[:, problem.ids]
    steered = start.rewards(matrix).astype(np.float64)
    base, share, t = steered[p.chosen] - steered[p.rejected], p.weights / p.weights.sum(), problem.unit
    assert not set(start.set) & set(problem.ids.tolist()), "what is set to a value stays so"

    def objective(m: np.ndarray, penalty: float) -> float:
        lead = t * (base + d @ (m - problem.now))
        losses = np.where(
            p.tied, (np.logaddexp(0, -lead) + np.logaddexp(0, lead)) / 2, np.logaddexp(0, -lead)
        )
        return float(share @ losses + penalty * t * (problem.prices * np.abs(m - problem.now)).sum())

    # Nothing tells these leads how sure they are but the pairs: no other unit fits them better.
    def as_it_stands(log_t: float) -> float:
        lead = np.exp(log_t) * base
        return float(share @ np.where(p.tied, np.logaddexp(0, -lead) + lead / 2, np.logaddexp(0, -lead)))

    assert as_it_stands(np.log(t)) <= min(as_it_stands(np.log(t) + step) for step in (-0.05, 0.05)) + 1e-9
    n, reach = len(problem.ids), [problem.high - problem.now, problem.now - problem.low]

    def split(moved: np.ndarray, penalty: float) -> float:
        """The same in rises and falls, which has no corner at 0."""
        rises, falls = moved[:n], moved[n:]
        twice = 2 * penalty * t * float(problem.prices @ np.minimum(rises, falls))
        return objective(problem.now + rises - falls, penalty) + twice

    penalties = [problem.largest() * part for part in (1.01, 0.5, 0.1, 0.01)]
    for penalty, u in zip(penalties, problem.path(penalties), strict=True):
        m = problem.now + u / t
        other = optimize.minimize(
            split,
            np.full(2 * n, 1e-3),
            args=(penalty,),
            method="SLSQP",
            bounds=optimize.Bounds(0, np.concatenate(reach)),
            options={"maxiter": 500, "ftol": 1e-12},
        )
        assert objective(m, penalty) <= other.fun + 1e-6
        assert (m >= problem.low - 1e-12).all() and (m <= problem.high + 1e-12).all()
        assert (penalty > problem.largest()) == (not u.any())


@pytest.mark.parametrize("most", [None, 3])
def test_what_a_penalty_lets_through_is_fitted_again_to_its_optimum(most):
    problem = small(7, Steering())
    penalty = problem.largest() * 0.2
    (u,) = problem.path([penalty])
    kept = u != 0
    if most is not None:
        moves = np.abs(u) * np.sqrt(problem.own_part.squares)
        kept = moves >= np.sort(moves)[-most]
    part = problem.of_features(kept)
    assert 3 <= kept.sum() < 12
    for share, again in zip(RELAXED, problem.relaxed(penalty, u, most=most), strict=True):
        assert not again[~kept].any()
        (alone,) = part.path([penalty * share])
        np.testing.assert_allclose(again[kept], alone, atol=2e-4)


def test_what_was_planted_is_found_and_proved_and_nothing_is_far_from_one(planted, found):
    assert found.steering is not None and found.why == ""
    after = {feature: new for feature, (_, new) in found.moved.items()}
    assert set(PLANTED) <= set(after)
    for feature, wanted in PLANTED.items():
        assert after[feature] == pytest.approx(wanted, abs=0.35)
    assert all(abs(new - 1) < 0.6 for feature, new in after.items() if feature not in PLANTED)
    assert next(iter(after)) in PLANTED
    truth = Steering(scale=PLANTED)
    test = found.measured.test
    best = (found.measured.question.margins(test, truth) > 0).mean()
    assert found.after.accuracy > best - 0.02, "as good as what decided"
    gain = found.gain
    assert gain.low > 0.02 and gain.low < gain.difference < gain.high and gain.told_apart
    assert gain.difference == pytest.approx((gain.won - gain.lost) / len(test))
    assert gain.difference == pytest.approx(found.after.accuracy - found.before.accuracy)


def test_accuracies_are_a_recount_over_the_half_that_is_held_out(planted, found):
    matrix, pairs = planted
    held_out = Preferences.of(len(matrix), pairs).held_out
    assert held_out.sum() == 600
    rewards = found.steering.rewards(matrix)
    assert found.after.accuracy == (rewards[pairs[held_out, 0]] > rewards[pairs[held_out, 1]]).mean()
    before = (matrix.rewards[pairs[held_out, 0]] > matrix.rewards[pairs[held_out, 1]]).mean()
    assert found.before.accuracy == before
    assert (found.before.n, found.n_pairs, found.n_prompts) == (600, 600, 600)


@pytest.mark.slow
def test_held_out_prompts_take_no_part_in_learning(planted, found):
    """Their labels are turned and their answers replaced: the same multipliers, to the last bit."""
    matrix, pairs = planted
    prompts = [f"p{row}" for row in range(len(pairs))]
    plain = learn(matrix, pairs, prompts=prompts)
    held_out = Preferences.of(len(matrix), pairs, prompts=prompts).held_out
    csr = matrix.csr.toarray()
    others = pairs[held_out].ravel()
    csr[others] = np.roll(csr[others], 5, axis=1)
    turned = np.where(held_out[:, None], pairs[:, ::-1], pairs)
    again = learn(FeatureMatrix(sparse.csr_matrix(csr), matrix.head), turned, prompts=prompts)
    assert again.moved == plain.moved and again.penalty == plain.penalty
    assert again.after.accuracy < 0.6 < plain.after.accuracy
    assert again.steering is None and "not told apart" in again.why


def test_a_prompt_is_in_one_half_and_in_one_fold():
    pairs = np.arange(400).reshape(-1, 2)
    prompts = [f"p{row % 40}" for row in range(200)]
    preferences = Preferences.of(400, pairs, prompts=prompts, seed=3)
    held = {prompt for prompt, out in zip(prompts, preferences.held_out, strict=True) if out}
    taught = {prompt for prompt, out in zip(prompts, preferences.held_out, strict=True) if not out}
    assert not held & taught and len(held) == len(taught) == 20
    train = preferences.some(~preferences.held_out)
    folds: dict[str, set[int]] = {}
    for prompt, place in zip(train.prompts, train.in_order, strict=True):
        folds.setdefault(prompt, set()).add(int(place) % 5)
    assert all(len(of_one) == 1 for of_one in folds.values())
    joined = Preferences.of(6, [(0, 1), (1, 2), (3, 4), (5, 4)])
    assert joined.prompts[0] == joined.prompts[1] != joined.prompts[2] == joined.prompts[3]


@pytest.mark.slow
def test_the_order_of_rows_and_the_unit_of_rewards_change_nothing(planted, found):
    matrix, pairs = planted
    prompts = [f"p{row}" for row in range(len(pairs))]
    one = learn(matrix, pairs, prompts=prompts)
    order = np.random.default_rng(0).permutation(len(pairs))
    shuffled = learn(matrix, pairs[order], prompts=[prompts[i] for i in order])
    scaled = learn(FeatureMatrix(matrix.csr, matrix.head * np.float32(64)), pairs, prompts=prompts)
    for other in (shuffled, scaled):
        assert other.moved.keys() == one.moved.keys()
        for feature, (_, after) in one.moved.items():
            assert other.moved[feature][1] == pytest.approx(after, abs=2e-3)
        assert (other.gain.won, other.gain.lost) == pytest.approx((one.gain.won, one.gain.lost), abs=1)


@pytest.mark.slow
def test_labels_at_random_are_refused():
    matrix = answers(4, 600)
    for seed in range(12):
        found = learn(matrix, pairs_by(matrix, {}, seed), seed=seed)
        assert found.steering is None
        assert "not told apart from no change" in found.why or "there is nothing to propose" in found.why
        assert "\n" not in found.why


@pytest.mark.slow
def test_limits_are_kept(planted):
    matrix, pairs = planted
    others = answers(8, 600, often=3.0)
    elsewhere = Complement(others, np.arange(600).reshape(-1, 2))
    free = learn(matrix, pairs, elsewhere=elsewhere)
    few = learn(matrix, pairs, max_features=2)
    assert 0 < len(few.moved) <= 2 < len(free.moved)
    tight = learn(matrix, pairs, low=0.8, high=1.1)
    assert all(0.8 <= new <= 1.1 for _, new in tight.moved.values())
    assert any(new in (0.8, 1.1) for _, new in tight.moved.values())
    share = free.collateral.collateral.share_flipped
    little = learn(matrix, pairs, elsewhere=elsewhere, max_collateral=share / 2)
    assert little.collateral.collateral.share_flipped <= share / 2
    assert learn(matrix, pairs, elsewhere=elsewhere, max_collateral=0.0).steering is None
    only = learn(matrix, pairs, features=[1, 30])
    assert set(only.moved) <= {1, 30}


@pytest.mark.slow
def test_what_turns_elsewhere_is_a_recount_and_the_frontier_holds_what_was_taken(planted):
    matrix, pairs = planted
    others, order = answers(8, 600, often=3.0), np.arange(600).reshape(-1, 2)
    start = Steering(scale={4: 0.5}, set={9: 1.0}, offset={3: 5.0}, groups={"g": Group((0, 5), 1.5)})
    found = learn(matrix, pairs, start=start, elsewhere=Complement(others, order))
    assert found.steering is not None
    assert (found.steering.set, found.steering.offset, found.steering.groups) == (
        start.set,
        start.offset,
        start.groups,
    )
    total, now = found.steering.multipliers(), start.multipliers()
    for feature, (before, after) in found.moved.items():
        assert now.get(feature, 1.0) == before and total[feature] == pytest.approx(after)
    assert {f for f in {*total, *now} if total.get(f, 1.0) != now.get(f, 1.0)} == set(found.moved)
    recount = collateral(start.rewards(others), found.steering.rewards(others), order)
    assert found.collateral.collateral.n_flipped == recount.n_flipped > 0
    (taken,) = [point for point in found.frontier if point.chosen]
    assert taken.turned == recount.share_flipped and taken.gain == found.gain
    assert taken.n_features == len(found.moved) and taken.penalty == found.penalty
    penalties = [point.penalty for point in found.frontier]
    assert penalties == sorted(penalties, reverse=True) and len(penalties) > 5


def test_it_draws_itself_in_a_notebook(found):
    html, frame = found._repr_html_(), found.frame()
    assert html.count("<tr") == 1 + len(found.moved) == 1 + len(frame)
    assert f"{found.after.accuracy:.1%}" in html and "#0" in html
    assert frame["after"].tolist() == [after for _, after in found.moved.values()]


@pytest.mark.slow
def test_more_pairs_teach_more(found):
    curve = found.curve
    assert [point.n_prompts for point in curve] == [75, 150, 300, 600]
    assert curve[-1].gain == found.gain and curve[-1].n_features == len(found.moved)
    assert curve[0].gain.difference < curve[-1].gain.difference


@pytest.mark.slow
def test_a_weight_is_as_many_pairs_and_a_tie_half_a_pair_in_each_order():
    matrix = answers(6, 200, 15, 6)
    pairs = pairs_by(matrix, PLANTED, 3)
    prompts = [str(i % 25) for i in range(100)]
    twice = np.arange(100) % 3 == 0
    tied = np.arange(100) % 7 == 0
    one = Preferences.of(200, pairs, weights=1.0 + twice, tied=tied, prompts=prompts)
    again = np.concatenate([pairs[~tied], pairs[~tied & twice], pairs[tied], pairs[tied][:, ::-1]])
    of = np.array(prompts)
    two = Preferences.of(
        200,
        again,
        weights=np.concatenate(
            [np.ones((~tied).sum() + (~tied & twice).sum()), *[(1.0 + twice[tied]) / 2] * 2]
        ),
        prompts=np.concatenate([of[~tied], of[~tied & twice], of[tied], of[tied]]).tolist(),
    )
    problems = [Problem.of(matrix, p, Steering(), carried=None, bounds=(0.0, 2.0)) for p in (one, two)]
    assert problems[0].unit == pytest.approx(problems[1].unit, rel=0.05), (
        "the median lead counts pairs, not weights"
    )
    paths = [strengths(problem) for problem in problems]
    for a, b in zip(*paths, strict=False):
        np.testing.assert_allclose(a.multipliers, b.multipliers, atol=5e-3)
        assert a.loss == pytest.approx(b.loss, abs=1e-5)


@pytest.mark.slow
def test_one_group_is_no_group_and_two_people_are_told_apart(planted, found):
    matrix, pairs = planted
    alone = learn_each(matrix, pairs, ["ann"] * len(pairs))
    assert list(alone.learned) == ["ann"] and alone.differences == () and len(alone.crossed) == 1
    assert alone.learned["ann"].moved == found.moved and alone.learned["ann"].gain == found.gain
    both = np.concatenate([pairs, pairs_by(matrix, {0: 2.0, 1: 2.0, 2: 0.2}, 5), pairs[:12]])
    names = ["ann"] * len(pairs) + ["bob"] * len(pairs) + ["cy"] * 12
    profiles = learn_each(matrix, both, names)
    assert profiles.left_out == {"cy": 12}
    first = profiles.differences[0]
    assert (first.feature, first.one, first.other) == (0, "ann", "bob") and first.told_apart
    assert first.difference < -1 and first.low <= first.difference <= first.high
    agreed = [each for each in profiles.differences if each.feature in (1, 2)]
    assert len(agreed) == 2 and all(abs(each.difference) < 0.4 for each in agreed)
    for name, own in profiles.multipliers.items():
        assert set(own) == {f for each in profiles.learned.values() for f in each.moved}
        for feature in PLANTED:
            each, written = own[feature], profiles.learned[name].found.multipliers().get(feature, 1.0)
            assert each.low - 1e-9 <= each.value <= each.high + 1e-9
            assert each.value == pytest.approx(written, abs=0.3)
    of_on = {(cell.of, cell.on): cell for cell in profiles.crossed}
    for one, other in (("ann", "bob"), ("bob", "ann")):
        assert of_on[one, one].gain == profiles.learned[one].gain
        assert of_on[one, one].accuracy > of_on[other, one].accuracy
    held = [set(each.measured.test.prompts) for each in profiles.learned.values()]
    taught = [set(each.preferences.prompts) for each in profiles.learned.values()]
    assert not set.union(*held) & set.union(*taught), "nobody is measured on what anybody learned from"


def test_files_bring_weights_ties_prompts_and_whose_they_are(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "a", "chosen": "1", "rejected": "2", "who": "ann", "note": 1},
        {
            "prompt": "b",
            "answers": [{"text": "1", "grade": 2}, {"text": "2", "grade": 2}, {"text": "3", "grade": 1}],
            "who": 7,
        },
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = Reader()
    read = LabelledPairs.read([path], reader, "who")
    assert read.groups == ("ann", "7", "7", "7") and read.prompts == ("a", "b", "b", "b")
    assert read.weights.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3]) and read.tied.sum() == 1
    assert len(read.answers) == len(read.places) == 5 and read.pairs[0].tolist() == [0, 1]
    said = " ".join(reader.said())
    assert "not used: note" in said and "who" not in said
    with pytest.raises(RowError, match=r"row 1.*no 'team', the column that should say"):
        LabelledPairs.read([path], by="team")
    rows[0]["who"] = ["ann"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RowError, match=r"row 1.*'who' is a list, not the name"):
        LabelledPairs.read([path], by="who")
    many = [rows[0] | {"who": f"p{i}"} for i in range(21)]
    path.write_text("".join(json.dumps(row) + "\n" for row in many))
    with pytest.raises(SarmError, match="21 different values"):
        LabelledPairs.read([path], by="who")


def test_what_cannot_be_asked_is_one_line(planted):
    matrix, pairs = planted
    for wrong, words in (
        ({"max_features": 0}, "can change nothing"),
        ({"low": 2.0, "high": 1.0}, "are none"),
        ({"max_collateral": 0.1}, "name a complement"),
        ({"elsewhere": answers(2, 20, 30)}, "different models"),
        ({"weights": [1.0]}, "positive number"),
        ({"prompts": ["a"]}, "1 prompts for 1200 pairs"),
        ({"prompts": ["a", "b", "c"] * 400}, "2 of 3 prompts are left to learn from: at least 10"),
    ):
        with pytest.raises(SarmError, match=words) as refused:
            learn(matrix, pairs, **wrong)
        assert "\n" not in str(refused.value)
    with pytest.raises(SarmError, match="answer 9999, but there are 2400 answers"):
        learn(matrix, [(0, 9999)])
