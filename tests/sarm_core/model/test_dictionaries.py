"""Public dictionaries read here have the features that the packages which wrote them compute."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarm_core import load_sae
from sarm_core.errors import CheckpointError
from sarm_core.model.dictionaries.hooks import layer_behind
from sarm_core.model.dictionaries.registry import FORMATS
from sarm_core.model.inspection import inspect_path
from sarm_core.model.sae import AbsTopK, JumpReLU, TopK, kind_stated
from tests.sarm_core.tiny_models import WIDTH, random_sae

FILES = Path(__file__).parent / "sae_fixtures" / "files"
"""Written by the packages themselves (sae_fixtures/make.py), with what their encode() says."""
MADE = sorted(str(path.parent.relative_to(FILES)) for path in FILES.rglob("expected.npz"))
REFUSED = {
    "saelens_batchtopk_training": "a training folder of batchtopk, .* save it with save_inference_model",
    "saelens_transcoder": "a transcoder: it writes another place than it reads",
    "sparsify_groupmax": "activation 'groupmax' is not read",
    "sparsify_mlp": "it reads layers.3.mlp, which is not the residual stream behind a block",
    "sparsify_skip": "with a skip connection",
    "sparsify_transcode": r"a transcoder: .*\(cfg.json: transcode\)",
}
D, M = 8, 24


def copied(name, tmp_path):
    """A fixture's folder, by its own names, to be changed; the path of its weights."""
    top = tmp_path / Path(name).parts[0]
    shutil.copytree(FILES / Path(name).parts[0], top, dirs_exist_ok=True)
    folder = tmp_path / name
    weights = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".pt", ".npz")]
    return folder, next(path for path in weights if path.name != "expected.npz")


def change(place, **settings):
    """Settings of a JSON file; None removes one."""
    stated = {**json.loads(place.read_text()), **settings}
    place.write_text(json.dumps({key: value for key, value in stated.items() if value is not None}))


def tensors_of(file):
    if file.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in np.load(file).items()}
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)


def write(tensors, file):
    if file.suffix == ".npz":
        np.savez(file, **{name: tensor.numpy() for name, tensor in tensors.items()})
    elif file.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    else:
        torch.save(tensors, file)


def refusal(path, **given):
    """What loading says, which is what inspecting says."""
    with pytest.raises(CheckpointError) as caught:
        load_sae(path, **given)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 600
    if not given:
        found = inspect_path(path)
        assert found.problem == line and not any("build" in what for what in found.can)
    return line


# -- against the packages --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
def test_features_are_those_of_the_package_that_wrote_it(name):
    expected = np.load(FILES / name / "expected.npz")
    loaded = load_sae(FILES / name)
    found = loaded.features(expected["h"])
    np.testing.assert_allclose(found.toarray(), expected["z"], rtol=0, atol=1e-5)
    assert found.nnz == np.count_nonzero(expected["z"]) and found.has_sorted_indices
    assert (loaded.layer, loaded.n_features, loaded.width) == (4, M, D)  # the output of block 3
    told = inspect_path(FILES / name)
    assert told.kind == f"sae/{loaded.format}" and told.problem is None and "sarm build" in told.can[0]
    facts = {"n_features": M, "width": D, "layer": 4, "hook": loaded.hook, "active": loaded.words}
    assert facts.items() <= told.facts.items()
    alone = loaded.features(torch.from_numpy(expected["h"])[:1]).toarray()
    np.testing.assert_allclose(alone, found[:1].toarray(), atol=1e-5)


def test_every_format_that_is_read_has_such_files():
    assert {name.split("/")[0] for name in MADE} == {each.name for each in FORMATS} - {"bare"}


def test_the_page_about_dictionaries_has_a_row_for_every_format():
    page = (Path(__file__).parents[3] / "docs" / "dictionaries.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `sae/([a-z-]+)`", page, re.MULTILINE)) == {each.name for each in FORMATS}


