"""Which decoders are read exactly: every type that the installed Transformers ships, tiny, with random weights.

Each type runs in a process of its own under a limit of time and memory, against the uncut model with a hook of this
script's own:

  cut       h after 2, 3 and all of 4 blocks equals what the uncut model's block gives, and its `hidden_states`
  padding   padded on the left, on the right, alone: the same h at the last token
  batch     scored alone and together: the same h
  sharing   the work on a prompt shared by answers, or not: the same z
  export    written in each layout and read back: the same rewards

    python -m benchmarks.backbones --out table.json --table docs/backbones.md
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401  before the fork
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.tiny_configs import BLOCKS, VOCABULARY, tiny_config
from sarm_core import Steering, load_sarm
from sarm_core.errors import SarmError
from sarm_core.model import backbone  # noqa: F401
from sarm_core.model.checkpoint import Shape
from sarm_core.model.sae import SAE, TopK
from sarm_core.score.scorer import Scorer
from sarm_core.ship import modeling_sarm  # noqa: F401
from sarm_core.ship.check import check_export, export_layout, trial
from sarm_core.ship.export import sae_tensors, write_own
from sarm_core.ship.layouts import LAYOUTS, AnyLayout
from sarm_core.text.rows import Conversation

SECONDS, MEMORY = 180, 24 * 2**30  # of address space: a tensor that is read maps its whole file
N_FEATURES, K = 64, 6
TOLERANCE = 2e-5  # of the largest number in h
CHECKS = ("cut", "padding", "batch", "sharing", "export")
MIRROR = (28, 9, 17)
"""Lengths of the texts; sliding windows of the tiny configs are 8."""


def uncut_model(kind: str) -> nn.Module:
    """A random model of `kind` in which every block changes h."""
    config = tiny_config(kind)
    torch.manual_seed(0)
    model = AutoModel.from_config(config).float().eval()
    size = sum(p.numel() for p in model.parameters())
    if size > 90e6:
        raise ValueError(f"not tiny: {size / 1e6:.0f} million weights")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def own_blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder's blocks, found apart from how the project finds them: the list of the most weights."""
    text = model
    for path, child in model.named_modules():
        if path.rsplit(".", 1)[-1] in ("language_model", "text_model"):
            text = child
            break
    lists = [m for m in text.modules() if isinstance(m, nn.ModuleList) and len(m) == BLOCKS]
    if not lists:
        raise ValueError("no list of blocks")
    return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))


def first(output: Any) -> torch.Tensor:
    """The stream among what a block gives."""
    return output[0] if isinstance(output, tuple | list) else output


