"""Checkpoints that are not what they seem: one line that says what they are, never another model's scores."""

import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sarm_core import Steering, load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import CheckpointError
from sarm_core.model.backbone import backbone_config, cut_backbone
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.model.inspection import inspect_path
from sarm_core.model.sae import TopK
from sarm_core.ship.auto import export_auto
from sarm_core.ship.check import export_layout
from sarm_core.ship.layouts import LAYOUTS
from tests.sarm_core.tiny_models import backbone, own_checkpoint, reference_checkpoint

CASES = Path(__file__).parents[4] / "shared" / "cases" / "checkpoints"
ROWS = [{"input_ids": [3, 5, 8, 13, 21, 34]}, {"input_ids": [2, 7, 1]}]


@pytest.fixture
def folder(tmp_path):
    return reference_checkpoint(tmp_path / "tiny")


def refused(folder):
    with pytest.raises(CheckpointError) as caught:
        load_sarm(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def add(folder, **tensors):
    """Tensors beside those that there are, "__" for a dot in their names."""
    path = folder / "model.safetensors"
    new = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({**load_file(path), **new}, path, metadata={"format": "pt"})


def state(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# -- nothing unread --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.lora_A.default.weight",
        "model.layers.1.mlp.up_proj.weight_scale_inv",
        "model.layers.1.mlp.up_proj.bias",
        "model.embed_tokens_per_layer.weight",
        "v_head.summary.weight",
        "value_head.weight",
        "score.bias",
        "sae.threshold",
        "sae.encoder.bias",
    ],
)
def test_a_tensor_that_nothing_reads_is_named(folder, name):
    add(folder, **{name: torch.ones(2)})
    assert name in refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.rotary_emb.inv_freq",
        "model.layers.3.self_attn.q_proj.lora_A.default.weight",
        "lm_head.weight",
    ],
)
def test_buffers_heads_and_what_lies_behind_block_L_change_nothing(folder, name):
    wanted = load_sarm(folder).score(ROWS).rewards
    add(folder, **{name: torch.ones(4)})
    np.testing.assert_array_equal(load_sarm(folder).score(ROWS).rewards, wanted)


@pytest.mark.parametrize("name", ["v_head.summary.weight", "value_head.weight", "score.weight"])
def test_the_head_of_another_trainer_does_not_keep_a_folder_from_being_a_backbone(tmp_path, name):
    backbone("llama").save_pretrained(tmp_path)
    add(tmp_path, **{name: torch.ones(2)})
    assert len(cut_backbone(tmp_path, 2, torch.float32).layers) == 2


def test_an_unread_tensor_of_the_own_layout_is_named_too(tmp_path):
    folder = own_checkpoint(tmp_path / "own", TopK(6))
    blocks = folder / "backbone" / "model.safetensors"
    save_file(
        {**load_file(blocks), "layers.0.mlp.up_proj.lora_B.weight": torch.ones(2)},
        blocks,
        metadata={"format": "pt"},
    )
    assert "lora_B" in refused(folder)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_head_that_is_no_number_is_refused(folder, value):
    head = load_file(folder / "model.safetensors")["score.weight"]
    head[0, 3] = value
    add(folder, score__weight=head)
    assert "score.weight holds infinity or NaN" in refused(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bloom", "gemma4_text"])
def test_a_norm_before_the_blocks_is_no_final_norm_and_part_of_the_fingerprint(kind, tmp_path):
    sizes = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    if kind == "gemma4_text":
        sizes |= {
            "intermediate_size": 40,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "hidden_size_per_layer_input": 8,
        }
        sizes |= {"vocab_size_per_layer_input": 300, "num_kv_shared_layers": 0, "global_head_dim": 8}
    config = CONFIG_MAPPING[kind](**sizes, pad_token_id=1, bos_token_id=0, eos_token_id=1)
    torch.manual_seed(0)
    folder = reference_checkpoint(
        tmp_path / "tiny",
        "gpt2" if kind == "bloom" else kind,
        model=AutoModel.from_config(config).float().eval(),
    )
    name = {
        "bloom": "transformer.word_embeddings_layernorm.weight",
        "gemma4_text": "model.per_layer_projection_norm.weight",
    }[kind]
    before, marks = load_sarm(folder, dtype="float32"), {open_checkpoint(folder).fingerprint()}
    file = folder / "model.safetensors"
    save_file({**load_file(file), name: load_file(file)[name] + 0.5}, file, metadata={"format": "pt"})
    after = load_sarm(folder, dtype="float32")
    assert not np.allclose(before.score(ROWS).rewards, after.score(ROWS).rewards, atol=1e-3)
    assert after.fingerprint not in marks


# -- quantised -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "(gptq)"),
        ({"quantization_config": {"quant_method": "bitnet"}}, "(bitnet)"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "(fp8)"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "(compressed-tensors)"),
        ({"quantization_config": "awq"}, "(awq)"),
    ],
)
def test_a_stated_quantisation_is_one_line_with_a_remedy(folder, stated, words):
    state(folder, **stated)
    line = refused(folder)
    assert f"the weights are quantised {words}" in line and "dequantize()" in line
    with pytest.raises(CheckpointError, match="quantised"):
        open_checkpoint(folder).config()  # what an export asks, without loading