@pytest.mark.parametrize("name", sorted(path.name for path in (FILES / "refused").iterdir()))
def test_what_is_no_sae_of_the_stream_is_refused_with_the_reason(name):
    assert re.search(REFUSED[name], refusal(FILES / "refused" / name))


@pytest.mark.parametrize("name", MADE)
def test_what_was_read_is_stated_and_read_again(name):
    kind = load_sae(FILES / name).sae.of_kind
    assert kind_stated(json.loads(json.dumps(kind.to_stated())), "sarm.json") == kind


def test_the_papers_bare_file_reads_its_standardised_input(tmp_path):
    sae = random_sae(20, 4)
    torch.save(dict(sae.state_dict()), tmp_path / "x.pt")
    h = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(1)) * 3 + 1
    loaded = load_sae(tmp_path / "x.pt", k=4, layer=2)
    wanted = sae.encode(sae.inputs(h)).dense().detach().numpy()
    np.testing.assert_array_equal(loaded.features(h).toarray(), wanted)
    assert (loaded.kind, loaded.layer, loaded.n_features, loaded.width) == ("topk", 2, 20, WIDTH)
    assert (
        loaded.words == TopK(4).words
        and loaded.hook is None
        and load_sae(tmp_path / "x.pt", k=4).layer is None
    )
    assert "states no k" in (line := refusal(tmp_path / "x.pt")) and "load_sae(path, k=...)" in line
    named = tmp_path / "a_Latent20_Layer7_K5.pt"
    shutil.copy(tmp_path / "x.pt", named)
    assert (load_sae(named).sae.of_kind, load_sae(named).layer) == (TopK(5), 7)
    assert "states k 5, not 4" in refusal(named, k=4)
    shutil.move(named, wider := tmp_path / "a_Latent32_Layer7_K5.pt")
    assert "states 32 features, but encoder.weight has 20" in refusal(wider)


def test_what_train_sae_writes_says_its_k_and_layer(tmp_path):
    save_file(dict(random_sae(20, 4).state_dict()), tmp_path / "sae.safetensors")
    (tmp_path / "report.json").write_text(json.dumps({"config": {"k": 4, "layer": 3, "n_features": 20}}))
    loaded = load_sae(tmp_path)
    assert (loaded.sae.of_kind, loaded.layer) == (TopK(4), 3)
    save_file(dict(random_sae(20, JumpReLU()).state_dict()), tmp_path / "sae.safetensors")
    assert load_sae(tmp_path).sae.of_kind == JumpReLU()


def test_llama_scope_multiplies_by_the_decoder_norms_as_its_own_code_does(tmp_path):
    """By the rules of OpenMOSS/Language-Model-SAEs at 4ec6f0aa: biases / s, threshold on a |W_dec| of unscaled h."""
    folder, weights = copied("llama-scope/Llama3_1-8B-Base-L3R-8x", tmp_path)
    tensors = tensors_of(weights)
    tensors["decoder.weight"] *= torch.rand(M, generator=torch.Generator().manual_seed(1)) * 2 + 0.5
    write(tensors, weights)
    h = torch.from_numpy(np.load(folder / "expected.npz")["h"])
    scale = D**0.5 / 7.0
    a = h @ tensors["encoder.weight"].T + tensors["encoder.bias"] / scale
    a = a * tensors["decoder.weight"].norm(dim=0)
    wanted = torch.where(a > 1.1, a, 0) * scale
    np.testing.assert_allclose(load_sae(folder).features(h).toarray(), wanted, atol=1e-5)


def test_signed_features_of_sparsifys_first_version_are_the_k_furthest_from_0(tmp_path):
    """By the rules of EleutherAI/sae at 413ca410, which no package index has."""
    folder, weights = copied("sparsify/layers.3", tmp_path)
    change(folder / "cfg.json", signed=True, k=6)
    t = tensors_of(weights)
    h = torch.from_numpy(np.load(folder / "expected.npz")["h"])
    a = (h - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]
    ids = a.abs().topk(6).indices
    wanted = torch.zeros_like(a).scatter(1, ids, a.gather(1, ids))
    loaded = load_sae(folder)
    assert (wanted < 0).any() and loaded.sae.of_kind == AbsTopK(6, input="as is")
    np.testing.assert_allclose(loaded.features(h).toarray(), wanted, atol=1e-5)


