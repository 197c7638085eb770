#!/usr/bin/env bash
# Transformers 4 reads a Llama that Transformers 5 saved with another RoPE, without a warning.
#
# Transformers 5 writes the base and the scaling as rope_parameters. Transformers 4.43 (the pin of the SARM paper's code)
# and 4.51 (rewardbench's) keep that entry as an attribute that nothing reads, and rotate with the default base 10000 and
# no scaling. The folder loads whole, every weight in its place; hidden states, and so rewards, are those of another model.
# With rope_theta and rope_scaling written beside it, all three agree.
#
# Seen with: transformers 5.23.0, 4.51.3 and 4.43.4, torch 2.13.0, Python 3.11 (2026-11-28).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > see.py <<'PYTHON'
import json
import sys
import warnings
from pathlib import Path

import torch
import transformers
from transformers import AutoModel, LlamaConfig, LlamaModel

SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
if sys.argv[1] == "save":
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        rope_parameters={**SCALING, "rope_theta": 500000.0},
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.5,
    )
    LlamaModel(config).save_pretrained("saved")
    LlamaModel(config).save_pretrained("both")
    Path("both/model.safetensors").write_bytes(Path("saved/model.safetensors").read_bytes())
    stated = json.loads(Path("both/config.json").read_text())
    stated |= {"rope_theta": 500000.0, "rope_scaling": SCALING}
    Path("both/config.json").write_text(json.dumps(stated))

said = {"version": transformers.__version__}
ids = torch.arange(200)[None] % 64
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in ("saved", "both"):
        model, report = AutoModel.from_pretrained(name, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        with torch.inference_mode():
            said[name] = model.float().eval()(ids).last_hidden_state[0, -1].tolist()
        stated = getattr(model.config, "rope_parameters", None) if sys.argv[1] == "save" else None
        said[f"{name} base"] = stated["rope_theta"] if stated else model.config.rope_theta
said["warnings about rope"] = [str(w.message) for w in caught if "rope" in str(w.message).lower()]
print(json.dumps(said))
PYTHON
for version in 5.23.0 4.51.3 4.43.4; do
  numpy=$([ $version = 4.43.4 ] && echo "numpy<2" || echo numpy)
  python3 -m venv "$folder/venv-$version"
  "$folder/venv-$version/bin/pip" install --quiet --disable-pip-version-check transformers==$version torch==2.13.0 "$numpy"
  what=$([ $version = 5.23.0 ] && echo save || echo read)
  "$folder/venv-$version/bin/python" see.py "$what" > "$version.json" 2> "$version.log"
  if grep -i rope "$version.log"; then echo "CHANGED: $version says something of RoPE" >&2; exit 1; fi
done
"$folder/venv-5.23.0/bin/python" - <<'PYTHON'
import json
import sys

new, *old = (json.loads(open(f"{version}.json").read()) for version in ("5.23.0", "4.51.3", "4.43.4"))
print("Transformers  base as saved  base with both  largest difference of h as saved, with both")
changed = []
for said in (new, *old):
    difference = {
        name: max(abs(a - b) for a, b in zip(said[name], new["saved"], strict=True)) for name in ("saved", "both")
    }
    print(
        f"{said['version']:14}{said['saved base']:<15}{said['both base']:<16}{difference['saved']:.3f}, {difference['both']:.0e}"
    )
    expected = (500000.0, True) if said is new else (10000.0, False)
    if (said["saved base"], difference["saved"] < 1e-3) != expected or difference["both"] > 1e-3:
        changed.append(said["version"])
    if said["warnings about rope"]:
        changed.append(said["warnings about rope"])
if changed:
    print(f"CHANGED: {changed}", file=sys.stderr)
sys.exit(bool(changed))
PYTHON
