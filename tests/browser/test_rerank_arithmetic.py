"""The component's arithmetic, run in the browser that will do it, against the engine and against numpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.components.rerank import _HERE, as_steering, from_steering, module_source
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Group, Steering

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def arithmetic(browser: Any) -> Any:
    """`arithmetic(function body, argument)` with the module's exports as `m`."""
    context = browser.new_context()
    page = context.new_page()
    page.goto("about:blank")
    source = (_HERE / "ranking.js").read_text(encoding="utf-8")
    page.evaluate(
        """async source => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            window.m = await import(url);
        }""",
        source,
    )
    yield lambda body, argument: page.evaluate(f"argument => {{ {body} }}", argument)
    context.close()


def random_case(rng: np.random.Generator) -> tuple[FeatureMatrix, Steering]:
    n, width = int(rng.integers(1, 30)), int(rng.integers(1, 24))
    dense = rng.normal(0, 2, (n, width)) * (rng.random((n, width)) < rng.uniform(0.1, 0.9))
    matrix = FeatureMatrix(
        sparse.csr_matrix(dense.astype(np.float32)), rng.normal(0, 0.4, width).astype(np.float32)
    )

    def some(low: float, high: float) -> dict[int, float]:
        chosen = rng.choice(width, rng.integers(0, width + 1), replace=False)
        return {int(i): float(np.round(rng.uniform(low, high), int(rng.integers(0, 6)))) for i in chosen}

    names = ["style", "__proto__", "constructor"][: int(rng.integers(0, 4))]
    groups = {
        name: Group(
            tuple(int(i) for i in rng.choice(width, rng.integers(0, width + 1), replace=False)),
            float(rng.uniform(-1, 3)),
        )
        for name in names
    }
    return matrix, Steering(some(-2, 5), some(-1, 4), some(-3, 3), groups)


def test_steered_rewards_agree_with_the_engine(arithmetic: Any) -> None:
    rng = np.random.default_rng(20)
    for _ in range(60):
        matrix, steering = random_case(rng)
        state, groups = from_steering(steering)
        dense = matrix.csr.toarray()
        argument = {
            "answers": [{"reward": float(reward)} for reward in matrix.exact_rewards],
            "features": [
                {"id": i, "weight": float(matrix.head[i]), "activations": [float(z) for z in dense[:, i]]}
                for i in range(matrix.n_features)
            ],
            "groups": groups,
            "steering": json.dumps(state),
        }
        told = arithmetic(
            """const steering = m.readSteering(JSON.parse(argument.steering), argument.features, argument.groups);
            const problem = m.compileProblem(argument.answers, argument.features, argument.groups);
            const result = m.steer(problem, steering);
            const shares = [...result.sliders.values()];
            return {
              now: [...result.now], order: [...result.order], written: JSON.stringify(m.writeSteering(steering)),
              shares: [...problem.before].map((_, row) => shares.reduce((sum, s) => sum + s[row], 0)),
              offset: result.offset,
            };""",
            argument,
        )
        expected = steering.rewards(matrix)
        np.testing.assert_allclose(told["now"], expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            np.array(told["shares"]) + told["offset"], expected - matrix.exact_rewards, rtol=1e-5, atol=2e-5
        )
        ranked = np.array(told["now"])[told["order"]]
        assert np.all(np.diff(ranked) <= 1e-8)
        back = as_steering(json.loads(told["written"]), groups)
        np.testing.assert_allclose(back.rewards(matrix), expected, rtol=1e-6, atol=1e-6)


def test_what_moved_whom_is_the_largest_change_of_margin(arithmetic: Any) -> None:
    rng = np.random.default_rng(3)
    seen = 0
    for _ in range(30):
        n, width = 7, 5
        z = rng.gamma(2, 1, (n, width)) * (rng.random((n, width)) < 0.6)
        w = rng.normal(0, 0.5, width)
        scale = rng.uniform(-1, 3, width)
        before = z @ w + rng.normal(0, 0.4, n)
        argument = {
            "answers": [{"reward": float(reward)} for reward in before],
            "features": [
                {"id": i, "weight": float(w[i]), "activations": z[:, i].tolist()} for i in range(width)
            ],
            "steering": {"scale": {str(i): float(scale[i]) for i in range(width)}},
        }
        told = arithmetic(
            """const problem = m.compileProblem(argument.answers, argument.features, []);
            const result = m.steer(problem, m.readSteering(argument.steering, argument.features, []));
            return [...problem.before.keys()].map((row) => {
              const moved = m.whatMoved(problem, result, row);
              return moved && { ...moved, rows: [...moved.rows] };
            });""",
            argument,
        )
        change = (scale - 1) * w * z
        after = before + change.sum(axis=1)
        was, now = np.argsort(np.argsort(-before)), np.argsort(np.argsort(-after))
        for a in range(n):
            if was[a] == now[a]:
                assert told[a] is None
                continue
            seen += 1
            rose = now[a] < was[a]
            others = [
                b for b in range(n) if (was[b] < was[a]) == rose and (now[b] < now[a]) != rose and b != a
            ]
            assert sorted(told[a]["rows"]) == others
            share = sum(change[a] - change[b] for b in others) * (1 if rose else -1)
            assert told[a]["slider"] == f"feature:{int(np.argmax(share))}"
            best = int(np.argmax(share))
            np.testing.assert_allclose(
                told[a]["changes"], [change[a, best] - change[b, best] for b in told[a]["rows"]]
            )
    assert seen > 50


@pytest.mark.parametrize("constant", [0.0, 7.5, -40.0])
def test_a_bar_is_as_long_as_the_answer_is_above_the_lowest_wherever_the_rewards_lie(
    arithmetic: Any, constant: float
) -> None:
    rng = np.random.default_rng(8)
    for n in (2, 3, 12):
        before, now = rng.normal(0, 2, n) - 3, rng.normal(0, 2, n) - 3 + constant
        told = arithmetic(
            """const scale = m.barScale(argument.before, argument.now);
            const best = Math.max(...argument.now);
            return { low: scale.low, ends: argument.now.map((reward) => m.along(scale, reward - best)) };""",
            {"before": before.tolist(), "now": now.tolist()},
        )
        assert told["low"] == pytest.approx(-max(np.ptp(before), np.ptp(now)))
        np.testing.assert_allclose(told["ends"], 1 - (now.max() - now) / -told["low"], atol=1e-12)
        assert max(told["ends"]) == 1.0, "the best has the longest bar"


def test_the_scale_of_the_bars_never_shrinks_in_the_hand_and_one_answer_has_no_bar(arithmetic: Any) -> None:
    told = arithmetic(
        """const wide = m.barScale([0, -4], [0, -1]);
        const held = m.barScale([0, -1], [0, -2], wide);
        const alone = m.barScale([-3], [-5]);
        return { wide: wide.low, held: held.low, alone: m.along(alone, 0), none: m.barScale([], []).low };""",
        None,
    )
    assert told == {"wide": -4, "held": -4, "alone": 1, "none": 0}


def test_the_bundled_module_holds_every_part_and_imports_nothing() -> None:
    source = module_source()
    assert "\nimport " not in source
    assert source.count("export default") == 1
