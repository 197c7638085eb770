#!/usr/bin/env bash
# TRL's RewardTrainer trains an ordinary reward model at the line break after <|im_end|>, or at the token before the EOS.
#
# ...ForSequenceClassification scores the last token that is not the pad token. TRL 1.16 renders a conversation with the
# chat template, and ChatML ends a turn with "<|im_end|>\n": the scored token is the line break. To plain text it appends
# the EOS; where the pad token is the EOS (SmolLM2 and many others) that one is passed over, also in a row without
# padding, and the score is read at the token before it. Whoever scores such a model at the end of the turn reads a
# position that was never trained.
#
# Seen with: trl 1.16.0, transformers 5.23.0, torch 2.13.0, Python 3.11 (2026-11-28).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check trl==1.16.0 transformers==5.23.0 torch==2.13.0
cd "$folder"
cat > see.py <<'PYTHON'
import importlib.metadata
import sys
import warnings

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl import RewardConfig, RewardTrainer

warnings.filterwarnings("ignore")
for name in ("trl", "transformers", "torch"):
    print(name, importlib.metadata.version(name))

core = Tokenizer(models.BPE())
core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
core.decoder = decoders.ByteLevel()
core.train_from_iterator(
    ["Is it safe? Yes. No."],
    BpeTrainer(
        vocab_size=300,
        special_tokens=["<|im_start|>", "<|im_end|>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def scored(rows, pad):
    """Texts of the tokens whose hidden state reaches the score in RewardTrainer's first step, and what follows each."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token=pad, chat_template=TEMPLATE
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(config)
    args = RewardConfig(
        "run", max_steps=1, use_cpu=True, bf16=False, report_to="none", save_strategy="no", disable_tqdm=True
    )
    trainer = RewardTrainer(model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    model.eval()
    found = set()
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
        length = int(mask.sum())
        hidden = model.model(input_ids=ids[None], attention_mask=mask[None]).last_hidden_state
        every = model.score(hidden)[0, :, 0]
        pooled = model(input_ids=ids[None], attention_mask=mask[None]).logits[0, 0]
        at = int((every[:length] - pooled).abs().argmin())
        assert float((every[at] - pooled).abs()) < 1e-5  # of all positions' scores one is the model's
        found.add((tokenizer.decode(ids[at]), tokenizer.decode(ids[at + 1 : length])))
    return found


def turns(answer):
    return [{"role": "user", "content": "Is it safe?"}, {"role": "assistant", "content": answer}]


talk = [{"chosen": turns("Yes."), "rejected": turns("No.")}] * 8
text = [{"chosen": "Is it safe? Yes.", "rejected": "Is it safe? No."}] * 8
seen = {
    "conversations, pad == eos": (scored(talk, "<|im_end|>"), {("\n", "")}),
    "conversations, pad of its own": (scored(talk, "<pad>"), {("\n", "")}),
    "plain text, pad == eos": (scored(text, "<|im_end|>"), {(".", "<|im_end|>")}),
    "plain text, pad of its own": (scored(text, "<pad>"), {("<|im_end|>", "")}),
}
print("\nscored token, and what follows it")
for what, (found, _) in seen.items():
    print(f"  {what:32}{sorted(found)}")
changed = {what: found for what, (found, wanted) in seen.items() if found != wanted}
if changed:
    print(f"CHANGED: {changed}", file=sys.stderr)
sys.exit(bool(changed))
PYTHON
"$folder/venv/bin/python" see.py 2> >(grep -v -E 'it/s|examples/s|^$' >&2)