# -- where it reads --------------------------------------------------------------------------------------


def test_hook_points_are_told_as_l():
    for hook, layer in (
        ("blocks.3.hook_resid_post", 4),
        ("blocks.3.hook_resid_pre", 3),
        ("model.layers.3", 4),
        ("layers.3", 4),
        ("transformer.h.3", 4),
        ("gpt_neox.layers.3", 4),
        ("resid_post_layer_3", 4),
    ):
        assert layer_behind(hook) == layer
    for hook in (
        "blocks.0.hook_resid_pre",
        "hook_embed",
        "blocks.3.hook_mlp_out",
        "blocks.3.attn.hook_z",
        "blocks.3.hook_resid_mid",
        "layers.3.mlp",
        "embed_tokens",
        "mlp_out_layer_3",
        "blocks.3.hook_resid_post.mlp",
    ):
        with pytest.raises(ValueError, match="it reads "):
            layer_behind(hook)


@pytest.mark.slow
def test_the_layer_of_a_hook_is_that_of_the_hidden_states():
    """The output of block 1 is `hidden_states[2]`, so a dictionary on `blocks.1.hook_resid_post` has layer 2."""
    from tests.sarm_core.tiny_models import backbone

    model, seen = backbone("llama"), []
    model.layers[1].register_forward_hook(
        lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        states = model(torch.arange(2, 12)[None], output_hidden_states=True).hidden_states
    torch.testing.assert_close(seen[0], states[layer_behind("blocks.1.hook_resid_post")])


def test_a_layer_that_the_file_contradicts_is_refused():
    line = refusal(FILES / "saelens" / "topk_inference", layer=3)
    assert "blocks.3.hook_resid_post, which is layer 4, not layer 3" in line
    assert load_sae(FILES / "saelens" / "topk_inference", layer=4).layer == 4
    assert "states k 5, not 6" in refusal(FILES / "saelens" / "topk_inference", k=6)
    assert "layer is 0, not a positive" in refusal(FILES / "saelens" / "topk_inference", layer=0)


def test_one_of_many_is_chosen_by_its_layer(tmp_path):
    folder, file = copied("qwen-scope/SAE-Res-Qwen3-1.7B-Base-W32K-L0_14", tmp_path)
    for block in (0, 7):
        shutil.copy(file, folder / f"layer{block}.sae.pt")
    line = refusal(folder)
    assert (
        "holds 3 dictionaries: name one (layer0.sae.pt, layer3.sae.pt, layer7.sae.pt), or give its layer"
        in line
    )
    assert load_sae(folder, layer=8).source.name == "layer7.sae.pt"
    assert load_sae(folder / "layer0.sae.pt").layer == 1
    assert "0 of its 3 dictionaries are of layer 3" in refusal(folder, layer=3)
    shutil.copy(file, bare := tmp_path / "layer3.sae.pt")
    assert "its repository's name (...-L0_50) states no k" in refusal(bare)
    assert load_sae(bare, k=14).words == "k 14, positive"


def test_a_collection_that_holds_transcoders_too_is_read_by_layer(tmp_path):
    shutil.copytree(FILES / "sparsify" / "layers.3", tmp_path / "layers.3")
    shutil.copytree(FILES / "refused" / "sparsify_transcode" / "layers.3.mlp", tmp_path / "layers.3.mlp")
    assert load_sae(tmp_path, layer=4).hook == "layers.3"
    line = refusal(tmp_path, layer=5)
    assert (
        "0 of its 2 dictionaries are of layer 5" in line
        and "1 cannot be read" in line
        and "transcode" in line
    )


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        ("gemma-scope-2b-pt-mlp", "it reads the output of an MLP"),
        ("gemma-scope-9b-it-att", "it reads the heads of an attention"),
        ("gemma-scope-2b-pt-transcoders", "it reads the input of an MLP"),
    ],
)
def test_gemma_scope_is_told_by_its_repository(repository, words, tmp_path):
    folder, _ = copied("gemma-scope/gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_7", tmp_path)
    shutil.copytree(tmp_path / "gemma-scope" / "gemma-scope-2b-pt-res", other := tmp_path / repository)
    assert words in refusal(other)
    shutil.copytree(folder, unsaid := tmp_path / "unsaid" / "layer_3")
    assert load_sae(unsaid).layer is None and load_sae(unsaid, layer=4).layer == 4
    shutil.copytree(folder, embedding := tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k")
    assert "it reads the embeddings" in refusal(embedding)


# -- what cannot be read as it is ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["standard", "standard_layer_norm", "jumprelu", "gated", "topk"])
def test_a_centred_stream_is_that_of_transformers_less_its_mean(name, tmp_path):
    """center_writing_weights: what the package makes of h - mean(h) is what ours makes of h."""
    folder, _ = copied(f"saelens/{name}_inference", tmp_path)
    plain = load_sae(folder)
    about = json.loads((folder / "cfg.json").read_text())["metadata"]
    change(
        folder / "cfg.json",
        metadata={**about, "model_from_pretrained_kwargs": {"center_writing_weights": True}},
    )
    h = np.load(folder / "expected.npz")["h"] + np.float32(0.75)
    expected = plain.features(h - h.mean(-1, keepdims=True)).toarray()
    assert np.abs(expected).sum() > 0
    np.testing.assert_allclose(load_sae(folder).features(h).toarray(), expected, atol=1e-5)
    if name != "standard_layer_norm":
        assert np.abs(plain.features(h).toarray() - expected).max() > 1e-3


def test_whether_the_stream_was_centred_has_to_be_said_where_transformerlens_may_have(tmp_path):
    folder, _ = copied("saelens/standard_inference", tmp_path)
    old = {"metadata": None, "hook_name": "blocks.3.hook_resid_post", "model_name": "gpt2-small"}
    change(folder / "cfg.json", **old)
    assert '"model_from_pretrained_kwargs": {"center_writing_weights": true}' in refusal(folder)
    change(folder / "cfg.json", model_from_pretrained_kwargs={"center_writing_weights": False})
    expected = np.load(folder / "expected.npz")
    np.testing.assert_allclose(load_sae(folder).features(expected["h"]).toarray(), expected["z"], atol=1e-5)
    change(folder / "cfg.json", model_from_pretrained_kwargs="yes")
    assert "model_from_pretrained_kwargs is 'yes', not an object" in refusal(folder)
    change(
        folder / "cfg.json",
        model_from_pretrained_kwargs={"center_writing_weights": True},
        normalize_activations="constant_norm_rescale",
    )
    assert "the centred stream with constant norm, which is not read" in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"normalize_activations": "expected_average_only_in"},
            "fold it (fold_activation_norm_scaling_factor)",
        ),
        ({"normalize_activations": "covariance_whitening"}, "fold them (fold_activation_whitening)"),
        ({"normalize_activations": "batch_norm"}, "normalize_activations 'batch_norm' is not known here"),
        ({"architecture": "temporal"}, "its features depend on the tokens before"),
        ({"architecture": "new"}, "architecture 'new' with activation 'relu' is not known here"),
        ({"reshape_activations": "hook_z"}, "it reads the heads of an attention"),
        ({"use_error_term": True}, "with an error term"),
        ({"apply_b_dec_to_input": "no"}, "apply_b_dec_to_input is 'no', not true or false"),
        (
            {"metadata": {"hook_name": "blocks.3.hook_mlp_out"}},
            "it reads blocks.3.hook_mlp_out, which is not",
        ),
        (
            {"metadata": {"hook_name": "blocks.3.hook_resid_post", "hook_name_out": "blocks.4.hook_mlp_out"}},
            "a transcoder: it reads blocks.3.hook_resid_post and writes blocks.4.hook_mlp_out",
        ),
        ({"d_sae": 25}, "its config states 25 features, but W_enc has 24"),
        ({"k": None}, "cfg.json states no k"),
        ({"k": "5"}, "k in cfg.json is '5', not a positive whole number"),
        ({"k": 25}, "k = 25 is not between 1 and the 24 features"),
        ({"metadata": "x", "hook_name": 3}, "it reads 3, which is not the residual stream"),
    ],
)
def test_what_saelens_states_and_no_kind_here_does_is_refused(settings, words, tmp_path):
    folder, _ = copied("saelens/topk_inference", tmp_path)
    change(folder / "cfg.json", **settings)
    assert words in refusal(folder)


