"""`sarm build` on the embedded backbone, timed: its own dictionary in a public format, and preference pairs.

python -m benchmarks.build PAIRS.jsonl [--keep FOLDER] [--out FILE.json]

The dictionary is that of the embedded SARM, written as SAELens 6 writes one: TopK (which keeps no negative value there,
as the paper's does), input by layer norm, for the stream after its block. Nothing is kept from an earlier run: the
cache is new.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.report import Figure, arguments, publish
from sarm_core.model.checkpoint import open_checkpoint, read_sae
from sarm_core.model.sae import TopK
from sarm_core.train.build import BuildConfig, run_build

LIMIT = 600.0


def as_saelens(folder: Path) -> Path:
    """The embedded SARM's dictionary as a folder in the format of SAELens."""
    checkpoint = open_checkpoint("demo")
    shape = checkpoint.shape
    assert isinstance(shape.sae, TopK)
    sae = read_sae(checkpoint.tensors, shape, prefix="sae.")
    tensors = {
        "W_enc": sae.encoder.weight.T.contiguous(),
        "b_enc": sae.latent_bias,
        "W_dec": sae.decoder.weight.T.contiguous(),
        "b_dec": sae.pre_bias,
    }
    stated = {
        "architecture": "topk",
        "k": shape.sae.k,
        "d_in": sae.width,
        "d_sae": sae.n_features,
        "normalize_activations": "layer_norm",
        "apply_b_dec_to_input": True,
        "metadata": {"hook_name": f"blocks.{shape.layer - 1}.hook_resid_post"},
    }
    folder.mkdir()
    save_file({name: t.detach().clone() for name, t in tensors.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(stated), encoding="utf-8")
    return folder


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--dtype", default="auto", help="of the backbone")
    parser.add_argument("--keep", type=Path, help="a new folder for the SARM that was built")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        built = run_build(
            BuildConfig(
                pairs=[str(options.pairs)],
                backbone="demo",
                sae=str(as_saelens(place / "dictionary")),
                out=str(options.keep or place / "sarm"),
                cache=str(place / "cache"),
                name="demo, built",
                dtype=options.dtype,
            )
        )
        report = json.loads((built / "report.json").read_text(encoding="utf-8"))
    seconds, pairs, head = report["seconds"], report["pairs"], report["head"]
    figures = [
        Figure("all of it", sum(seconds.values()), "s", ("<=", LIMIT)),
        *(Figure(f"of it: {name}", value, "s") for name, value in seconds.items()),
        Figure("pairs", pairs["pairs"], ""),
        Figure("distinct answers", pairs["answers"], ""),
        Figure("answers a second", pairs["answers"] / max(seconds["read"], 1e-9), ""),
        Figure("features used", head["n_features"], ""),
        Figure("test accuracy", head["test"]["all"]["accuracy"], ""),
        *(
            Figure(f"test accuracy, {name.replace('_', ' ')}", found["test"]["all"]["accuracy"], "")
            for name, found in report["baselines"].items()
        ),
        Figure("contradicting pairs", pairs["contradicting"], ""),
        Figure("pairs that look mislabelled", pairs["against"], ""),
    ]
    publish(figures, options.out, report=report)


if __name__ == "__main__":
    main()
