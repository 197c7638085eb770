#!/usr/bin/env bash
# With log_completions=True, an evaluation of TRL's GRPOTrainer replaces the training completions of its step on disk.
#
# The trainer writes completions/completions_STEP.parquet whenever it logs. It logs the training step first and then the
# evaluation that follows it, under the same step and so the same name, from one buffer that both fill: what is left of
# a step with an evaluation are the held-out prompts (and the end of the training batch where these are fewer). No
# column tells the two apart. Whoever plots a run from these files sees another prompt set at each evaluation.
#
# Also seen: `step` counts updates when it is logged, so the answers of step 1 are the untrained policy's; and where
# completions are used for several updates (num_iterations=2) the same stand in several files.
#
# Seen with: trl 1.16.0, transformers 5.23.0, datasets 5.2.0, torch 2.13.0, Python 3.11 (2026-11-28).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    trl==1.16.0 transformers==5.23.0 datasets==5.2.0 torch==2.13.0 pandas pyarrow
cd "$folder"
cat > see.py <<'PYTHON'
import importlib.metadata
import sys
import warnings
from pathlib import Path

import pandas
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

warnings.filterwarnings("ignore")
for name in ("trl", "transformers", "datasets", "torch"):
    print(name, importlib.metadata.version(name))

core = Tokenizer(models.BPE())
core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
core.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
core.train_from_iterator(
    ["train held out"],
    BpeTrainer(vocab_size=270, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False),
)


def logged(name, **settings):
    """The tables that a run of four steps leaves, by the step in their name."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<end>", padding_side="left"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        eos_token_id=0, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=LlamaForCausalLM(config),
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": f"train {i}"} for i in range(4)]),
        eval_dataset=Dataset.from_list([{"prompt": f"held out {i}"} for i in range(4)]),
        args=GRPOConfig(
            output_dir=name, max_steps=4, per_device_train_batch_size=8, per_device_eval_batch_size=8,
            num_generations=2, max_completion_length=4, logging_steps=1, log_completions=True,
            num_completions_to_print=0, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
            bf16=False, **settings,
        ),
    )  # fmt: skip
    trainer.train()
    paths = sorted(Path(name, "completions").glob("*.parquet"))
    return {int(path.stem.rpartition("_")[2]): pandas.read_parquet(path) for path in paths}


evaluated = logged("evaluated", eval_strategy="steps", eval_steps=2)
kinds = {
    step: "held-out" if table["prompt"].str.startswith("held").all() else "training" for step, table in evaluated.items()
}
columns = {tuple(table.columns) for table in evaluated.values()}
twice = logged("twice", num_iterations=2)
same = [step for step in twice if step > 1 and twice[step]["completion"].equals(twice[step - 1]["completion"])]
print("prompts of each file, with an evaluation every two steps:", kinds)
print("columns of all of them:", *columns)
print("with num_iterations=2, the steps whose completions are those of the step before:", same)
as_before = kinds == {1: "training", 2: "held-out", 3: "training", 4: "held-out"} and same == [2, 4]
if not (as_before and len(columns) == 1):
    print("CHANGED: this is not what was seen before")
sys.exit(0 if as_before and len(columns) == 1 else 1)
PYTHON
"$folder/venv/bin/python" see.py 2>/dev/null
