"""Tiny random decoders, checkpoints and tokenizers, built on disk the way the real ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import AutoModel, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sarm_core.model.checkpoint import Shape
from sarm_core.model.sae import SAE, Dense, SAEKind, TopK
from sarm_core.ship.export import sae_tensors, write_own

BLOCKS = 4
WIDTH = 16
VOCABULARY = 300
WINDOW = 8  # shorter than every text in the tests that care
KINDS = ("llama", "gemma2", "qwen3", "mistral", "gpt2")
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
"""A RoPE that is not the default: base and scaling."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma2": {"sliding_window": WINDOW, "query_pre_attn_scalar": 8},
    "qwen3": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "mistral": {"sliding_window": WINDOW},
    "gpt2": {},
}


def backbone(kind: str, *, blocks: int = BLOCKS, vocabulary: int = VOCABULARY, seed: int = 0) -> Any:
    """A random decoder of `kind` in float32, weights large enough that every block changes h."""
    if kind == "gpt2":
        config = CONFIG_MAPPING[kind](
            vocab_size=vocabulary, n_embd=WIDTH, n_layer=blocks, n_head=2, n_positions=512
        )
    else:
        config = CONFIG_MAPPING[kind](
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=40,
            num_hidden_layers=blocks,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=512,
            **_SETTINGS[kind],
        )
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 0, 1, 1
    torch.manual_seed(seed)
    model = AutoModel.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def random_sae(n_features: int, k: int | SAEKind | None, *, seed: int = 0) -> SAE:
    """An SAE with every tensor random, biases included; TopK with `k`, dense without, or the kind that is given."""
    generator = torch.Generator().manual_seed(seed)
    kind = k if isinstance(k, SAEKind) else Dense() if k is None else TopK(k)
    sae = SAE(WIDTH, n_features, kind)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return sae


def reference_checkpoint(
    folder: Path,
    kind: str = "llama",
    *,
    layer: int = 2,
    n_features: int = 64,
    k: int | None = 6,
    model: Any = None,
    tokenizer: Any = None,
    stated: bool = True,
    seed: int = 0,
) -> Path:
    """A checkpoint in the reference layout: one safetensors file, shape in `config.sarm_param`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model if model is not None else backbone(kind, seed=seed)
    prefix = "transformer." if kind == "gpt2" else "model."
    tensors = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    sae = random_sae(n_features, k, seed=seed)
    tensors |= {f"sae.{name}": tensor for name, tensor in sae.state_dict().items()}
    head = torch.randn(1, n_features, generator=torch.Generator().manual_seed(seed + 1))
    tensors["score.weight"] = head
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    config = model.config.to_dict()
    config["architectures"] = ["LlamaSARM"]
    if stated:
        config["sarm_param"] = {
            "sae_latent_size": n_features,
            "sae_k": k or 6,
            "sae_source_layer": layer,
            "sae_use_sequence_level": True,
            "sarm_use_activation": k is not None,
        }
    (folder / "config.json").write_text(json.dumps(config))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def own_checkpoint(
    folder: Path,
    kind: SAEKind,
    *,
    layer: int = 2,
    n_features: int = 64,
    tokenizer: Any = None,
    rule: str = "last-token",
    seed: int = 0,
) -> Path:
    """A checkpoint in the own layout with a random SAE of `kind` over a tiny Llama."""
    model = backbone("llama", vocabulary=len(tokenizer) if tokenizer is not None else VOCABULARY, seed=seed)
    model.save_pretrained(folder / "backbone")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder / "backbone")
    head = torch.randn(n_features, generator=torch.Generator().manual_seed(seed + 1))
    write_own(
        folder,
        shape=Shape(layer, n_features, kind),
        tensors=sae_tensors(random_sae(n_features, kind, seed=seed)),
        head=head.numpy(),
        backbone="backbone",
        rule=rule,
    )
    return folder


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %}{{ ' ' + m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

_CORPUS = [
    "Is it safe to mix them? Yes, if the room is aired. No! Never do that...",
    "user assistant system model: The quick brown fox jumps over the lazy dog.\n\nThank you.",
]


def byte_tokenizer(
    template: str,
    specials: list[str],
    *,
    bos: str | None = None,
    eos: str | None = None,
    adds_bos: bool = False,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (GPT-2, Llama 3, ChatML style) with at most 300 tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_CORPUS, trainer)
    if adds_bos and bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos,
        eos_token=eos,
        pad_token=eos,
        chat_template=template,
        extra_special_tokens=[s for s in specials if s not in (bos, eos)],
    )


def piece_tokenizer(
    template: str, specials: list[str], *, bos: str, eos: str, adds_bos: bool = True
) -> PreTrainedTokenizerFast:
    """A SentencePiece-style BPE tokenizer (Gemma, Mistral v1): spaces as U+2581, unknown characters as bytes."""
    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.normalizer = normalizers.Replace(" ", "\u2581")
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", *specials, *every_byte], show_progress=False
    )
    core.train_from_iterator(_CORPUS, trainer)
    core.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<unk>", *specials)])
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos,
        eos_token=eos,
        pad_token=eos,
        unk_token="<unk>",
        chat_template=template,
        extra_special_tokens=[s for s in specials if s not in (bos, eos)],
    )


def chatml() -> PreTrainedTokenizerFast:
    """ChatML with pad == eos == <|im_end|>."""
    return byte_tokenizer(CHATML, ["<|im_start|>", "<|im_end|>"], eos="<|im_end|>")


def llama3() -> PreTrainedTokenizerFast:
    """Llama 3: the template writes the BOS and the tokenizer would add a second one."""
    names = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    return byte_tokenizer(LLAMA3, names, bos=names[0], eos=names[3], adds_bos=True)


def gemma() -> PreTrainedTokenizerFast:
    """Gemma: the template writes the BOS, the tokenizer adds one, the end of turn is not the EOS."""
    return piece_tokenizer(
        GEMMA, ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], bos="<bos>", eos="<eos>"
    )


def mistral() -> PreTrainedTokenizerFast:
    """Mistral-like: the template writes no BOS, the tokenizer must add it."""
    return piece_tokenizer(MISTRAL, ["<s>", "</s>"], bos="<s>", eos="</s>")


def text_checkpoint(folder: Path, **options) -> Path:
    """A tiny Llama checkpoint in the reference layout that reads text; `options` as for `reference_checkpoint`."""
    tokenizer = chatml()
    return reference_checkpoint(
        folder, model=backbone("llama", vocabulary=len(tokenizer)), tokenizer=tokenizer, **options
    )
