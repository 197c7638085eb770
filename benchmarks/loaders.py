"""Exports in the loaders that people use: every layout in every loader, its rewards against the steered ones here.

python -m benchmarks.loaders [--envs FOLDER] [--only NAME ...] [--page docs/loaders.md] [--out FILE.json]

Each loader runs in a virtual environment of its own, made in `--envs` (kept, so that the next run is fast) from the
package index that pip knows; torch is this Python's own, linked in. The first run takes some twenty minutes and 2.4 GB.
`loaders_read.py` is what runs there, without this project. The models are tiny and random, with what goes wrong in
silence: a RoPE base and scaling, sliding windows, a template that writes a BOS, a head that is steered.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sarm_core import Steering, load_sarm, open_checkpoint
from sarm_core.errors import SarmError
from sarm_core.ship.check import export_layout
from sarm_core.ship.layouts import LAYOUTS
from tests.sarm_core import tiny_models as tiny

HERE = Path(__file__).resolve().parents[1]
READ = Path(__file__).with_name("loaders_read.py")

ENVIRONMENTS = {
    "transformers-4.43": ["transformers==4.43.4", "numpy<2"],
    "transformers-4.51": ["transformers==4.51.3"],
    "transformers-5.0": ["transformers==5.0.0"],
    "transformers-5.23": ["transformers==5.23.0", "trl==1.16.0"],
    "reward-lens": ["transformers==5.23.0", "reward-lens[white-box]==3.1.0"],
}
# (Loader as the table names it, environment, what loaders_read.py is asked, layout it is meant for)
LOADERS = [
    ("the paper's class, Transformers 4.43.4", "transformers-4.43", "paper", "reference"),
    ("the paper's class, Transformers 4.51.3", "transformers-4.51", "paper", "reference"),
    ("AutoModel, Transformers 4.43.4", "transformers-4.43", "auto", "auto"),
    ("AutoModel, Transformers 4.51.3", "transformers-4.51", "auto", "auto"),
    ("AutoModel, Transformers 5.0.0", "transformers-5.0", "auto", "auto"),
    ("AutoModel, Transformers 5.23.0", "transformers-5.23", "auto", "auto"),
    (
        "AutoModel 5.23.0 by `trust_remote_code=True`, nothing imported",
        "transformers-5.23",
        "trusting",
        "auto",
    ),
    ("AutoModel under bfloat16 autocast", "transformers-5.23", "autocast", "auto"),
    ("TRL 1.16.0, `GRPOTrainer(reward_funcs=...)`", "transformers-5.23", "grpo", "auto"),
    ("TRL 1.16.0, `RewardTrainer`, then `load_sarm`", "transformers-5.23", "train", "auto"),
    ("reward-lens 3.1.0, `RewardModel` (bfloat16)", "reward-lens", "lens", "auto"),
    ("reward-lens 3.1.0 as it comes, nothing imported", "reward-lens", "lens_alone", "auto"),
    ("`load_sarm`", "", "", ""),
]
MODELS = ("llama", "llama-bos", "gemma2", "qwen3")
PAPER = ("llama", "llama-bos", "gemma2")  # the families that the paper has classes for
ROWS = [
    ("Is it safe to mix them?", "Yes, if the room is aired."),
    ("Is it safe to mix them?", "No! Never do that...\n\nThank you."),
    ("The quick brown fox", "jumps over the lazy dog. " * 6),
]


def model(folder: Path, name: str) -> Path:
    """A checkpoint in the reference layout as Transformers 5 saves one, `name` of MODELS."""
    kind = name.split("-")[0]
    tokenizer = tiny.llama3() if name == "llama-bos" else tiny.chatml()
    backbone = tiny.backbone(kind, vocabulary=len(tokenizer))
    config = backbone.config
    config.rope_parameters = (
        tiny.LLAMA3_ROPE if kind == "llama" else {"rope_type": "default", "rope_theta": 3e5}
    )
    config.pad_token_id = config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    return tiny.reference_checkpoint(folder, kind, model=backbone, tokenizer=tokenizer)


def environment(folder: Path, requirements: list[str]) -> Path:
    """Its Python, with the packages and this Python's torch."""
    python = folder / "bin" / "python"
    if (folder / "ready").exists() and (folder / "ready").read_text() == repr(requirements):
        return python
    venv.create(folder, with_pip=True, clear=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    own = importlib.metadata.distribution("torch")
    for top in sorted(
        {Path(file).parts[0] for file in own.files or () if Path(file).parts[0] not in ("..", "bin")}
    ):
        place = Path(str(own.locate_file(top)))
        if place.exists() and not (site / top).exists():
            os.symlink(place, site / top)
    pinned = f"torch=={own.version.split('+')[0]}"
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        pinned,
        *requirements,
    ]
    subprocess.run([str(part) for part in command], check=True)
    (folder / "ready").write_text(repr(requirements))
    return python


def conversations() -> list[list[dict[str, str]]]:
    """ROWS as messages."""
    return [[{"role": "user", "content": p}, {"role": "assistant", "content": r}] for p, r in ROWS]


