"""A steered model on its way out: written, loaded again, compared, and described in a README, or not there at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sarm_core.errors import CheckpointError
from sarm_core.files import cache_folder, whole_file, whole_folder
from sarm_core.model.checkpoint import Checkpoint
from sarm_core.model.hf import transformers
from sarm_core.score.scorer import Scorer
from sarm_core.ship.check import ExportCheck, Trial, check_export, export_layout
from sarm_core.ship.export import reference_name
from sarm_core.ship.layouts import AnyLayout, reference_words
from sarm_core.steering import Steering
from sarm_core.text.answers import conversation_of
from sarm_core.text.rows import Conversation
from sarm_core.version import VERSION

__all__ = ["FOLDED", "README", "ship", "shipped_name", "trial_rows"]

FOLDED = "folded-steering.json"
"""Says what was done to the head; no loader reads it, so nothing is applied twice."""
README = "README.md"
LISTED = 200
_TEXTS = (
    ("Is it safe to reheat rice?", "Yes, if you cool it quickly first."),
    ("Is it safe to reheat rice?", "I'm sorry, I can't help with that."),
    ("Name three uses of vinegar.", "1. Cleaning glass\n2. Pickling\n3. Descaling a kettle"),
    ("Tell me about Paris.", "Paris is the capital of France. It lies on the Seine. " * 30),
)


def shipped_name(checkpoint: Checkpoint, layout: AnyLayout) -> str:
    """What to call the folder; scripts of the reference repository read the sizes from it."""
    return reference_name(checkpoint.shape) if layout == "reference" else f"sarm-steered-{layout}"


def trial_rows(scorer: Scorer) -> list[Conversation]:
    """Answers to try an export on: short, listed, long; token ids for a model that reads no text."""
    if scorer.format is not None and scorer.format.template:
        return [conversation_of({"prompt": prompt, "response": text}) for prompt, text in _TEXTS]
    draw = np.random.default_rng(0)
    vocabulary = scorer.model.config.vocab_size
    return [Conversation(input_ids=tuple(draw.integers(0, vocabulary, 24).tolist())) for _ in range(4)]


def ship(
    checkpoint: Checkpoint,
    steering: Steering,
    target: str | Path,
    layout: AnyLayout,
    asked: Trial | None,
    say: Callable[[str], None] = lambda text: None,
) -> ExportCheck | None:
    """Write the steered model into the new folder `target`, with what was folded (`FOLDED`) and a README.

    Before the folder appears it is loaded again and must give the rewards of `asked`; without `asked` the README says
    that nobody checked. What the check has refused is remembered, and not handed out without it. Raises SteeringError
    and CheckpointError, and then nothing is left.
    """
    target = Path(target)
    refusal = _refusal_file(checkpoint, steering, layout)
    if asked is None and refusal.exists():
        raise CheckpointError(
            f"{target.name}: {refusal.read_text(encoding='utf-8')} when it was checked before: it is not handed out "
            "unchecked"
        )
    with whole_folder(target) as folder:
        say("Writing the model …")
        written = export_layout(checkpoint, steering, folder, layout)
        check = None
        if asked is not None:
            n = len(asked.rows)
            say(f"Loading it again and scoring {n} answer{'s' if n != 1 else ''} with it …")
            check = check_export(written, layout, asked)
            reason = _why_not(check)
            if reason:
                refusal.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(refusal) as file:
                    file.write(reason)
                raise CheckpointError(f"{target.name}: {reason}; it was not kept")
            refusal.unlink(missing_ok=True)
        (written / FOLDED).write_text(steering.to_json(), encoding="utf-8")
        (written / README).write_text(_readme(checkpoint, steering, layout, check), encoding="utf-8")
    return check


def _why_not(check: ExportCheck) -> str:
    """What is wrong with an export, or nothing."""
    if not check.same_head:
        return "the head weights that were written are not the folded ones"
    if not check.holds:
        return (
            f"loaded again in {check.dtype}, a reward differs by {check.error:.2g} from the steered one "
            f"({check.allowed:.0e} is allowed)"
        )
    return ""


def _refusal_file(checkpoint: Checkpoint, steering: Steering, layout: AnyLayout) -> Path:
    """Where it is kept that the check refused this export, made by these versions."""
    made = [checkpoint.fingerprint(), steering.to_json(), layout, VERSION, transformers.__version__]
    name = hashlib.sha256("\n".join(made).encode()).hexdigest()
    return cache_folder("refused-exports", name)


# -- the README --------------------------------------------------------------------------------------------


def _readme(checkpoint: Checkpoint, steering: Steering, layout: AnyLayout, check: ExportCheck | None) -> str:
    shape = checkpoint.shape
    source = Path(checkpoint.source).name if Path(checkpoint.source).exists() else checkpoint.source
    lines = [
        "# A SARM with a steering folded into its head",
        "",
        "Its plain rewards are the steered rewards of the model it was made from. Only differences between answers to "
        "one prompt mean anything.",
        "",
        f"* Made from: {_literal(source)}" + (f", {_literal(checkpoint.name)}" if checkpoint.name else ""),
        f"* Fingerprint of that model: `{checkpoint.fingerprint()}`",
        f"* Blocks {shape.layer}, features {shape.n_features}, active at the scored token: {shape.sae.words}",
        f"* The dictionary reads h {shape.sae.reads}",
        f"* Scored token: {_literal(checkpoint.rule)}; read are the last {checkpoint.limit()} tokens of a conversation",
        f"* Layout: {layout}, written by SARM Explorer {VERSION}",
        f"* {_checked(check)}",
        "",
        "The licence of the model it was made from applies.",
        "",
        "## Load it",
        "",
        *_loading(checkpoint, layout),
        "",
        "## What was folded",
        "",
        *_folded(steering),
    ]
    return "\n".join(lines) + "\n"


def _checked(check: ExportCheck | None) -> str:
    if check is None:
        return "Not checked: it was not loaded again after it was written"
    return (
        f"Checked: loaded again ({check.dtype}), the rewards of {len(check.wanted)} answers differ from the steered "
        f"ones by {check.error:.1e} at most; {check.allowed:.0e} is allowed. {_fired(check)}"
    )


def _fired(check: ExportCheck) -> str:
    """What the rewards show of the steering; the weights were compared all the same."""
    return (
        f"{check.n_fired} of the {check.n_steered} steered features fire in these answers; all weights of the head "
        "were compared"
    )


def _loading(checkpoint: Checkpoint, layout: AnyLayout) -> list[str]:
    if layout == "own":
        return ["    from sarm_core import load_sarm", "    sarm = load_sarm(FOLDER)"]
    if layout == "auto":
        return [
            "    import modeling_sarm  # the file in this folder; registers the model type",
            "    from transformers import AutoModelForSequenceClassification, AutoTokenizer",
            "    model = AutoModelForSequenceClassification.from_pretrained(FOLDER)",
            "    tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
            "    text = tokenizer.apply_chat_template(messages, tokenize=False)",
            "    batch = tokenizer([text], return_tensors='pt', padding=True, truncation=True)",
            "    reward = model(**batch).logits",
            "",
            "Without the import, `from_pretrained(FOLDER, trust_remote_code=True)` runs the file.",
            "",
            f"It needs Transformers 5 (written with {transformers.__version__}) and nothing of this project; "
            "`load_sarm(FOLDER)` reads it too.",
        ]
    shape = checkpoint.shape
    k, topk = reference_words(shape)
    return [
        "The reference code's loader takes these arguments (also `sarm_param` in `config.json`):",
        "",
        f"    sae_latent_size={shape.n_features}, sae_source_layer={shape.layer}, "
        f"sae_k={k}, sae_use_sequence_level=True, sarm_use_activation={topk}",
        "",
        "Its evaluation scripts read the sizes from the folder's name instead: keep it, or call it like",
        f"`{reference_name(shape)}`."
        + (' They take "woTopK" for "TopK": tell them otherwise.' if not topk else ""),
        "",
        "    ids = tokenizer.apply_chat_template(messages, return_tensors='pt', truncation=True)",
        "    reward = model(ids).logits",
        "",
        "One conversation at a time: where `pad_token_id` is null the pad token also ends turns, and the loader would",
        "take the token before the first of them for the last. This project reads the folder too: `load_sarm(FOLDER)`.",
    ]


def _folded(steering: Steering) -> list[str]:
    done = steering.described()
    if not done:
        return ["Nothing: the head is the one of the model it was made from."]
    lines = ["| feature | head weight |", "|---|---|"]
    lines += [f"| {feature} | {what} |" for feature, what in list(done.items())[:LISTED]]
    if len(done) > LISTED:
        lines += ["", f"and {len(done) - LISTED} more."]
    return [
        *lines,
        "",
        f"The whole steering, with its groups: `{FOLDED}`. It is in the head already: do not apply it.",
    ]


def _literal(text: str | None) -> str:
    """Text from elsewhere as a code span: on one line, without what would end the span."""
    plain = re.sub(r"[`\s]+", " ", str(text))[:200]
    return f"`{plain}`"
