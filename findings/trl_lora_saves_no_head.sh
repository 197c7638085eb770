#!/usr/bin/env bash
# A reward model that TRL's RewardTrainer trained with a plain LoraConfig comes back with another random head each time.
#
# The head of a base model that has none is random. LoraConfig(r=...) without task_type or modules_to_save leaves it frozen
# at its random values and saves only the low-rank matrices: training lowers the loss by bending the blocks to that one
# head, and the head is nowhere on disk. Base and adapter load without an error, and give another reward under every seed.
# TRL 1.16 and PEFT say nothing of it; Transformers reports the base's score.weight as newly initialised, as it does where
# all is well. With task_type="SEQ_CLS" (or modules_to_save=["score"]) the head is trained and saved.
#
# Seen with: trl 1.16.0, peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11 (2026-11-28).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  trl==1.16.0 peft==0.21.2 transformers==5.23.0 torch==2.13.0
cd "$folder"
cat > see.py <<'PYTHON'
import importlib.metadata
import sys
import warnings

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from trl import RewardConfig, RewardTrainer

for name in ("trl", "peft", "transformers", "torch"):
    print(name, importlib.metadata.version(name))

core = Tokenizer(models.BPE())
core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
core.train_from_iterator(
    ["Is it safe? Yes. No."],
    BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    pad_token_id=tokenizer.pad_token_id,
)
LlamaForCausalLM(config).save_pretrained("base")
tokenizer.save_pretrained("base")
rows = Dataset.from_list([{"chosen": "Is it safe? Yes.", "rejected": "Is it safe? No."}] * 8)
asked = torch.tensor([tokenizer("Is it safe? Yes.")["input_ids"]])


def reward(model):
    with torch.inference_mode():
        return round(model.eval()(input_ids=asked).logits.item(), 4)


def trained(**settings):
    """Names of the head's tensors on disk, whether anything was said of it, the reward, and that after two loads."""
    args = RewardConfig(
        "run",
        max_steps=4,
        learning_rate=1e-2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = RewardTrainer(
            "base", args=args, train_dataset=rows, peft_config=LoraConfig(r=2, **settings)
        )
        trainer.train()
        trainer.save_model("adapter")
    said = [str(w.message) for w in caught if "score" in str(w.message) or "SEQ_CLS" in str(w.message)]
    with safe_open("adapter/adapter_model.safetensors", "pt") as opened:
        names = [name for name in opened.keys() if "score" in name]
    after = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        base = AutoModelForSequenceClassification.from_pretrained("base", num_labels=1)
        after.append(reward(PeftModel.from_pretrained(base, "adapter")))
    return names, said, reward(trainer.model), after


seen = {"LoraConfig(r=2)": trained(), 'LoraConfig(r=2, task_type="SEQ_CLS")': trained(task_type="SEQ_CLS")}
for what, (names, said, before, after) in seen.items():
    print(f"\n{what}\n  head on disk {names}, said of it {said}\n  reward as trained {before}, loaded twice {after}")
(plain, said, before, after), (named, _, whole, again) = seen.values()
as_seen = not plain and not said and len({before, *after}) == 3 and named and {whole} == set(again)
if not as_seen:
    print("CHANGED", file=sys.stderr)
sys.exit(not as_seen)
PYTHON
TRANSFORMERS_VERBOSITY=error "$folder/venv/bin/python" see.py 2> >(grep -v -E 'it/s|examples/s|^$' >&2)