def ask(python: Path, how: str, folder: Path) -> dict[str, Any]:
    """What loaders_read.py says: {"rewards": [...]} or {"refused": line}."""
    told = json.dumps({"how": how, "folder": str(folder), "conversations": conversations()})
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        [str(python), "-W", "ignore", str(READ)],
        input=told,
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env={**kept, **offline},
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line)]
        return {"refused": (said or ["nothing was said"])[-1].replace(str(folder), "FOLDER")}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def here(folder: Path, dtype: str = "float32") -> dict[str, Any]:
    """load_sarm's rewards of a folder, one answer at a time: in half precision they depend on what shares a batch."""
    try:
        scorer = load_sarm(folder, dtype=dtype)
        return {
            "rewards": [float(scorer.score([{"messages": turns}]).rewards[0]) for turns in conversations()]
        }
    except SarmError as error:
        return {"refused": str(error)}


def compare(how: str, python: Path | None, layout: str, exports: dict[str, Path]) -> dict[str, Any]:
    """The largest difference of a reward from the steered one, or why there is none."""
    wanted = here(exports["own"], "bfloat16" if how.startswith("lens") else "float32")["rewards"]
    said = ask(python, how, exports[layout]) if python else here(exports[layout])
    if "trained" in said:  # the rewards to expect are those of the model as trained, in its own process
        wanted, said = said["rewards"], here(Path(said["trained"]))
    if "rewards" not in said:
        return {"refused": said["refused"]}
    difference = float(np.abs(np.asarray(said["rewards"]) - np.asarray(wanted)).max())
    return {"difference": difference, "rewards": said["rewards"], "wanted": wanted}


def cell(found: dict[str, dict[str, Any]]) -> str:
    """What the table says of one loader and layout, over all models."""
    if not found:
        return ""
    differences = [each["difference"] for each in found.values() if "difference" in each]
    if not differences:
        return "refused"
    if len(differences) < len(found):
        return "refused for " + ", ".join(name for name, each in found.items() if "refused" in each)
    return f"{max(differences):.0e}" if max(differences) else "0"


def page(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The table as Markdown, and under it what the loaders that refuse say."""
    lines = [
        "# Exports in the loaders that people use",
        "",
        "Made by `python -m benchmarks.loaders --page docs/loaders.md`, outside CI: every loader runs in an",
        "environment of its own, without this project. A cell is the largest difference of a reward from the steered",
        f"one, over three conversations and models {', '.join(MODELS)}, tiny and random, with a RoPE base (and for",
        "Llama a scaling) not the default. `reference` was read for the families that the paper has a class for.",
        "",
        "| loader | " + " | ".join(LAYOUTS) + " |",
        "|---|" + "---|" * len(LAYOUTS),
    ]
    for title, found in results.items():
        lines.append(f"| {title} | " + " | ".join(cell(found.get(layout, {})) for layout in LAYOUTS) + " |")
    lines += [
        "",
        "Differences above 1e-4 are the backbone's in bfloat16, which autocast asks for there; dictionary and head",
        "stay in float32 (how many pairs that turns: [benchmarks](benchmarks.md)). `RewardTrainer` ran with its",
        "defaults (bfloat16 autocast) on eight pairs; the rewards to expect are those of the trained model in its own",
        "process. It moved blocks and head, not the dictionary.",
        "",
        "Refusals, as the loaders put them:",
        "",
    ]
    said: dict[str, list[str]] = {}
    for title, found in results.items():
        for layout, models in found.items():
            for each in models.values():
                if "refused" in each:
                    line = " ".join(each["refused"].replace("`", "'").split())[:120]
                    said.setdefault(line, []).append(f"{title}: {layout}")
    lines += [f"* `{line}` ({'; '.join(dict.fromkeys(where))})" for line, where in said.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "sarm-loaders")
    parser.add_argument("--only", nargs="*", help="environments")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            source = model(Path(folder) / name / "source", name)
            scored = load_sarm(source, dtype="float32").score(
                [{"messages": turns} for turns in conversations()]
            )
            ids, _ = scored.matrix.activations(0)
            steering = Steering(scale={int(ids[0]): -1.5, int(ids[1]): 0.0})
            checkpoint = open_checkpoint(source)
            exports = {
                layout: export_layout(checkpoint, steering, Path(folder) / name / layout, layout)
                for layout in LAYOUTS
            }
            for title, where, how, meant in LOADERS:
                if options.only is not None and where not in options.only:
                    continue
                if how == "paper" and name not in PAPER:
                    continue
                python = environment(options.envs / where, ENVIRONMENTS[where]) if where else None
                for layout in LAYOUTS:
                    if name == MODELS[0] or layout == meant or not where:  # what is not meant is tried once
                        found = compare(how, python, layout, exports)
                        results.setdefault(title, {}).setdefault(layout, {})[name] = found
                        print(title, name, layout, found.get("difference", found.get("refused")), flush=True)
    if options.page:
        options.page.write_text(page(results), encoding="utf-8")
    if options.out:
        options.out.write_text(json.dumps(results, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
