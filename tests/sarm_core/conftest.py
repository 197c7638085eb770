"""One thread for torch (the tests share the machine), reference data when it is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

torch.set_num_threads(1)

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
GOLDEN_NAMES = (
    "Tiny_Latent256_Layer2_K12_1B-SARM-TopK-LastToken-1",
    "Tiny_Latent256_Layer3_K12_1B-SARM-woTopK-LastToken-1",
)


@pytest.fixture(scope="session", params=GOLDEN_NAMES)
def golden(request) -> tuple[Path, dict]:
    """A reference checkpoint's folder and what the reference implementation computed with it."""
    expected = GOLDEN / f"{request.param}.expected.json"
    if not expected.exists():
        pytest.skip("the reference checkpoints (../shared/golden beside the project) are not on this machine")
    return GOLDEN / request.param, json.loads(expected.read_text())
