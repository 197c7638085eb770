"""Loading: processor time and memory of the demo and of 16 of 32 blocks, before and after a change.

Each load runs in a process of its own on one thread, the two checkouts in turn. Everything is imported before the
clock starts, and what imports left is kept from the garbage collector: one pass over it takes a third of a load and
falls into it or not by chance. Time is the processor's (user and system), of which other work on the machine takes
none; the least of all rounds is given, as what disturbs a load only adds to it. Peak memory is what the process held at
most beyond what it held once everything was imported; its median is given. (It is VmHWM: ru_maxrss begins with that of
the process that started this one.)
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Figure, arguments, publish

ONE_LOAD = r"""
import gc, re, resource, sys, time
import torch
from pathlib import Path
from transformers import AutoModel, AutoTokenizer, LlamaModel
from sarm_core import load_sarm
import sarm_core, sarm_core.score.scorer
torch.zeros(8, 8) @ torch.zeros(8, 8)
gc.collect()
gc.freeze()
held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
started = time.process_time()
load_sarm(sys.argv[1], device="cpu", dtype="float32")
seconds = time.process_time() - started
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 - held
print(seconds, peak, sarm_core.__file__)
"""
SHAPE = {"hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16, "num_key_value_heads": 4}


def one_load(checkout: Path, source: str) -> tuple[float, float]:
    """(seconds of processor time, bytes at most) of one load by the code in `checkout`."""
    command = [sys.executable, "-c", ONE_LOAD, source]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    seconds, peak, where = done.stdout.split()
    if not Path(where).is_relative_to(checkout):
        raise SystemExit(f"{where} was measured instead of {checkout}")
    return float(seconds), float(peak)


def write_deep(folder: Path) -> None:
    """A SARM in the reference layout on a Llama of 32 blocks in bfloat16, of which it reads 16; 0.8 GB."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(num_hidden_layers=32, vocab_size=32_000, dtype="bfloat16", **SHAPE)
    torch.set_default_dtype(torch.bfloat16)
    tensors = {f"model.{name}": tensor for name, tensor in LlamaModel(config).state_dict().items()}
    d, n_features = config.hidden_size, 64
    tensors |= {"sae.pre_bias": torch.zeros(d), "sae.latent_bias": torch.zeros(n_features)}
    tensors |= {
        "sae.encoder.weight": torch.ones(n_features, d),
        "sae.decoder.weight": torch.ones(d, n_features),
    }
    save_file(
        {**tensors, "score.weight": torch.ones(1, n_features)}, folder / "model.safetensors", {"format": "pt"}
    )
    shape = {"sae_latent_size": n_features, "sae_k": 4, "sae_source_layer": 16}
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "sarm_param": shape}))


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    after = Path(__file__).parents[1]
    figures = []
    with tempfile.TemporaryDirectory() as name:
        write_deep(Path(name))
        for what, source in (("demo", "demo"), ("d 1024, 16 of 32 blocks", name)):
            one_load(after, source)  # the files are in the page cache from here on
            pairs = []
            for number in range(options.rounds):
                order = (options.before.resolve(), after) if number % 2 else (after, options.before.resolve())
                both = {checkout: one_load(checkout, source) for checkout in order}
                pairs.append((both[options.before.resolve()], both[after]))
            for at, (label, unit, scale, of_rounds) in enumerate(
                (("load", "s", 1, min), ("peak memory", "MiB", 2**-20, statistics.median))
            ):
                old, new = (of_rounds([pair[side][at] * scale for pair in pairs]) for side in (0, 1))
                figures += [
                    Figure(f"{what}: {label} before", old, unit),
                    Figure(f"{what}: {label} after", new, unit),
                    Figure(f"{what}: {label} after / before", new / old, "ratio", ("<=", 1.0)),
                ]
    publish(figures, options.out, rounds=options.rounds)


if __name__ == "__main__":
    main()
