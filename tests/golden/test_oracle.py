"""The oracle is the reference implementation's equal, and the committed figures are the oracle's."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.golden.make import figures, rounded
from tests.golden.oracle import Oracle
from tests.golden.seeded import NAMES, expected_file

SHARED = Path(__file__).parents[3] / "shared" / "golden"
SHARED_NAMES = (
    "Tiny_Latent256_Layer2_K12_1B-SARM-TopK-LastToken-1",
    "Tiny_Latent256_Layer3_K12_1B-SARM-woTopK-LastToken-1",
)


@pytest.mark.parametrize("name", SHARED_NAMES)
def test_the_oracle_reproduces_the_reference_implementation(name):
    if not (SHARED / name).is_dir():
        pytest.skip("the reference checkpoints (../shared/golden beside the project) are not on this machine")
    expected = json.loads((SHARED / f"{name}.expected.json").read_text())
    oracle = Oracle(SHARED / name)
    scale = {int(i): factor for i, (_, factor) in expected["steering"].items()}
    found = []
    for example in expected["examples"]:
        z = oracle.z(example["input_ids"])
        found.append(z)
        assert len(z) == example["n_active"]
        assert oracle.reward(z) == pytest.approx(example["reward"], abs=1e-4)
        assert oracle.reward(z, scale) == pytest.approx(example["reward_steered"], abs=1e-4)
        for i, value in example["features"].items():
            assert z[int(i)] == pytest.approx(value, abs=1e-4)
            assert oracle.head[int(i)] == pytest.approx(example["head_weights"][i], abs=1e-6)
    sides = expected["contrast"]
    scores = oracle.contrast([found[i] for i in sides["chosen"]], [found[i] for i in sides["rejected"]])
    sums = sum(np.array([z.get(i, 0.0) for i in range(len(oracle.head))]) for z in found)
    divisor = np.abs(sums + sums.mean())
    for i, wanted in sides["scores"].items():
        # As in test_golden.py: sums are right to 1e-5, and the division makes more of that where they nearly cancel.
        assert scores[int(i)] == pytest.approx(wanted, rel=0, abs=1e-5 * (1 + abs(wanted)) / divisor[int(i)])


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_figures_are_the_oracle_s(name, tmp_path):
    def same(one, other):
        assert type(one) is type(other)
        if isinstance(one, dict):
            assert list(one) == list(other)
            for key in one:
                same(one[key], other[key])
        elif isinstance(one, list):
            assert len(one) == len(other)
            for left, right in zip(one, other, strict=True):
                same(left, right)
        elif isinstance(one, float):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
        else:
            assert one == other

    same(json.loads(expected_file(name).read_text()), rounded(figures(name, tmp_path)))