@torch.no_grad()
def streams(model: nn.Module, ids: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
    """h after each block as hooks see it, and as `hidden_states` has it (None where the model has none)."""
    seen: list[torch.Tensor] = []
    hooks = [
        b.register_forward_hook(lambda _m, _i, out: seen.append(first(out).clone()))
        for b in own_blocks(model)
    ]
    model(input_ids=ids)
    if len(seen) != BLOCKS:
        raise ValueError(f"{len(seen)} passes through {BLOCKS} blocks")
    for hook in hooks:
        hook.remove()
    given: list[torch.Tensor] = []
    start = own_blocks(model)[0].register_forward_pre_hook(
        lambda _m, inputs, options: given.append(inputs[0] if inputs else options["hidden_states"]),
        with_kwargs=True,
    )
    try:
        states = model(input_ids=ids, output_hidden_states=True).hidden_states
    except (AttributeError, TypeError, ValueError):
        states = None
    start.remove()
    # Mamba's begin behind the first block; those of a text apart from images begin with what block 1 reads.
    usual = states is not None and len(states) == BLOCKS + 1 and torch.equal(states[0], given[-1])
    return seen, list(states[1:]) if usual else None


def differ(a: torch.Tensor, b: torch.Tensor) -> str:
    """Empty where equal; else by how much, as a part of the largest number."""
    if a.shape != b.shape:
        return f"{list(a.shape)} for {list(b.shape)}"
    scale = float(b.abs().max())
    off = float((a - b).abs().max()) / max(scale, 1e-9)
    return "" if off <= TOLERANCE else f"off by {off:.2g}"


def sarm_folder(folder: Path, model: nn.Module, layer: int) -> Path:
    """A SARM on `model`, its config that of the model, in the own layout."""
    if not (folder / "backbone").exists():
        (folder / "backbone").mkdir(parents=True)
        model.save_pretrained(folder / "backbone")  # type: ignore[operator]
    config = model.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    torch.manual_seed(1)
    sae = SAE(int(config.hidden_size), N_FEATURES, TopK(K))
    for parameter in sae.parameters():
        nn.init.normal_(parameter, std=0.5)
    (folder / "sarm.json").unlink(missing_ok=True)
    write_own(
        folder,
        shape=Shape(layer, N_FEATURES, TopK(K)),
        tensors=sae_tensors(sae),
        head=torch.randn(N_FEATURES).numpy(),
        backbone="backbone",
        rule="last-token",
    )
    return folder


def texts(lengths: tuple[int, ...] = MIRROR, prompt: int = 0) -> list[np.ndarray]:
    """Random token ids of these lengths behind one prompt."""
    rng = np.random.default_rng(0)
    start = rng.integers(3, VOCABULARY, prompt)
    return [np.concatenate([start, rng.integers(3, VOCABULARY, n)]).astype(np.int32) for n in lengths]


def check_cut(model: nn.Module, folder: Path, layers: Sequence[int]) -> str:
    """ "" where h is the uncut model's for L = 2, 3, all."""
    ids = torch.from_numpy(np.stack(texts((30, 30)))).long()
    hooked, states = streams(model, ids)
    for layer in layers:
        scorer = load_sarm(sarm_folder(folder, model, layer), dtype="float32")
        with torch.no_grad():
            h = scorer.model.hidden(ids, torch.ones_like(ids))
        if why := differ(h, hooked[layer - 1]):
            return f"L {layer}: {why}"
        if states is not None and layer < BLOCKS and (why := differ(h, states[layer - 1])):
            return f"L {layer}: {why} from hidden_states"
    return ""


def last(scorer: Scorer, rows: list[np.ndarray], left: bool | None) -> torch.Tensor:
    """h at the last token: padded on one side, or (None) each alone."""
    if left is None:
        return torch.cat([last(scorer, [row], False) for row in rows])
    width = max(map(len, rows))
    ids, mask = (
        torch.ones(len(rows), width, dtype=torch.long),
        torch.zeros(len(rows), width, dtype=torch.long),
    )
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, where], mask[i, where] = torch.from_numpy(row).long(), 1
    with torch.no_grad():
        h = scorer.model.hidden(ids, mask)
    return torch.stack([h[i, -1 if left else len(row) - 1] for i, row in enumerate(rows)])


def check_padding(scorer: Scorer) -> str:
    """ "" where left, right and no padding give one h."""
    alone = last(scorer, texts(), None)
    for left in (False, True):
        if why := differ(last(scorer, texts(), left), alone):
            return f"{'left' if left else 'right'}: {why}"
    return ""


def check_batch(scorer: Scorer) -> str:
    """ "" where the encoder gives the same h together and alone."""
    rows = texts((28, 9, 17, 17, 5))
    at = [np.array([len(row) - 1]) for row in rows]
    together = scorer.encoder.hidden(rows, at)
    alone = np.concatenate([scorer.encoder.hidden([r], [a]) for r, a in zip(rows, at, strict=True)])
    return differ(torch.from_numpy(together), torch.from_numpy(alone))


def check_sharing(scorer: Scorer) -> str:
    """ "" where sharing a prompt changes no z."""
    rows = [*texts((12, 5, 9), prompt=20), *texts((7, 11), prompt=33), *texts((6,))]
    on = scorer.encoder.encode(rows).toarray()
    off = scorer.encoder.encode(rows, share_prefixes=False).toarray()
    return differ(torch.from_numpy(on), torch.from_numpy(off))


