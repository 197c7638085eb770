"""Runs in another environment, without this project: rewards of a folder by one loader, as JSON on the last line.

Reads {"how", "folder", "conversations"} from standard input. "paper" is a class of the paper's kind on the
Transformers that is installed: the first L blocks of the family's own model, no final norm, one conversation at a time,
the token before the first pad, or the last one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    asked = json.load(sys.stdin)
    folder, conversations = Path(asked["folder"]), asked["conversations"]
    found = globals()[f"by_{asked['how']}"](folder, conversations)
    print(json.dumps(found if isinstance(found, dict) else {"rewards": found}))


def by_paper(folder: Path, conversations: list[Any]) -> list[float]:
    import torch
    from torch import nn
    from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

    class Dictionary(nn.Module):
        def __init__(self, d: int, n: int):
            super().__init__()
            self.pre_bias = nn.Parameter(torch.zeros(d))
            self.latent_bias = nn.Parameter(torch.zeros(n))
            self.encoder = nn.Linear(d, n, bias=False)
            self.decoder = nn.Linear(n, d, bias=False)

    config = AutoConfig.from_pretrained(folder)
    stated = json.loads((folder / "config.json").read_text())["sarm_param"]

    class Paper(PreTrainedModel):
        config_class = type(config)
        base_model_prefix = "model"
        _supports_sdpa = True

        def __init__(self, config: Any):
            super().__init__(config)
            config.num_hidden_layers = stated["sae_source_layer"]
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[: config.num_hidden_layers]
            # Version 4's sdpa leaves out Gemma 2's soft cap.
            self.model = AutoModel.from_config(config, attn_implementation="eager")
            self.sae = Dictionary(config.hidden_size, stated["sae_latent_size"])
            self.score = nn.Linear(stated["sae_latent_size"], config.num_labels, bias=False)

        def _init_weights(self, module: nn.Module) -> None:
            pass

    model, report = Paper.from_pretrained(folder, config=config, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"], (
        report
    )
    model = model.float().eval()
    kept: list[Any] = []
    model.model.layers[-1].register_forward_hook(
        lambda _m, _i, out: kept.append(out[0] if isinstance(out, tuple) else out)
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rewards = []
    for turns in conversations:
        ids = tokenizer.apply_chat_template(turns, truncation=True, return_dict=True)["input_ids"]
        with torch.inference_mode():
            model.model(input_ids=torch.tensor([ids]))
            h = kept.pop().reshape(len(ids), -1)
            pad = config.pad_token_id
            place = ids.index(pad) - 1 if pad is not None and pad in ids else -1
            x = (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-6)
            a = model.sae.encoder(x - model.sae.pre_bias) + model.sae.latent_bias
            if stated["sarm_use_activation"]:
                values, places = a.topk(stated["sae_k"], dim=-1)
                a = torch.zeros_like(a).scatter(-1, places, values)
            rewards.append(model.score(a)[place].item())
    return rewards


def register(folder: Path) -> None:
    """The class in the folder, where it has one."""
    if (folder / "modeling_sarm.py").exists():
        spec = importlib.util.spec_from_file_location("modeling_sarm", folder / "modeling_sarm.py")
        assert spec is not None and spec.loader is not None
        sys.modules["modeling_sarm"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["modeling_sarm"])


def _auto(folder: Path) -> tuple[Any, Any]:
    register(folder)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).float().eval()
    return model, AutoTokenizer.from_pretrained(folder)


def by_auto(folder: Path, conversations: list[Any]) -> list[float]:
    return _rewards(*_auto(folder), conversations)


def _rewards(model: Any, tokenizer: Any, conversations: list[Any]) -> list[float]:
    import torch

    texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in conversations]
    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
    with torch.inference_mode():
        return [float(r) for r in model(**batch).logits[:, 0]]


def by_trusting(folder: Path, conversations: list[Any]) -> list[float]:
    """Transformers runs the file in the folder, as it was told it may."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).float().eval()
    return _rewards(model, AutoTokenizer.from_pretrained(folder, trust_remote_code=True), conversations)


def by_autocast(folder: Path, conversations: list[Any]) -> dict[str, Any]:
    """The blocks run in bfloat16 there; dictionary and head, which are ours, in float32."""
    import torch

    model, tokenizer = _auto(folder)
    seen: list[Any] = []
    model.sae.encoder.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    rewards = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for turns in conversations:
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            rewards.append(float(model(**tokenizer([text], return_tensors="pt")).logits))
    assert set(seen) == {torch.float32}, seen
    return {"rewards": rewards}


def by_grpo(folder: Path, conversations: list[Any]) -> list[float]:
    register(folder)
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    policy = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    rows = [{"prompt": turns[:1]} for turns in conversations]
    with tempfile.TemporaryDirectory() as out:
        trainer = GRPOTrainer(
            policy,
            reward_funcs=str(folder),
            args=GRPOConfig(
                out,
                use_cpu=True,
                bf16=False,
                report_to="none",
                num_generations=2,
                per_device_train_batch_size=2,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        inputs = [dict(row) for row in rows]
        prompts = [turns[:1] for turns in conversations]
        completions = [turns[1:] for turns in conversations]
        found = trainer._calculate_rewards(inputs, prompts, completions, [[1]] * len(rows))
    return [float(r) for r in found[:, 0]]


def by_train(folder: Path, conversations: list[Any]) -> dict[str, Any]:
    register(folder)
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    pairs = [{"chosen": conversations[0], "rejected": conversations[1]}] * 8
    out = folder.with_name(f"{folder.name}-trained")
    trainer = RewardTrainer(
        str(folder),
        args=RewardConfig(
            str(out),
            use_cpu=True,
            report_to="none",
            num_train_epochs=1,
            learning_rate=1e-2,
            save_strategy="no",
        ),
        train_dataset=Dataset.from_list(pairs),
    )
    assert trainer.args.bf16, "RewardTrainer computes under bfloat16 autocast by default"
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    moved = {
        name.split(".")[0] for name in before if not before[name].equal(after[name].to(before[name].device))
    }
    assert moved == {"model", "score"}, moved
    trainer.save_model(str(out))
    import torch

    # Without the autocast that the trainer wraps around it.
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    tokenizer = trainer.processing_class
    rewards = []
    with torch.inference_mode():
        for turns in conversations:
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            rewards.append(float(model(**tokenizer([text], return_tensors="pt")).logits))
    return {"rewards": rewards, "trained": str(out)}


def by_lens(folder: Path, conversations: list[Any]) -> list[float]:
    register(folder)
    return by_lens_alone(folder, conversations)


def by_lens_alone(folder: Path, conversations: list[Any]) -> list[float]:
    """As reward-lens comes: it runs the file in the folder."""
    from reward_lens.model import RewardModel

    lens = RewardModel.from_pretrained(str(folder))
    return [lens.score(turns[0]["content"], turns[1]["content"]) for turns in conversations]


if __name__ == "__main__":
    main()
