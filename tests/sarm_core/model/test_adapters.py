"""An adapter beside the weights gives the rewards and the fingerprint of the model that PEFT merges itself."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

from sarm_core import Steering, load_sarm
from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.model.inspection import inspect_path
from sarm_core.model.sae import TopK
from sarm_core.ship import modeling_sarm  # noqa: F401  registers the model type
from sarm_core.ship.auto import export_auto
from sarm_core.ship.check import export_layout
from sarm_core.ship.layouts import LAYOUTS
from tests.sarm_core.tiny_models import backbone, own_checkpoint, reference_checkpoint

ROWS = [{"input_ids": [3, 5, 8, 13, 21, 34]}, {"input_ids": [2, 7, 1]}]
SETTINGS = {
    "lora": {"lora_alpha": 8},
    "ranks": {
        "lora_alpha": 8,
        "use_rslora": True,
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"down_proj": 3},
    },
    "dora": {"lora_alpha": 8, "use_dora": True},
    "pissa": {"lora_alpha": 8, "init_lora_weights": "pissa"},
}
pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="PEFT is not installed"),
]


def adapted(model, targets=("q_proj", "down_proj"), **settings):
    """`model` with a LoRA whose matrices are all random."""
    from peft import LoraConfig, get_peft_model

    made = get_peft_model(model, LoraConfig(r=4, target_modules=list(targets), **settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return made


def beside(folder, made, tmp_path):
    """The adapter's two files laid into `folder`."""
    made.save_pretrained(tmp_path / "adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(tmp_path / "adapter" / name, folder / name)


@pytest.mark.parametrize("kind", SETTINGS)
def test_what_is_read_is_what_peft_merges(kind, tmp_path):
    folder = reference_checkpoint(tmp_path / "base")
    before = load_sarm(folder, dtype="float32")
    plain, mark = before.score(ROWS).rewards, before.fingerprint
    made = adapted(backbone("llama"), **SETTINGS[kind])
    beside(folder, made, tmp_path)
    whole = reference_checkpoint(tmp_path / "merged", model=made.merge_and_unload())
    wanted, found = load_sarm(whole, dtype="float32"), load_sarm(folder, dtype="float32")
    np.testing.assert_array_equal(found.score(ROWS).rewards, wanted.score(ROWS).rewards)
    assert not np.allclose(plain, wanted.score(ROWS).rewards, atol=1e-3)
    assert found.fingerprint == wanted.fingerprint != mark
    for layout in LAYOUTS:
        exported = export_layout(open_checkpoint(folder), Steering(), tmp_path / layout, layout)
        assert not list(exported.rglob("adapter_*"))
        again = load_sarm(exported, dtype="float32").score(ROWS).rewards
        np.testing.assert_allclose(again, wanted.score(ROWS).rewards, atol=1e-5)


def test_a_head_that_was_trained_beside_it_is_the_head(tmp_path):
    folder = export_auto(
        open_checkpoint(reference_checkpoint(tmp_path / "base")), Steering(), tmp_path / "auto"
    )
    plain = load_sarm(folder, dtype="float32").score(ROWS).rewards
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    made = adapted(model, modules_to_save=["score"])
    beside(folder, made, tmp_path)
    merged = made.merge_and_unload().eval()
    with torch.inference_mode():
        wanted = [merged(input_ids=torch.tensor([row["input_ids"]])).logits.item() for row in ROWS]
    found = load_sarm(folder, dtype="float32").score(ROWS).rewards
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.allclose(plain, found, atol=1e-3)


def test_rows_that_an_adapter_adds_to_the_embedding_and_a_low_rank_on_it_are_read(tmp_path):
    folder = reference_checkpoint(tmp_path / "base")
    model = backbone("llama")
    model.resize_token_embeddings(model.config.vocab_size + 8)
    made = adapted(model, ["embed_tokens", "q_proj"], lora_alpha=8)
    beside(folder, made, tmp_path)
    stored = load_file(folder / "adapter_model.safetensors")
    assert {"lora_embedding_A", "base_layer.weight"} <= {
        name.split("embed_tokens.")[1] for name in stored if "embed_tokens" in name
    }
    whole = reference_checkpoint(tmp_path / "merged", model=made.merge_and_unload())
    rows = [*ROWS, {"input_ids": [3, 5, model.config.vocab_size - 1]}]
    wanted, found = load_sarm(whole, dtype="float32"), load_sarm(folder, dtype="float32")
    np.testing.assert_array_equal(found.score(rows).rewards, wanted.score(rows).rewards)
    assert found.fingerprint == wanted.fingerprint
    exported = export_layout(open_checkpoint(folder), Steering(), tmp_path / "reference", "reference")
    again = load_sarm(exported, dtype="float32")
    np.testing.assert_array_equal(again.score(rows).rewards, wanted.score(rows).rewards)
    assert json.loads((exported / "config.json").read_text())["vocab_size"] == model.config.vocab_size


@pytest.mark.parametrize("targets", [["attn.c_proj"], ["c_attn", "mlp.c_proj"]], ids=["square", "oblong"])
@pytest.mark.parametrize("stated", [True, False])
def test_weights_that_gpt2_holds_transposed_are_merged_so(targets, stated, tmp_path):
    folder = reference_checkpoint(tmp_path / "base", "gpt2")
    plain = load_sarm(folder, dtype="float32").score(ROWS).rewards
    made = adapted(backbone("gpt2"), targets, fan_in_fan_out=True, lora_alpha=8)
    beside(folder, made, tmp_path)
    place = folder / "adapter_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"fan_in_fan_out": stated}))
    whole = reference_checkpoint(tmp_path / "merged", "gpt2", model=made.merge_and_unload())
    wanted = load_sarm(whole, dtype="float32").score(ROWS).rewards
    np.testing.assert_array_equal(load_sarm(folder, dtype="float32").score(ROWS).rewards, wanted)
    assert not np.allclose(plain, wanted, atol=1e-3)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("layout", ["reference", "auto"])
def test_a_model_saved_in_its_wrapper_is_what_peft_merges(kind, layout, tmp_path):
    """As a trainer writes `model.state_dict()`: base layers, low ranks and a copy of the head under PEFT's names."""
    base = open_checkpoint(reference_checkpoint(tmp_path / "base"))
    folder = export_auto(base, Steering(), tmp_path / "auto")
    plain = load_sarm(folder, dtype="float32").score(ROWS).rewards
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    made = adapted(model, modules_to_save=["score"], **SETTINGS[kind])
    if layout == "reference":
        folder = base.folder
    made.save_pretrained(tmp_path / "adapter")
    shutil.copyfile(tmp_path / "adapter" / "adapter_config.json", folder / "adapter_config.json")
    state = {name: tensor.detach().clone() for name, tensor in made.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert {"base_layer", "original_module", "modules_to_save"} <= {p for n in state for p in n.split(".")}
    merged = made.merge_and_unload().eval()
    with torch.inference_mode():
        wanted = [merged(input_ids=torch.tensor([row["input_ids"]])).logits.item() for row in ROWS]
    found = load_sarm(folder, dtype="float32")
    np.testing.assert_allclose(found.score(ROWS).rewards, wanted, atol=1e-5)
    assert not np.allclose(plain, wanted, atol=1e-3)
    exported = export_layout(open_checkpoint(folder), Steering(), tmp_path / "own", "own")
    again = load_sarm(exported, dtype="float32")
    np.testing.assert_allclose(again.score(ROWS).rewards, wanted, atol=1e-5)
    assert again.fingerprint == found.fingerprint


def test_an_adapter_of_the_decoder_alone_is_merged_into_the_backbone_of_the_own_layout(tmp_path):
    folder, whole = (own_checkpoint(tmp_path / name, TopK(6)) for name in ("own", "merged"))
    made = adapted(AutoModel.from_pretrained(folder / "backbone", dtype=torch.float32), lora_alpha=8)
    beside(folder / "backbone", made, tmp_path)
    made.merge_and_unload().save_pretrained(whole / "backbone")
    plain, wanted, found = (
        load_sarm(each, dtype="float32")
        for each in (own_checkpoint(tmp_path / "plain", TopK(6)), whole, folder)
    )
    np.testing.assert_array_equal(found.score(ROWS).rewards, wanted.score(ROWS).rewards)
    assert found.fingerprint == wanted.fingerprint != plain.fingerprint


def test_low_ranks_among_plain_names_are_merged_once_their_config_says_the_scale(tmp_path):
    folder = reference_checkpoint(tmp_path / "tiny")
    file = folder / "model.safetensors"
    tensors, generator = load_file(file), torch.Generator().manual_seed(0)
    weight = "model.layers.1.self_attn.q_proj.weight"
    a, b = torch.randn(4, 16, generator=generator), torch.randn(16, 4, generator=generator)
    parts = {
        weight.replace("weight", f"lora_{letter}.default.weight"): matrix
        for letter, matrix in (("A", a), ("B", b))
    }
    whole = reference_checkpoint(tmp_path / "whole")
    save_file(
        {**tensors, weight: tensors[weight] + 8 / 4 * b @ a},
        whole / "model.safetensors",
        metadata={"format": "pt"},
    )
    save_file({**tensors, **parts}, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lora_A\.default.*put its adapter_config\.json beside them"):
        load_sarm(folder)
    assert "adapter_config.json" in inspect_path(folder).problem
    stated = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(stated))
    wanted, found = load_sarm(whole, dtype="float32"), load_sarm(folder, dtype="float32")
    np.testing.assert_allclose(found.score(ROWS).rewards, wanted.score(ROWS).rewards, atol=1e-5)
    assert inspect_path(folder).facts["adapter"] == "merged into the weights as they are read"
    other = {name.replace("default", "second"): tensor.clone() for name, tensor in parts.items()}
    save_file({**tensors, **parts, **other}, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"holds several adapters \(default, second\)"):
        load_sarm(folder)


def test_an_adapter_of_the_language_model_s_head_scores_nothing(tmp_path):
    folder = reference_checkpoint(tmp_path / "base")
    made = adapted(backbone("llama"), lora_alpha=8)
    beside(folder, made, tmp_path)
    wanted = load_sarm(folder, dtype="float32").score(ROWS).rewards
    file = folder / "adapter_model.safetensors"
    head = {f"base_model.model.lm_head.lora_{part}.weight": torch.ones(4, 4) for part in "AB"}
    save_file({**load_file(file), **head, "base_model.model.lm_head.weight": torch.ones(4, 4)}, file)
    np.testing.assert_array_equal(load_sarm(folder, dtype="float32").score(ROWS).rewards, wanted)


def test_what_belongs_nowhere_and_other_kinds_are_one_line(tmp_path):
    folder = reference_checkpoint(tmp_path / "base")
    beside(folder, adapted(backbone("llama"), lora_alpha=8), tmp_path)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "base_model.model.v_head.weight": torch.ones(1)}, file)
    with pytest.raises(CheckpointError, match=r"v_head\.weight belongs to no tensor"):
        load_sarm(folder)
    bias = "base_model.model.layers.0.self_attn.q_proj.lora_B.bias"
    save_file({**tensors, bias: torch.ones(16)}, file)
    with pytest.raises(CheckpointError, match=r"q_proj\.lora_B\.bias belongs to no tensor"):
        load_sarm(folder)
    save_file(tensors, file)
    place = folder / "adapter_config.json"
    stated = json.loads(place.read_text())
    place.write_text(json.dumps(stated | {"layer_replication": [[0, 2], [0, 2]]}))
    with pytest.raises(CheckpointError, match="an adapter that repeats blocks is not merged here"):
        load_sarm(folder)
    place.write_text(json.dumps(stated | {"peft_type": "LOHA"}))
    with pytest.raises(CheckpointError, match="kind LOHA is not merged here"):
        load_sarm(folder)
    place.write_text("[")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json cannot be read"):
        load_sarm(folder)