def check_exports(scorer: Scorer, folder: Path, layouts: Sequence[AnyLayout]) -> str:
    """ "" where every layout gives the same rewards again."""
    rows = [Conversation(input_ids=tuple(map(int, row))) for row in texts()]
    steering = Steering()
    asked = trial(scorer, rows, steering)
    wrong = []
    for layout in layouts:
        target = folder / layout
        try:
            export_layout(scorer.checkpoint, steering, target, layout)
            check = check_export(target, layout, asked)
        except SarmError as error:
            wrong.append(
                f"{layout} refused ({one_line(error).replace(str(folder), '').removeprefix('/sarm: ')})"
            )
        except Exception as error:
            if "Cannot allocate memory" in str(error):
                return "not asked: over this script's limit of memory"
            wrong.append(f"{layout} FAILS ({one_line(error)})")
        else:
            if not check.holds:
                wrong.append(f"{layout} OFF by {check.error:.2g}")
    return "; ".join(wrong)


def one_line(error: BaseException) -> str:
    """An error as a table can hold it."""
    return " ".join(f"{error}".replace("|", "/").split())[:200] or type(error).__name__


def tried(
    kind: str,
    folder: Path,
    layers: Sequence[int] = (2, 3, BLOCKS),
    layouts: Sequence[AnyLayout] = LAYOUTS,
) -> dict[str, Any]:
    """All checks of one type."""
    found: dict[str, Any] = {"type": kind}
    try:
        model = uncut_model(kind)
        found["class"] = type(model).__name__
        ids = torch.from_numpy(np.stack(texts((30, 30)))).long()
        with torch.no_grad():
            model(input_ids=ids)
    except Exception as error:
        found |= {"verdict": "not tried", "why": f"{type(error).__name__}: {one_line(error)}"}
        found["trace"] = traceback.format_exc()[-1500:]
        try:
            sarm_folder_of_config(kind, folder)
        except SarmError as refusal:
            found |= {"verdict": "refused", "why": one_line(refusal)}
        except Exception:
            pass
        return found
    try:
        scorer = load_sarm(sarm_folder(folder / "sarm", model, 2), dtype="float32")
    except SarmError as error:
        why = one_line(error).replace(str(folder), "")
        return {**found, "verdict": "refused", "why": why}
    except Exception as error:
        return {**found, "verdict": "WRONG", "why": one_line(error), "trace": traceback.format_exc()[-1500:]}
    steps: dict[str, Callable[[], str]] = {
        "cut": lambda: check_cut(model, folder / "sarm", layers),
        "padding": lambda: check_padding(scorer),
        "batch": lambda: check_batch(scorer),
        "sharing": lambda: check_sharing(scorer),
        "export": lambda: check_exports(scorer, folder, layouts),
    }
    for name, step in steps.items():
        if name == "padding":  # the last cut is the deepest, and has every kind of block
            scorer = load_sarm(folder / "sarm", dtype="float32")
            found["shares"] = scorer.encoder.why_not_shared is None
        try:
            found[name] = step()
        except Exception as error:
            found[name] = f"FAILS: {type(error).__name__}: {one_line(error)}"
            found["trace"] = traceback.format_exc()[-1500:]
    found["verdict"] = "exact" if not any(found[name] for name in CHECKS[:4]) else "WRONG"
    return found


def sarm_folder_of_config(kind: str, folder: Path) -> None:
    """Ask the project about a type of which no tiny model could be built: its default config."""
    from safetensors.torch import save_file

    from sarm_core.model.backbone import backbone_config

    there = folder / "config"
    there.mkdir()
    (there / "config.json").write_text(CONFIG_MAPPING[kind]().to_json_string(use_diff=False))
    save_file({"model.embed_tokens.weight": torch.zeros(2, 2)}, there / "model.safetensors")
    backbone_config(there)


