"""One thread for torch (the tests share the machine), and the golden checkpoints."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from tests.golden import seeded

torch.set_num_threads(1)

SHARED = Path(__file__).parents[3] / "shared" / "golden"
SHARED_NAMES = (
    "Tiny_Latent256_Layer2_K12_1B-SARM-TopK-LastToken-1",
    "Tiny_Latent256_Layer3_K12_1B-SARM-woTopK-LastToken-1",
)


@pytest.fixture(scope="session", params=(*seeded.NAMES, *SHARED_NAMES))
def golden(request, tmp_path_factory) -> tuple[Path, dict]:
    """A checkpoint in the reference layout and what it says: made from a seed with the oracle's figures, or a reference
    checkpoint with the reference implementation's own."""
    if request.param in seeded.NAMES:
        folder = seeded.build(tmp_path_factory.mktemp("golden"), request.param)
        return folder, json.loads(seeded.expected_file(request.param).read_text())
    expected = SHARED / f"{request.param}.expected.json"
    if not expected.exists():
        pytest.skip("the reference checkpoints (../shared/golden beside the project) are not on this machine")
    return SHARED / request.param, json.loads(expected.read_text())