def test_configs_of_saelens_before_6_are_read(tmp_path):
    folder, _ = copied("saelens/topk_not_rescaled_inference", tmp_path)
    old = {
        "hook_name": "blocks.3.hook_resid_post",
        "activation_fn_str": "topk",
        "normalize_activations": False,
    }
    old |= {"activation_fn_kwargs": {"k": 16}, "architecture": "standard", "k": None, "metadata": None}
    change(folder / "cfg.json", **old, rescale_acts_by_decoder_norm=None)
    expected = np.load(folder / "expected.npz")
    np.testing.assert_allclose(load_sae(folder).features(expected["h"]).toarray(), expected["z"], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hook_point_out": "blocks.3.hook_mlp_out"}, "a transcoder: it reads"),
        ({"use_glu_encoder": True}, "use_glu_encoder"),
        ({"norm_activation": "batch-wise"}, "features depend on what else is in the batch"),
        ({"dataset_average_activation_norm": {"out": 3}}, "its input cannot be scaled"),
        ({"act_fn": "tanh"}, "act_fn 'tanh' is not known here"),
        ({"jump_relu_threshold": "1"}, "jump_relu_threshold is '1'"),
    ],
)
def test_what_llama_scope_states_and_no_kind_here_does_is_refused(settings, words, tmp_path):
    folder, _ = copied("llama-scope/Llama3_1-8B-Base-L3R-8x", tmp_path)
    change(folder / "hyperparams.json", **settings)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dict_class": "CrossCoder"}, "dict_class is 'CrossCoder'; classes that are read: AutoEncoder, "),
        ({"submodule_name": "mlp_out_layer_3"}, "it reads mlp_out_layer_3, which is not"),
        ({"layer": 5}, "config.json states layer 5 and submodule_name 'resid_post_layer_3'"),
        ({"k": 6}, "config.json states k 6, the file itself 5"),
    ],
)
def test_what_dictionary_learning_states_and_no_kind_here_does_is_refused(settings, words, tmp_path):
    folder, _ = copied("dictionary-learning/topk", tmp_path)
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"trainer": {**stated["trainer"], **settings}}))
    assert words in refusal(folder)


# -- from the Hub ----------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The Hub's cache with repositories in it, and no network."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"

    def repository(name, source):
        folder = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(source, folder / "snapshots" / commit)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
        return name

    return repository


def test_a_repository_of_the_hub_is_read_by_layer_or_by_a_path_inside(hub):
    qwen = hub(
        "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_14", FILES / "qwen-scope" / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_14"
    )
    assert load_sae(qwen, layer=4).words == "k 14, positive"
    assert load_sae(f"{qwen}/layer3.sae.pt").layer == 4
    gemma = hub("google/gemma-scope-2b-pt-res", FILES / "gemma-scope" / "gemma-scope-2b-pt-res")
    assert load_sae(f"{gemma}/layer_3/width_16k/average_l0_7").layer == 4
    assert inspect_path(f"{gemma}/layer_3/width_16k/average_l0_7/params.npz").facts["layer"] == 4
    with pytest.raises(CheckpointError, match=r"google/gemma-scope-2b-pt-res holds no layer_4"):
        load_sae(f"{gemma}/layer_4")
    with pytest.raises(
        CheckpointError, match=r"nobody/nothing: not a folder here, and the Hub did not give it"
    ):
        load_sae("nobody/nothing")
