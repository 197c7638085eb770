"""Every layout reads to the same model; nothing in a checkpoint is ever executed."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarm_core import load_sarm
from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import Shape, find_folder, open_checkpoint, read_sae
from sarm_core.model.sae import Dense, TopK
from sarm_core.model.tensor_files import TensorFiles
from sarm_core.ship.export import sae_tensors, write_own
from tests.sarm_core.tiny_models import BLOCKS, backbone, chatml, random_sae, reference_checkpoint

ROWS = [{"input_ids": [3, 5, 8, 13, 21, 34]}, {"input_ids": [2, 7, 1]}, {"input_ids": [9] * 30}]


def rewards(folder, **options):
    return load_sarm(folder, dtype="float32", **options).score(ROWS).rewards


def edit(path, **changes):
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, **changes}))


def shard(folder, parts=3, **extra):
    """Split model.safetensors as Hugging Face shards a large checkpoint."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for part in range(parts):
        file = f"model-{part + 1:05d}-of-{parts:05d}.safetensors"
        mine = names[part::parts]
        save_file({n: tensors[n] for n in mine}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(mine, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({**extra, "weight_map": weight_map}))
    return folder


def own(folder, reference, **stated):
    """The same weights in this project's own layout, backbone in a subfolder."""
    folder.mkdir()
    tensors = load_file(reference / "model.safetensors")
    (folder / "backbone").mkdir()
    blocks = {n: t for n, t in tensors.items() if n.startswith("model.")}
    save_file(blocks, folder / "backbone" / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(reference / "config.json", folder / "backbone" / "config.json")
    write_own(
        folder,
        shape=Shape(2, 64, TopK(6)),
        tensors={n: t for n, t in tensors.items() if n.startswith("sae.")},
        head=tensors["score.weight"][0].numpy(),
        backbone="backbone",
        rule="last-token",
    )
    edit(folder / "sarm.json", **stated)
    return folder


@pytest.fixture
def reference(tmp_path):
    return reference_checkpoint(tmp_path / "neutral")


# -- shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Llama_Latent65536_Layer16_K192_8B-SARM-TopK-LastToken-1", Shape(16, 65536, TopK(192))),
        ("Llama_Latent65536_Layer16_K192_8B-SARM-woTopK-LastToken-1", Shape(16, 65536, Dense())),
        ("x_Latent256_Layer2_K12-SARM-TopK", Shape(2, 256, TopK(12))),
        ("x_Latent256_Layer2_K12-SARM", None),
        ("Llama-SARM-4B", None),
        ("x_Latent256_Layer2_K12a_-SARM-TopK", None),
    ],
)
def test_folder_names_state_the_shape_and_woTopK_is_looked_for_first(name, shape):
    assert Shape.from_name(name) == shape


def test_sarm_param_may_be_nested_flat_or_use_the_older_names(reference):
    nested = json.loads((reference / "config.json").read_text())["sarm_param"]
    assert Shape.from_config({"sarm_param": nested}, "c") == Shape(2, 64, TopK(6))
    assert Shape.from_config({"hidden_size": 4, **nested}, "c") == Shape(2, 64, TopK(6))
    assert Shape.from_config({"sarm_param": {**nested, "sarm_use_activation": False}}, "c") == Shape(
        2, 64, Dense()
    )
    older = {"sae_latent_size": 64, "sae_k": 6, "sae_hidden_state_source_layer": 3, "sarm_use_topk": False}
    assert Shape.from_config({"sarm_param": older}, "c") == Shape(3, 64, Dense())
    assert Shape.from_config({"hidden_size": 4}, "c") is None


@pytest.mark.parametrize("value", [0, -1, "64", 2.5, True, None, [1]])
def test_a_broken_shape_names_its_key(reference, value):
    param = json.loads((reference / "config.json").read_text())["sarm_param"]
    edit(reference / "config.json", sarm_param={**param, "sae_latent_size": value})
    with pytest.raises(CheckpointError, match=r"config\.json: sarm_param\.sae_latent_size is"):
        open_checkpoint(reference)


def test_k_larger_than_the_dictionary_and_a_block_that_is_not_there_are_refused(reference):
    param = json.loads((reference / "config.json").read_text())["sarm_param"]
    edit(reference / "config.json", sarm_param={**param, "sae_k": 65})
    with pytest.raises(CheckpointError, match="k = 65"):
        open_checkpoint(reference)
    edit(reference / "config.json", sarm_param={**param, "sae_source_layer": BLOCKS + 1})
    with pytest.raises(CheckpointError, match="reads block 5, but this backbone has 4 blocks"):
        load_sarm(reference)


