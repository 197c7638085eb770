"""Runs in a package's own environment: writes its dictionaries, and beside each what its encode() says of h.

python write.py saelens|sparsify|dictionary-learning FOLDER

`expected.npz` holds h [n, d] and z [n, M]; a folder without it is one that is no SAE of the residual stream.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

D, M, K, MANY, N = 8, 24, 5, 16, 12  # MANY: more than are positive
HOOK = "blocks.3.hook_resid_post"


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Every floating-point parameter random, decoder columns of different length."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)


def inputs(seed: int) -> Tensor:
    """h with a mean, and lengths that differ."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(N, D, generator=generator) * (1 + torch.rand(N, 1, generator=generator) * 3) + 0.5


def expect(folder: Path, encode: Callable[[Tensor], Tensor], seed: int, package: str) -> None:
    """What the package says of h."""
    h = inputs(seed)
    with torch.no_grad():
        z = encode(h)
    z = z.to_dense() if z.is_sparse else z
    assert z.shape == (N, M) and (z != 0).any() and (z == 0).any(), folder
    version = f"{package} {importlib.metadata.version(package)}"
    np.savez_compressed(folder / "expected.npz", h=h.numpy(), z=z.numpy().astype(np.float32), by=version)


# -- SAELens, and the collections that it reads ----------------------------------------------------------


def saelens(out: Path) -> None:
    """Inference and training folders of each architecture, and what is no SAE of the stream."""
    import sae_lens
    from sae_lens import SAE
    from sae_lens.saes.sae import SAEMetadata

    shared: dict[str, Any] = {"d_in": D, "d_sae": M, "device": "cpu", "dtype": "float32"}

    def about() -> Any:
        return SAEMetadata(hook_name=HOOK, model_name="tiny")

    def folder(name: str) -> Path:
        return fresh(out / "saelens" / name)

    def check(place: Path, seed: int) -> None:
        loaded = SAE.load_from_disk(str(place))
        expect(place, loaded.encode, seed, "sae-lens")

    seed = 0
    trained: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "topk": (sae_lens.TopKTrainingSAE, sae_lens.TopKTrainingSAEConfig, {"k": K}),
        "topk_not_rescaled": (
            sae_lens.TopKTrainingSAE,
            sae_lens.TopKTrainingSAEConfig,
            {"k": MANY, "rescale_acts_by_decoder_norm": False, "apply_b_dec_to_input": False},
        ),
        "batchtopk": (sae_lens.BatchTopKTrainingSAE, sae_lens.BatchTopKTrainingSAEConfig, {"k": K}),
        "standard": (sae_lens.StandardTrainingSAE, sae_lens.StandardTrainingSAEConfig, {}),
        "standard_layer_norm": (
            sae_lens.StandardTrainingSAE,
            sae_lens.StandardTrainingSAEConfig,
            {"normalize_activations": "layer_norm"},
        ),
        "jumprelu": (sae_lens.JumpReLUTrainingSAE, sae_lens.JumpReLUTrainingSAEConfig, {}),
        "gated": (sae_lens.GatedTrainingSAE, sae_lens.GatedTrainingSAEConfig, {}),
        "topk_constant_norm": (
            sae_lens.TopKTrainingSAE,
            sae_lens.TopKTrainingSAEConfig,
            {"k": K, "normalize_activations": "constant_norm_rescale"},
        ),
        "abstopk": (sae_lens.AbsTopKTrainingSAE, sae_lens.AbsTopKTrainingSAEConfig, {"k": K}),
    }
    for name, (kind, config, settings) in trained.items():
        seed += 1
        sae = kind(config(**shared, **settings, metadata=about()))
        randomise(sae, seed)
        if name == "batchtopk":
            sae.topk_threshold.fill_(0.6)
        if name == "batchtopk":  # its features depend on the batch
            sae.save_model(str(fresh(out / "refused" / "saelens_batchtopk_training")))
        else:
            sae.save_model(str(place := folder(f"{name}_training")))
            check(place, seed)
        sae.save_inference_model(str(place := folder(f"{name}_inference")))
        check(place, seed)
    for name, kind, config, settings in (
        (
            "transcoder",
            sae_lens.Transcoder,
            sae_lens.TranscoderConfig,
            {"d_out": D, "apply_b_dec_to_input": False},
        ),
    ):
        seed += 1
        sae = kind(config(**shared, **settings, metadata=about()))
        randomise(sae, seed)
        sae.save_model(str(fresh(out / "refused" / f"saelens_{name}")))
    collections(out)


