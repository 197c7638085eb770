"""Train a toy policy with GRPO against a steered SARM, and see which features its answers gained and lost.

    pip install -r requirements.txt -r requirements-train.txt
    python examples/trl_grpo.py                              # no network, under a minute on two idle CPU cores
    python examples/trl_grpo.py --plain                      # the same without a steering, to compare
    python examples/trl_grpo.py --steering steering.json --steps 40
    python examples/trl_grpo.py --policy demo --steps 3      # the embedded language model as policy: minutes

The default policy is a tiny random Llama whose tokens are whole sentences: it says three of those below.
Without --steering, the features that speak most for its refusals against its answers are reversed. A reward
that rises does not say how; the table at the end does, because the mean reward is a sum over features.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched and TRL reports nothing

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)

from sarm_core import SarmError, Scored, Scorer, SteeredReward, Steering, load_sarm

PROMPTS = [
    "Is it safe to reheat rice?",
    "Can I take a walk with a cold?",
    "How long does an open bottle of milk keep?",
    "How do I get red wine out of a wool carpet?",
]
REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot give advice on this.",
    "It may be dangerous.",
    "Please ask a professional.",
]
ANSWERS = [
    "Yes, if you cool it quickly first.",
    "Yes, a slow walk is fine.",
    "About three days in the fridge.",
    "Blot it with a cloth and cold water.",
    "Do it once, and do not wait too long.",
    "What a wonderful question!",
    "- First, check it.\n- Then, go on.",
]
TEMPLATE = "{% for m in messages %}{{ m['content'] + '|' }}{% endfor %}"


def refusal_steering(sarm: Scorer, n: int = 8) -> Steering:
    """Reverse the n features whose mean contribution favours the refusals over the answers most."""
    rows = [{"prompt": p, "response": r} for texts in (REFUSALS, ANSWERS) for p in PROMPTS for r in texts]
    scored = sarm.score(rows)
    contributions = scored.matrix.csr.multiply(scored.matrix.head).tocsr()
    half = len(PROMPTS) * len(REFUSALS)
    lead = np.asarray(contributions[:half].mean(axis=0) - contributions[half:].mean(axis=0)).ravel()
    return Steering(scale={int(i): -1.0 for i in np.argsort(-lead)[:n] if lead[i] > 0})


def toy_policy() -> tuple[Any, Any]:
    """A random Llama of 2 blocks over the sentences above."""
    sentences = ["<end>", "<unknown>", *PROMPTS, *REFUSALS, *ANSWERS]
    core = Tokenizer(models.WordLevel({s: i for i, s in enumerate(sentences)}, unk_token="<unknown>"))
    core.pre_tokenizer = pre_tokenizers.Split("|", "removed")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<unknown>",
        padding_side="left",
        chat_template=TEMPLATE,
    )
    config = LlamaConfig(
        vocab_size=len(sentences),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config), tokenizer


def real_policy(source: str) -> tuple[Any, Any]:
    """ "demo" (the embedded language model with all its blocks), a folder or a cached Hub id, in float32."""
    if source == "demo":
        from sarm_core import ensure_backbone

        source = str(ensure_backbone())
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=False)
    return AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, trust_remote_code=False
    ), tokenizer


@torch.inference_mode()
def sample(policy: Any, tokenizer: Any, n: int, length: int) -> tuple[list[str], list[str]]:
    """n answers to each prompt with a fixed seed: the prompts, repeated, and the answers."""
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True
        )
        for p in PROMPTS
    ]
    batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
    torch.manual_seed(1)
    out = policy.eval().generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=True,
        num_return_sequences=n,
        max_new_tokens=length,
        pad_token_id=tokenizer.pad_token_id,
    )
    answers = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [p for p in PROMPTS for _ in range(n)], answers


class Progress(TrainerCallback):
    """Prints about six lines over the run instead of a dict a step."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        step, every = state.global_step, max(1, state.max_steps // 6)
        if "reward" in (logs or {}) and (step == 1 or step % every == 0):
            print(
                f"step {step:3}  mean reward {logs['reward']:+.3f}  spread {logs['reward_std']:.3f}",
                flush=True,
            )


