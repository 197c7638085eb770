#!/usr/bin/env bash
# SAELens' reader of sparsify folders does not read what sparsify itself writes, and what it sets would be another SAE.
#
# A small SparseCoder is saved with sparsify's own save_to_disk and read with SAELens' sparsify_disk_loader:
#  1. sparsify writes num_latents 0 where the width follows from the expansion factor; the reader takes 0 as the width;
#  2. sparsify holds W_dec as [features, d], as SAELens does; the reader turns it round to [d, features];
#  3. so loading ends in size mismatches. With both repaired by hand it loads, and gives OTHER features without a word:
#     sparsify subtracts b_dec before the encoder, the reader states apply_b_dec_to_input = False. Set to True (and
#     float32 for the bfloat16 that the reader states), features agree.
# Whoever converts such a dictionary for a reward model has to set these themselves.
#
# Seen with: sae-lens 6.54.0, eai-sparsify 1.3.3, torch 2.13.0, Python 3.11 (2026-11-27).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sae-lens==6.54.0 eai-sparsify==1.3.3 torch==2.13.0
cd "$folder"
cat > see.py <<'PYTHON'
import importlib.metadata
import json
import sys
import warnings
from pathlib import Path

import torch
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import sparsify_disk_loader
from sparsify import SparseCoder, SparseCoderConfig

warnings.filterwarnings("ignore")
for name in ("sae-lens", "eai-sparsify", "torch"):
    print(name, importlib.metadata.version(name))

torch.manual_seed(0)
D, FEATURES, K = 8, 32, 4
coder = SparseCoder(D, SparseCoderConfig(expansion_factor=4, k=K), device="cpu", dtype=torch.float32)
with torch.no_grad():
    for parameter in coder.parameters():
        parameter.copy_(torch.randn(parameter.shape) / 2)
place = Path("model/layers.3")
place.mkdir(parents=True)
coder.save_to_disk(place)
h = torch.randn(64, D)


def own(x):
    """sparsify's features, dense [n, FEATURES]."""
    with torch.no_grad():
        found = coder.encode(x)
    return torch.zeros(len(x), FEATURES).scatter(1, found.top_indices, found.top_acts)


def repaired(**changes):
    """SAELens' features after width, orientation and dtype are put right by hand."""

    def reader(path, device="cpu", cfg_overrides=None):
        config, state = sparsify_disk_loader(path, device, {"d_sae": FEATURES, "dtype": "float32", **changes})
        return config, state | {"W_dec": state["W_dec"].T.contiguous()}

    sae = SAE.load_from_disk(str(place), converter=reader)
    with torch.no_grad():
        return sae.encode(h)


stated = json.loads((place / "cfg.json").read_text())
config, state = sparsify_disk_loader(place)
try:
    SAE.load_from_disk(str(place), converter=sparsify_disk_loader)
    refused = ""
except RuntimeError as error:
    refused = str(error)
as_stated = float((repaired() - own(h)).abs().max())
with_bias = float((repaired(apply_b_dec_to_input=True) - own(h)).abs().max())

seen = {
    "sparsify writes num_latents": (stated["num_latents"], 0),
    "the reader's width": (config["d_sae"], 0),
    "sparsify's W_dec": (tuple(coder.W_dec.shape), (FEATURES, D)),
    "the reader's W_dec": (tuple(state["W_dec"].shape), (D, FEATURES)),
    "the reader's dtype": (config["dtype"], "bfloat16"),
    "the reader's apply_b_dec_to_input": (config["apply_b_dec_to_input"], False),
    "loading ends in size mismatches": ("size mismatch for W_dec" in refused, True),
    "features as stated differ": (as_stated > 0.1, True),
    "features with b_dec subtracted agree": (with_bias < 1e-5, True),
}
for what, (value, _) in seen.items():
    print(f"{what:38}{value}")
print(f"largest difference of a feature: {as_stated:.3f} as stated, {with_bias:.1e} with b_dec subtracted")
changed = {what: value for what, (value, wanted) in seen.items() if value != wanted}
if changed:
    print(f"CHANGED: {changed}", file=sys.stderr)
sys.exit(bool(changed))
PYTHON
"$folder/venv/bin/python" see.py