@pytest.mark.parametrize("block", [1, 3])
def test_bitsandbytes_is_read_where_the_weights_that_score_are_plain(folder, tmp_path, block):
    """Block 3 lies behind L = 2. What a skipped layer computes is what a plain one does."""
    wanted = load_sarm(folder)
    rewards, mark = wanted.score(ROWS).rewards, wanted.fingerprint
    state(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    np.testing.assert_array_equal(load_sarm(folder).score(ROWS).rewards, rewards)
    name = f"model.layers.{block}.mlp.up_proj.weight"
    parts = {f"{name}.absmax": torch.ones(10), f"{name}.quant_state.bitsandbytes__nf4": torch.ones(9)}
    add(folder, **{name: torch.ones(320, 1).to(torch.uint8)}, **parts)
    if block == 1:
        assert "the weights are quantised (bitsandbytes)" in refused(folder)
        with pytest.raises(CheckpointError, match="quantised"):
            open_checkpoint(folder).config()
        return
    found = load_sarm(folder)
    np.testing.assert_array_equal(found.score(ROWS).rewards, rewards)
    assert found.fingerprint == mark
    exported = export_auto(open_checkpoint(folder), Steering(), tmp_path / "auto")
    assert "quantization_config" not in (exported / "config.json").read_text()
    np.testing.assert_allclose(load_sarm(exported, dtype="float32").score(ROWS).rewards, rewards, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8, torch.uint8])
def test_weights_in_a_quantised_format_are_refused_whatever_the_config_says(folder, dtype):
    name = "model.layers.1.mlp.up_proj.weight"
    add(folder, **{name: torch.ones(40, 16).to(dtype)})
    assert f"{name} is stored as" in refused(folder)


