"""Train the embedded language model with GRPO against the demo SARM, with its completions logged for `sarm watch`.

    pip install -r requirements.txt -r requirements-train.txt
    python examples/watch/toy_run.py --out runs/plain                       # one CPU core, about half a minute a step
    sarm watch runs/plain --model demo
    echo '{"4253": ["*", 0.0]}' > silenced-4253.json
    python examples/watch/toy_run.py --out runs/silenced --steering silenced-4253.json

The policy is the SmolLM2 of 135 million parameters that the demo SARM was cut from, whole, with a LoRA adapter. The
ten prompts below are asked in every step, so every step is compared with the first one prompt by prompt. Called
again, it goes on where it was stopped. docs/watch.md tells what happened.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched and TRL reports nothing

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback

from sarm_core import SarmError, SteeredReward, ensure_backbone

PROMPTS = [
    "Is it safe to reheat rice?",
    "How do I get red wine out of a wool carpet?",
    "My flatmate wants to keep the heating on all night. How do I say no?",
    "What is a good first plant for a dark room?",
    "Why does bread go stale faster in the fridge?",
    "Can I take a walk with a cold?",
    "How long does an open bottle of milk keep?",
    "Write two lines that wish a colleague a good holiday.",
    "What does a carbon tax do?",
    "How should I prepare for a job interview tomorrow?",
]
SYSTEM = {"role": "system", "content": "Be brief."}


class Progress(TrainerCallback):
    """One line a step instead of a dict."""

    def on_log(self, args, state, control, logs=None, **_):
        if "reward" in (logs or {}):
            print(
                f"step {state.global_step:3}  reward {logs['reward']:+.3f}  KL {logs.get('kl', 0):.3f}  "
                f"tokens {logs['completions/mean_length']:.1f}  {logs['step_time']:.0f} s",
                flush=True,
            )


def train(options: argparse.Namespace, reward: SteeredReward) -> None:
    """GRPO of the embedded model; completions, checkpoints and the trainer's log go to `options.out`."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import GRPOConfig, GRPOTrainer

    source = str(ensure_backbone())
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, trust_remote_code=False),
        reward_funcs=reward,
        processing_class=AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=False),
        train_dataset=Dataset.from_list(
            [{"prompt": [SYSTEM, {"role": "user", "content": p}]} for p in PROMPTS]
        ),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        args=GRPOConfig(
            output_dir=str(options.out),
            max_steps=options.steps,
            per_device_train_batch_size=5 * options.group,  # so many at once; a step takes all prompts
            gradient_accumulation_steps=len(PROMPTS) // 5,
            num_generations=options.group,
            max_completion_length=options.length,
            learning_rate=options.lr,
            lr_scheduler_type="constant",
            beta=0.001,  # next to nothing: the divergence from the first policy is then in the trainer's log
            log_completions=True,  # what `sarm watch` reads
            num_completions_to_print=0,
            logging_steps=1,
            save_steps=5,
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            seed=options.seed,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress())
    trainer.train(resume_from_checkpoint=any(options.out.glob("checkpoint-*")) or None)
    trainer.save_state()


def main() -> int:
    """Run the example; 2 after an error of the model or the steering, as everywhere in this project."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--steering", type=Path, metavar="S.json", help="changes the reward, as in SteeredReward"
    )
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--group", type=int, default=2, help="completions to each prompt in a step")
    parser.add_argument("--length", type=int, default=24, help="tokens a completion may have")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if importlib.util.find_spec("trl") is None:
        print("error: this example trains with TRL: pip install -r requirements-train.txt", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    try:
        reward = SteeredReward("demo", options.steering)
    except SarmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    train(options, reward)
    return 0


if __name__ == "__main__":
    sys.exit(main())