# -- layouts ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_layouts_of_one_model_give_the_same_rewards_and_fingerprint(reference, tmp_path):
    wanted, fingerprint = rewards(reference), load_sarm(reference).fingerprint
    named = tmp_path / "Tiny_Latent64_Layer2_K6_1B-SARM-TopK-LastToken-1"
    shutil.copytree(reference, named)
    data = json.loads((named / "config.json").read_text())
    del data["sarm_param"]
    (named / "config.json").write_text(json.dumps(data))
    sharded = shard(shutil.copytree(reference, tmp_path / "sharded"), metadata={"total_size": 1})
    bare_index = shard(shutil.copytree(reference, tmp_path / "bare-index"))
    for folder in (named, sharded, bare_index, own(tmp_path / "own", reference)):
        np.testing.assert_array_equal(rewards(folder), wanted)
        assert load_sarm(folder).fingerprint == fingerprint


def test_without_topk_the_dense_pre_activations_score(tmp_path):
    sparse = load_sarm(reference_checkpoint(tmp_path / "a"), dtype="float32")
    dense = load_sarm(reference_checkpoint(tmp_path / "b", k=None), dtype="float32")
    assert sparse.score(ROWS).matrix.n_active.tolist() == [6, 6, 6]
    assert dense.score(ROWS).matrix.n_active.tolist() == [64, 64, 64]
    assert sparse.fingerprint != dense.fingerprint


@pytest.mark.slow
def test_the_fingerprint_follows_every_tensor_that_scores_and_no_other(reference):
    before = load_sarm(reference).fingerprint
    path = reference / "model.safetensors"
    tensors = load_file(path)
    used = [
        "score.weight",
        "sae.latent_bias",
        "model.embed_tokens.weight",
        "model.layers.1.mlp.up_proj.weight",
    ]
    unused = ["model.norm.weight", "model.layers.2.mlp.up_proj.weight"]
    for name in [*used, *unused]:
        changed = {n: (t + 1 if n == name else t) for n, t in tensors.items()}
        save_file(changed, path, metadata={"format": "pt"})
        assert (load_sarm(reference).fingerprint == before) == (name in unused), name


def test_a_padding_token_added_after_the_config_was_written(reference):
    """A [PAD] row makes the embedding one longer than config.vocab_size says."""
    path = reference / "model.safetensors"
    tensors = load_file(path)
    wanted = rewards(reference)
    table = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = torch.cat([table, torch.zeros(1, table.shape[1])])
    save_file(tensors, path, metadata={"format": "pt"})
    edit(reference / "config.json", pad_token_id=table.shape[0])
    np.testing.assert_array_equal(rewards(reference), wanted)
    load_sarm(reference).score([{"input_ids": [3, table.shape[0]]}])


def test_stored_dtype_decides_unless_told_otherwise(reference):
    path = reference / "model.safetensors"
    tensors = load_file(path)
    assert load_sarm(reference).dtype == torch.float32
    save_file({n: t.to(torch.bfloat16) for n, t in tensors.items()}, path, metadata={"format": "pt"})
    assert open_checkpoint(reference).stored_dtype() == torch.bfloat16
    assert load_sarm(reference, dtype="float32").dtype == torch.float32
    assert load_sarm(reference, dtype="bfloat16").dtype == torch.bfloat16
    with pytest.raises(CheckpointError, match="dtype 'int4' is not known"):
        load_sarm(reference, dtype="int4")


@pytest.mark.parametrize("device", ["banana", "meta", "cuda:99", "cpu:x"])
def test_an_unusable_device_is_one_line(reference, device):
    with pytest.raises(CheckpointError) as caught:
        load_sarm(reference, device=device)
    assert "\n" not in str(caught.value) and "cpu" in str(caught.value)


# -- what is refused -------------------------------------------------------------------------------------


def test_missing_and_foreign_folders_say_what_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for source, words in (
        (tmp_path / "empty", "not a SARM checkpoint"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "absent", "no such folder"),
        ("no/such/thing", "no such folder"),
    ):
        with pytest.raises(CheckpointError, match=words):
            open_checkpoint(source)