def in_float8(folder, scales, stated):
    """Every matrix of the blocks as e4m3 with a scale of the kind `scales`; returns what they are in float32."""
    path = folder / "model.safetensors"
    tensors, plain, generator = load_file(path), {}, torch.Generator().manual_seed(3)
    for name in [n for n in tensors if ".layers." in n and tensors[n].ndim == 2]:
        rows, columns = tensors[name].shape
        shape = {"all": (1,), "rows": (rows, 1), "blocks": (-(-rows // 128), -(-columns // 128))}[scales]
        scale = torch.rand(shape, generator=generator) + 0.5
        small = (tensors[name] / 2).to(torch.float8_e4m3fn)
        whole = scale
        if scales == "blocks":
            whole = scale[torch.arange(rows) // 128][:, torch.arange(columns) // 128]
        plain[name] = small.float() * whole
        tensors[name] = small
        suffix = "weight_scale_inv" if scales == "blocks" else "weight_scale"
        tensors[name.replace("weight", suffix)] = scale
    save_file(tensors, path, metadata={"format": "pt"})
    if stated:
        method = "fp8" if scales == "blocks" else "compressed-tensors"
        state(folder, quantization_config={"quant_method": method, "activation_scheme": "dynamic"})
    return plain


@pytest.mark.slow
@pytest.mark.parametrize("stated", [True, False], ids=["stated", "unsaid"])
@pytest.mark.parametrize("scales", ["all", "rows", "blocks"])
def test_8_bit_floats_with_scales_are_the_model_in_float32(scales, stated, tmp_path):
    config = CONFIG_MAPPING["llama"](
        vocab_size=300, hidden_size=16, intermediate_size=300, num_hidden_layers=3, num_attention_heads=2
    )
    model = AutoModel.from_config(config).float().eval()
    folder = reference_checkpoint(tmp_path / "fp8", model=model)
    plain = in_float8(folder, scales, stated)
    reference = reference_checkpoint(tmp_path / "plain", model=model)
    file = reference / "model.safetensors"
    save_file({**load_file(file), **plain}, file, metadata={"format": "pt"})
    wanted, found = load_sarm(reference, dtype="float32"), load_sarm(folder, dtype="float32")
    np.testing.assert_array_equal(found.score(ROWS).rewards, wanted.score(ROWS).rewards)
    assert found.fingerprint == wanted.fingerprint
    for layout in LAYOUTS:
        exported = export_layout(open_checkpoint(folder), Steering(), tmp_path / layout, layout)
        np.testing.assert_allclose(
            load_sarm(exported, dtype="float32").score(ROWS).rewards, wanted.score(ROWS).rewards, atol=1e-5
        )


def test_a_scale_that_fits_no_weight_and_one_for_inputs_are_named(folder):
    in_float8(folder, "rows", True)
    name = "model.layers.0.mlp.up_proj.weight_scale"
    whole = load_file(folder / "model.safetensors")[name]
    add(folder, **{name: torch.ones(3, 7)})
    assert "its scale has shape [3, 7]" in refused(folder) and "model.layers.0.mlp.up_proj.weight" in refused(
        folder
    )
    add(folder, **{name: whole, "model.layers.0.mlp.up_proj.input_scale": torch.ones(1)})
    assert "model.layers.0.mlp.up_proj.input_scale" in refused(folder)


def test_a_whole_number_sae_is_refused(folder):
    add(folder, sae__latent_bias=torch.ones(64, dtype=torch.int32))
    assert "sae.latent_bias is stored as torch.int32" in refused(folder)


# -- adapters, wrappers, other things --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_the_weights_is_refused(folder, name):
    (folder / name).write_text("{}")
    assert f"holds an adapter ({name}) beside the weights: merge it" in refused(folder)


def test_an_adapter_alone_is_called_so(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds an adapter (adapter_config.json) and no model: merge it" in refused(tmp_path)


def test_an_adapter_alone_names_its_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base\n-1B"}))
    with pytest.raises(CheckpointError, match="holds an adapter") as caught:
        load_sarm(tmp_path)
    assert r"(adapter_config.json) of 'some/base\n-1B' and no model: merge it" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_the_own_config_is_refused_as_no_weights_lie_there(tmp_path, name):
    folder = own_checkpoint(tmp_path / "own", TopK(6))
    (folder / name).write_text("{}")
    assert f"holds an adapter ({name}) beside sarm.json" in refused(folder)


def test_an_adapter_in_the_backbone_of_the_own_layout_is_refused(tmp_path):
    folder = own_checkpoint(tmp_path / "own", TopK(6))
    (folder / "backbone" / "adapter_config.json").write_text("{}")
    assert "beside the weights" in refused(folder)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_names_that_carry_a_wrapper_s_prefix_say_which(folder, prefix):
    path = folder / "model.safetensors"
    save_file({prefix + n: t for n, t in load_file(path).items()}, path, metadata={"format": "pt"})
    assert f"tensor names start with {prefix!r}" in refused(folder)


def test_a_pointer_of_git_lfs_is_called_so(folder):
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 30000\n"
    )
    assert "a Git LFS pointer" in refused(folder) and "git lfs pull" in refused(folder)


def test_an_ordinary_reward_model_is_called_so(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["sarm_param"]
    config["architectures"] = ["LlamaForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "model.safetensors"
    whole = load_file(path)
    save_file({n: t for n, t in whole.items() if not n.startswith("sae.")}, path, metadata={"format": "pt"})
    line, found = refused(folder), inspect_path(folder)
    assert "an ordinary reward model (LlamaForSequenceClassification) without SAE" in line
    assert f"sarm build PAIRS.. --backbone {folder} --sae SAE --out DIR" in line and "its own head" in line
    assert found.kind == "reward-model" and all(what in line for what in found.can)
    save_file(whole, path, metadata={"format": "pt"})
    assert "its shape is not stated" in refused(folder)


def test_a_trainer_s_folder_names_a_checkpoint_inside(tmp_path):
    (tmp_path / "checkpoint-500").mkdir()
    assert f"name a checkpoint inside it, {tmp_path / 'checkpoint-500'}" in refused(tmp_path)


DICTIONARIES = Path(__file__).parent / "sae_fixtures" / "files"


@pytest.mark.parametrize(
    "name",
    [
        "saelens/topk_inference/sae_weights.safetensors",
        "dictionary-learning/topk/ae.pt",
        "gemma-scope/gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_7/params.npz",
        "qwen-scope/SAE-Res-Qwen3-1.7B-Base-W32K-L0_14/layer3.sae.pt",
    ],
)
def test_a_bare_sae_names_sarm_build_by_its_file_and_by_its_folder(name):
    for place in (DICTIONARIES / name, (DICTIONARIES / name).parent):
        line, found = refused(place), inspect_path(place)
        assert "an SAE without model and reward head" in line
        assert f"sarm build PAIRS.. --backbone MODEL --sae {place} --out DIR" in line
        assert found.kind.startswith("sae/") and "sarm build PAIRS.. --backbone MODEL --sae" in found.can[0]


def test_a_language_model_names_sarm_build_and_another_file_names_inspect(tmp_path):
    backbone("llama").save_pretrained(tmp_path / "a model")
    line, found = refused(tmp_path / "a model"), inspect_path(tmp_path / "a model")
    assert "a model (LlamaModel) without SAE" in line and "its own head" not in line
    assert f"--backbone '{tmp_path}/a model' --sae SAE" in line  # as a shell takes it
    assert found.kind == "language-model" and all(what in line for what in found.can)
    (tmp_path / "notes.txt").write_text("")
    assert f"give the checkpoint's folder (sarm inspect {tmp_path}/notes.txt says" in refused(
        tmp_path / "notes.txt"
    )


# -- configs ---------------------------------------------------------------------------------------------


def test_infinity_as_transformers_writes_it_is_read_and_written_so(folder, tmp_path):
    wanted = load_sarm(folder).score(ROWS).rewards
    infinity = {"__float__": "Infinity"}
    state(folder, time_step_limit=[0.0, infinity], norm_limit=infinity)
    config = backbone_config(folder)
    assert list(config.time_step_limit) == [0.0, math.inf] and config.norm_limit == math.inf
    np.testing.assert_array_equal(load_sarm(folder).score(ROWS).rewards, wanted)
    exported = export_auto(open_checkpoint(folder), Steering(), tmp_path / "auto")

    def never(constant):
        raise AssertionError(f"{constant} is no JSON")

    stated = json.loads((exported / "config.json").read_text(), parse_constant=never)
    assert stated["backbone"]["norm_limit"] == infinity


@pytest.mark.slow
@pytest.mark.parametrize("value", [None, "x", -1, 0, 2.5, [1], {}, True])
@pytest.mark.parametrize(
    "key",
    [
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_parameters",
        "hidden_act",
        "layer_types",
        "architectures",
        "model_type",
    ],
)
def test_a_wrong_kind_of_value_in_a_config_is_read_or_one_line(folder, key, value):
    state(folder, **{key: value})
    try:
        rewards = load_sarm(folder).score(ROWS).rewards
    except CheckpointError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
    else:
        assert np.isfinite(rewards).all()


# -- the cases as people have them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unread_lora_inside", "has no place for model.layers.0.self_attn.q_proj.lora_A.default.weight"),
        ("unread_adapter_beside", "holds an adapter (adapter_model.safetensors) beside the weights"),
        ("quant_fp8", "the weights are quantised (fp8)"),
        ("ordinary_reward_model", "an ordinary reward model (LlamaForSequenceClassification)"),
        ("git_lfs_pointer", "a Git LFS pointer"),
    ],
)
def test_the_kept_cases_are_one_line_and_exit_code_2(case, words, tmp_path, capsys):
    if not (CASES / case).is_dir():
        pytest.skip("the cases (../shared/cases beside the project) are not on this machine")
    if case == "unread_adapter_beside" and importlib.util.find_spec("peft"):
        pytest.skip("where PEFT is installed the adapter is merged (test_adapters.py)")
    folder = shutil.copytree(CASES / case, tmp_path / case)
    (tmp_path / "in.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    out = tmp_path / "out.jsonl"
    assert main(["score", str(tmp_path / "in.jsonl"), "--model", str(folder), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line and not out.exists()


def test_the_kept_plain_checkpoint_is_read_and_one_whose_config_alone_is_quantised(tmp_path):
    if not (CASES / "plain").is_dir():
        pytest.skip("the cases (../shared/cases beside the project) are not on this machine")
    rows = [{"prompt": "Is it safe?", "response": text} for text in ("Yes.", "No.")]
    plain, stated = load_sarm(CASES / "plain"), load_sarm(CASES / "quant_bitsandbytes")
    rewards = plain.score(rows).rewards
    assert np.isfinite(rewards).all() and rewards[0] != rewards[1]
    np.testing.assert_array_equal(stated.score(rows).rewards, rewards)
    assert stated.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    "kind", ["deepseek_v4", "hy_v4", "inkling2_text", "gemma3n", "qwen4_exp_text", "bart", "roberta"]
)
def test_a_decoder_without_one_vector_a_token_is_refused_by_name(kind, tmp_path):
    (tmp_path / "config.json").write_text(CONFIG_MAPPING[kind]().to_json_string(use_diff=False))
    save_file({"model.embed_tokens.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=f"a {kind} has no features after a block to score by, as "
    ) as error:
        cut_backbone(tmp_path, 2, torch.float32)
    assert "\n" not in str(error.value)