def collections(out: Path) -> None:
    """Files in the formats of Qwen-Scope, Gemma Scope and Llama Scope, read by SAELens' own loaders."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from safetensors.torch import save_file

    def weights(seed: int, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}

    def read(loader: Any, repo_id: str, folder_name: str, place: Path) -> Any:
        def local(repo_id: str, filename: str, subfolder: str | None = None, **_rest: Any) -> str:
            inside = Path(subfolder or "") / filename
            return str(
                place / inside.relative_to(folder_name) if inside != Path(folder_name) else place / inside
            )

        loaders.hf_hub_download = local
        sizes = {"d_in": D, "d_sae": M, "dtype": "float32"}

        def converter(_path: Any, device: str, cfg_overrides: Any) -> Any:
            return loader(repo_id, folder_name, device, False, sizes)[:2]

        return SAE.load_from_disk("", converter=converter)

    repo = "SAE-Res-Qwen3-1.7B-Base-W32K-L0_14"
    place = fresh(out / "qwen-scope" / repo)
    made = weights(50, W_enc=(M, D), W_dec=(D, M), b_enc=(M,), b_dec=(D,))
    torch.save(made, place / "layer3.sae.pt")
    sae = read(loaders.qwen_scope_sae_huggingface_loader, f"Qwen/{repo}", "layer3.sae.pt", place)
    expect(place, sae.encode, 50, "sae-lens")

    inside = "layer_3/width_16k/average_l0_7"
    place = fresh(out / "gemma-scope" / "gemma-scope-2b-pt-res" / inside)
    made = weights(51, W_enc=(D, M), W_dec=(M, D), b_enc=(M,), b_dec=(D,), threshold=(M,))
    made["threshold"] = made["threshold"].abs() * 4
    np.savez(place / "params.npz", **{name: tensor.numpy() for name, tensor in made.items()})
    sae = read(loaders.gemma_2_sae_huggingface_loader, "google/gemma-scope-2b-pt-res", inside, place)
    expect(place, sae.encode, 51, "sae-lens")

    inside = "Llama3_1-8B-Base-L3R-8x"
    place = fresh(out / "llama-scope" / inside)
    (place / "checkpoints").mkdir()
    made = weights(
        52, **{"encoder.weight": (M, D), "encoder.bias": (M,), "decoder.weight": (D, M), "decoder.bias": (D,)}
    )
    made["decoder.weight"] /= made["decoder.weight"].norm(dim=0)  # SAELens' loader leaves the norms out
    save_file(made, place / "checkpoints" / "final.safetensors")
    norm = 7.0
    stated = {
        "hook_point_in": HOOK,
        "hook_point_out": HOOK,
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        "d_model": D,
        "d_sae": M,
        "act_fn": "jumprelu",
        "jump_relu_threshold": 1.1,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "decoder_exactly_fixed_norm": False,
        "sparsity_include_decoder_norm": True,
        "use_glu_encoder": False,
        "top_k": K,
    }
    (place / "hyperparams.json").write_text(json.dumps(stated, indent=1))
    sae = read(loaders.llama_scope_sae_huggingface_loader, "fnlp/Llama3_1-8B-Base-LXR-8x", inside, place)
    sae.fold_activation_norm_scaling_factor(math.sqrt(D) / norm)  # from_pretrained does, by SAELens' own list
    expect(place, sae.encode, 52, "sae-lens")


# -- sparsify --------------------------------------------------------------------------------------------


def sparsify(out: Path) -> None:
    """One folder a module, as `save_to_disk` writes it."""
    from sparsify import SparseCoder, SparseCoderConfig

    cases: dict[str, dict[str, Any]] = {
        "sparsify/layers.3": {},
        "refused/sparsify_groupmax/layers.3": {"activation": "groupmax", "k": 6},
        "refused/sparsify_transcode/layers.3.mlp": {"transcode": True},
        "refused/sparsify_skip/layers.3": {"skip_connection": True},
        "refused/sparsify_mlp/layers.3.mlp": {},
    }
    for seed, (name, settings) in enumerate(cases.items(), 60):
        config = SparseCoderConfig(**{"expansion_factor": M // D, "k": MANY, **settings})
        coder = SparseCoder(D, config, device="cpu", dtype=torch.float32)
        randomise(coder, seed)
        coder.save_to_disk(place := fresh(out / name))
        if name.startswith("sparsify"):
            coder = SparseCoder.load_from_disk(place)

            def encode(h: Tensor, coder: Any = coder) -> Tensor:
                found = coder.encode(h)
                return torch.zeros(len(h), M).scatter(1, found.top_indices, found.top_acts)

            expect(place, encode, seed, "eai-sparsify")


# -- dictionary-learning ---------------------------------------------------------------------------------


def dictionary_learning(out: Path) -> None:
    """`ae.pt` and `config.json` as the trainers leave them, read by the package's own `load_dictionary`."""
    from dictionary_learning import trainers as theirs
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.utils import load_dictionary

    shared: dict[str, Any] = {
        "steps": 10_000,
        "activation_dim": D,
        "dict_size": M,
        "layer": 3,
        "lm_name": "tiny",
    }
    shared |= {"device": "cpu", "submodule_name": "resid_post_layer_3", "warmup_steps": 1}
    cases: dict[str, tuple[Any, dict[str, Any], float | None]] = {
        "standard": (theirs.StandardTrainer, {}, None),
        "gated": (theirs.GatedSAETrainer, {}, None),
        "jumprelu": (theirs.JumpReluTrainer, {}, None),
        "topk": (theirs.TopKTrainer, {"k": K}, 0.5),
        "topk_many": (theirs.TopKTrainer, {"k": MANY}, None),
        "batchtopk": (theirs.BatchTopKTrainer, {"k": K}, 0.7),
        "batchtopk_untouched": (theirs.BatchTopKTrainer, {"k": K}, None),
        "matryoshka": (MatryoshkaBatchTopKTrainer, {"k": K, "group_fractions": [0.25, 0.75]}, 0.7),
    }
    for seed, (name, (trainer, settings, threshold)) in enumerate(cases.items(), 80):
        trained = trainer(**shared, **settings)
        randomise(trained.ae, seed)
        if threshold is not None:
            trained.ae.threshold.fill_(threshold)
        place = fresh(out / "dictionary-learning" / name)
        torch.save({key: value.cpu() for key, value in trained.ae.state_dict().items()}, place / "ae.pt")
        stated = {"trainer": trained.config, "buffer": {"ctx_len": 128}}
        (place / "config.json").write_text(json.dumps(stated, indent=1))
        loaded, _ = load_dictionary(str(place), "cpu")
        expect(place, loaded.encode, seed, "dictionary-learning")


def fresh(folder: Path) -> Path:
    """A new, empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    {"saelens": saelens, "sparsify": sparsify, "dictionary-learning": dictionary_learning}[sys.argv[1]](
        Path(sys.argv[2])
    )