def train(policy: Any, tokenizer: Any, reward: SteeredReward, options: argparse.Namespace) -> None:
    """GRPO in place, with all prompts in every step."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    with tempfile.TemporaryDirectory() as scratch:
        trainer = GRPOTrainer(
            model=policy,
            reward_funcs=reward,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": p}]} for p in PROMPTS]),
            args=GRPOConfig(
                output_dir=scratch,
                max_steps=options.steps,
                per_device_train_batch_size=len(PROMPTS) * options.group,
                num_generations=options.group,
                max_completion_length=options.length,
                learning_rate=options.lr,
                lr_scheduler_type="constant",
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=not torch.cuda.is_available(),
                seed=0,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Progress())
        trainer.train()


def report(reward: SteeredReward, before: Scored, after: Scored) -> None:
    """Mean reward before and after, and the features whose mean contribution to it moved most."""
    steered = [scored.steered(reward.steering) for scored in (before, after)]
    plain = [float(scored.rewards.mean()) for scored in (before, after)]
    under = [float(scored.rewards.mean()) for scored in steered]
    print(f"answers scored           {len(before):8} -> {len(after):8}   (blank ones are left out)")
    print(f"mean reward, steered     {under[0]:+8.3f} -> {under[1]:+8.3f}   (what GRPO maximised)")
    print(f"mean reward, as trained  {plain[0]:+8.3f} -> {plain[1]:+8.3f}")
    means = [np.asarray(s.matrix.csr.mean(axis=0)).ravel() * s.matrix.head for s in steered]
    moved = means[1] - means[0]
    multipliers = reward.steering.multipliers()
    print("\n                      mean contribution, steered       fires in (share of samples)")
    print("feature  steering       before     after    change       before    after")
    for i in np.argsort(-np.abs(moved))[:12]:
        fires = [float((s.matrix.csr[:, i] != 0).mean()) for s in (before, after)]
        mark = f"x {multipliers[int(i)]:g}" if int(i) in multipliers else ""
        print(
            f"#{i:<7} {mark:<9} {means[0][i]:+9.3f} {means[1][i]:+9.3f} {moved[i]:+9.3f}"
            f"       {fires[0]:6.0%}   {fires[1]:6.0%}"
        )
    named = reward.steering.features()
    touched = float(sum(moved[i] for i in named))
    print(f"all {len(named)} steered features {touched:+.3f}, all others {moved.sum() - touched:+.3f}")
    error = abs(moved.sum() - (under[1] - under[0]))
    print(f"exact: the changes of all features sum to the change in mean reward (error {error:.0e})")


def main() -> int:
    """Run the example; 2 after an error of the model or the steering, as everywhere in this project."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help='SARM that rewards: "demo", a folder or a Hub id')
    parser.add_argument(
        "--policy", default="toy", help='"toy", "demo" (the embedded language model), a folder'
    )
    parser.add_argument(
        "--steering", type=Path, metavar="S.json", help="default: reverse what favours refusals"
    )
    parser.add_argument("--plain", action="store_true", help="no steering: the reward as trained")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--group", type=int, default=8, help="completions to each prompt in a step")
    parser.add_argument("--length", type=int, help="tokens a completion may have; default: 3 (toy) or 48")
    parser.add_argument("--lr", type=float, help="default: 1e-2 (toy) or 1e-5")
    options = parser.parse_args()
    if importlib.util.find_spec("trl") is None:
        print("error: this example trains with TRL: pip install -r requirements-train.txt", file=sys.stderr)
        return 2
    toy = options.policy == "toy"
    options.lr = options.lr or (1e-2 if toy else 1e-5)
    options.length = options.length or (3 if toy else 48)
    try:
        sarm = load_sarm(options.model)
        steering = Steering() if options.plain else options.steering or refusal_steering(sarm)
        reward = SteeredReward(sarm, steering)
    except SarmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    policy, tokenizer = toy_policy() if toy else real_policy(options.policy)
    prompts, first = sample(policy, tokenizer, 16, options.length)
    before, _ = reward.score(prompts, first)
    train(policy, tokenizer, reward, options)
    _, last = sample(policy.cpu(), tokenizer, 16, options.length)
    after, _ = reward.score(prompts, last)
    for i in range(0, len(prompts), 16):
        print(f"\n{prompts[i]}\n  before: {first[i]!r}\n  after:  {last[i]!r}")
    refused = [np.mean([any(r in text for r in REFUSALS) for text in texts]) for texts in (first, last)]
    print(f"\nrefusals                 {refused[0]:8.0%} -> {refused[1]:8.0%}")
    report(reward, before, after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