def test_a_backbone_without_a_shape_or_a_head_or_an_sae_is_refused(tmp_path):
    plain = tmp_path / "plain"
    backbone("llama").save_pretrained(plain)
    with pytest.raises(CheckpointError, match=r"a model \(LlamaModel\) without SAE"):
        open_checkpoint(plain)
    folder = reference_checkpoint(tmp_path / "c")
    tensors = load_file(folder / "model.safetensors")
    for name, words in (("score.weight", "without a reward head"), ("sae.latent_bias", "holds no SAE")):
        rest = {n: t for n, t in tensors.items() if n != name}
        save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=words):
            load_sarm(folder)
    tensors["score.weight"] = torch.zeros(1, 63)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="but the dictionary has 64 features"):
        load_sarm(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no \.safetensors file"):
        load_sarm(folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_sarm(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "{}"]
)
def test_a_broken_index_is_one_line(reference, text):
    (reference / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError) as caught:
        load_sarm(reference)
    assert "index.json" in str(caught.value) and "\n" not in str(caught.value)


def test_an_index_cannot_reach_outside_the_folder(reference, tmp_path):
    secret = tmp_path / "secret.safetensors"
    save_file({"model.norm.weight": torch.zeros(2)}, secret)
    (reference / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.norm.weight": "../secret.safetensors"}})
    )
    with pytest.raises(CheckpointError, match=r"secret\.safetensors is missing"):
        TensorFiles(reference)


def test_a_missing_shard_is_named(reference):
    shard(reference)
    (reference / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00003"):
        load_sarm(reference)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"format": "sarm-explorer/9"}, "this version reads"),
        ({"layer": None}, "layer is None"),
        ({"n_features": "64"}, "n_features is '64'"),
        ({"k": 0}, "k is 0"),
        ({"k": 65}, "k = 65"),
        ({"max_length": True}, "max_length is True"),
        ({"chat_template": 5}, "chat_template is 5"),
        ({"scored_token": "x"}, "scored_token must be an object"),
        ({"backbone": "nowhere at all"}, "no such folder"),
    ],
)
def test_a_broken_own_config_names_file_and_key(reference, tmp_path, stated, words):
    folder = own(tmp_path / "own", reference, **stated)
    with pytest.raises(CheckpointError) as caught:
        load_sarm(folder)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_scored_token_is_refused(tmp_path):
    folder = reference_checkpoint(tmp_path / "c", tokenizer=chatml())
    mine = own(tmp_path / "own", folder, scored_token={"rule": "<|nope|>"})
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(folder / name, mine / name)
    with pytest.raises(CheckpointError, match=r"'<\|nope\|>' is not in the tokenizer"):
        load_sarm(mine)


def test_a_broken_tokenizer_is_one_line(tmp_path):
    folder = reference_checkpoint(tmp_path / "c", tokenizer=chatml())
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckpointError, match="the tokenizer cannot be loaded"):
        load_sarm(folder)


# -- hostile checkpoints ---------------------------------------------------------------------------------


class Payload:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_remote_code_in_a_checkpoint_is_never_run(tmp_path):
    folder = reference_checkpoint(tmp_path / "c", tokenizer=chatml())
    wanted = rewards(folder)
    trap = tmp_path / "executed"
    for module in ("modeling_trap", "tokenization_trap", "configuration_trap"):
        (folder / f"{module}.py").write_text(f"open({str(trap)!r}, 'w')\nclass Trap: pass\n")
    edit(
        folder / "config.json",
        auto_map={
            "AutoConfig": "configuration_trap.Trap",
            "AutoModel": "modeling_trap.Trap",
            "AutoTokenizer": ["tokenization_trap.Trap", None],
        },
        attn_implementation="no-such-org/no-such-kernel",
        transformers_weights="../elsewhere.safetensors",
    )
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_trap.Trap", None]})
    np.testing.assert_array_equal(rewards(folder), wanted)
    assert load_sarm(folder).format is not None
    assert not trap.exists()


def test_an_unknown_model_type_is_refused_and_a_sarm_class_name_is_understood(reference):
    config = json.loads((reference / "config.json").read_text())
    wanted = rewards(reference)
    edit(reference / "config.json", model_type="llama_sarm", architectures=["LlamaSARM"])
    np.testing.assert_array_equal(rewards(reference), wanted)
    edit(reference / "config.json", **config | {"model_type": "evil", "architectures": ["Evil"]})
    with pytest.raises(CheckpointError, match="model_type 'evil' is not known"):
        load_sarm(reference)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_bare_sae_is_read_in_both_formats(tmp_path, suffix):
    sae = random_sae(12, 3)
    path = tmp_path / f"sae{suffix}"
    tensors = dict(sae.state_dict())
    torch.save(tensors, path) if suffix == ".pt" else save_file(tensors, path)
    loaded = read_sae(path, Shape(2, 12, TopK(3)))
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name])
    x = torch.randn(2, sae.pre_bias.shape[0])
    torch.testing.assert_close(loaded(x)[0], sae(x)[0])
    with pytest.raises(CheckpointError, match="13 features over 16 dimensions need"):
        read_sae(path, Shape(2, 13, TopK(3)))


@pytest.mark.parametrize("how", ["torch", "plain pickle"])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, how):
    trap = tmp_path / "executed"
    path = tmp_path / "sae.pt"
    content = {"pre_bias": Payload(f"touch {trap}")}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(CheckpointError, match="cannot be read as plain tensors") as caught:
        read_sae(path, Shape(2, 12, TopK(3)))
    assert not trap.exists() and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1], {"pre_bias": 3}, {}])
def test_a_pt_that_is_no_dictionary_of_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "sae.pt")
    with pytest.raises(CheckpointError):
        read_sae(tmp_path / "sae.pt", Shape(2, 12, TopK(3)))


# -- writing ---------------------------------------------------------------------------------------------


def test_sae_tensors_halve_the_matrices_and_keep_the_biases():
    tensors = sae_tensors(random_sae(12, 3), torch.float16)
    assert tensors["sae.encoder.weight"].dtype == torch.float16
    assert tensors["sae.latent_bias"].dtype == torch.float32


def test_the_demo_folder_is_inside_the_package():
    assert find_folder("demo").parts[-3:] == ("sarm_core", "demo", "model")