def limited(kind: str, out: Path) -> None:
    """The child: one type under its limits."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.alarm(SECONDS)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, torch.random.fork_rng():
        found = tried(kind, Path(name))
    found["seconds"] = round(time.perf_counter() - started, 1)
    out.write_text(json.dumps(found))


def kinds() -> list[str]:
    """Every type of which Transformers makes a causal language model."""
    return sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))


HEAD = """# Which decoders are read

Written by `python -m benchmarks.backbones --out found.json --table docs/backbones.md`. Every type of which Transformers
{version} makes a causal language model was built tiny (4 blocks, random weights, float32) and asked, against the uncut
model with a hook of the script's own:

* **cut**: h after 2, 3 and all blocks is what the uncut model's block gives, and its `hidden_states`, to 2e-5 of the
  largest number
* **padding, batch**: left, right and no padding, together and alone, give the same h
* **sharing**: z is the same whether answers share the work on their prompt or not. Where layers keep more than keys and
  values every answer reads its prompt *anew*
* **exports**: each of the three layouts, read back, gives the same rewards

*Exact* is a type that passed the first four. A type that is not in the table is loaded if Transformers knows it and was
not asked. An encoder with a decoder's switch (BERT and its kin) was asked with `is_decoder` set and is refused without.
"""


def table(results: dict[str, dict[str, Any]]) -> str:
    """The page: counts, then a line for each type."""
    by = {verdict: [r for r in results.values() if r["verdict"] == verdict] for verdict in VERDICTS}
    counts = ", ".join(f"{len(rows)} {verdict}" for verdict, rows in by.items() if rows)
    lines = [
        HEAD.format(version=transformers.__version__),
        f"{len(results)} types: {counts}.",
        "",
        "## Exact",
        "",
    ]
    lines += ["| type | class | prompts | exports |", "|---|---|---|---|"]
    for row in by["exact"]:
        shares = "shared" if row["shares"] else "read anew"
        lines.append(f"| {row['type']} | {row['class']} | {shares} | {row['export'] or 'all'} |")
    for verdict, heading in (("WRONG", "Wrong"), ("refused", "Refused"), ("not tried", "Not tried")):
        if by[verdict]:
            lines += ["", f"## {heading}", "", "| type | why |", "|---|---|"]
            lines += [f"| {row['type']} | {why(row)} |" for row in by[verdict]]
    return "\n".join(lines) + "\n"


def why(row: dict[str, Any]) -> str:
    """The reason, without what the message says of the folder and the remedy."""
    failed = "; ".join(f"{name} {row[name]}" for name in CHECKS if row.get(name))
    stated = str(row.get("why", failed))
    found = re.search(r"has no features after a block to score by, as (.*); take", stated)
    return found[1] if found else re.sub(r"^\S*?/(sarm|config)\S*: ", "", stated)


VERDICTS = ("exact", "WRONG", "refused", "not tried")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="what was found, as JSON")
    parser.add_argument("--table", type=Path, help="write the table as Markdown")
    parser.add_argument("kinds", nargs="*", help="only these types")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    results = json.loads(options.out.read_text()) if options.kinds and options.out.exists() else {}
    fork = multiprocessing.get_context("fork")
    for kind in options.kinds or kinds():
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "found.json"
            child = fork.Process(target=limited, args=(kind, file))
            child.start()
            child.join()
            if file.exists():
                found = json.loads(file.read_text())
            else:
                found = {"type": kind, "verdict": "not tried", "why": f"ended with code {child.exitcode}"}
        results[kind] = found
        short = {n: found[n] for n in CHECKS if found.get(n)} or found.get("why", "")
        print(kind, found["verdict"], str(short)[:300], found.get("seconds"), flush=True)
        options.out.write_text(json.dumps(results, indent=1))
    if options.table:
        options.table.write_text(table(dict(sorted(results.items()))), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
