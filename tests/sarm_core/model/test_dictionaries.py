"""Public dictionaries read here have the features that the packages which wrote them compute."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sarm_core import load_sae
from sarm_core.errors import CheckpointError
from sarm_core.model.sae import TopK
from tests.sarm_core.tiny_models import WIDTH, random_sae

M = 20


def random_tensors(**shapes):
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator) * 0.5 for name, shape in shapes.items()}


def test_the_papers_bare_file_reads_its_standardised_input(tmp_path):
    sae = random_sae(M, 4)
    torch.save(dict(sae.state_dict()), tmp_path / "sae.pt")
    h = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(1)) * 3 + 1
    loaded = load_sae(tmp_path / "sae.pt", k=4, layer=2)
    wanted = sae.encode(sae.inputs(h)).dense().detach().numpy()
    np.testing.assert_array_equal(loaded.features(h).toarray(), wanted)
    assert (loaded.kind, loaded.layer, loaded.n_features, loaded.width) == ("topk", 2, M, WIDTH)
    assert loaded.words == TopK(4).words and loaded.hook is None
    with pytest.raises(CheckpointError, match=r"states no k .*load_sae\(path, k="):
        load_sae(tmp_path / "sae.pt")


def test_a_sparsify_folder_is_told_by_its_name(tmp_path):
    folder = tmp_path / "layers.5"
    folder.mkdir()
    tensors = random_tensors(
        **{"encoder.weight": (M, 8), "encoder.bias": (M,), "W_dec": (M, 8), "b_dec": (8,)}
    )
    save_file(tensors, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"d_in": 8, "num_latents": 0, "k": 6, "activation": "topk"}))
    loaded = load_sae(tmp_path)
    assert (loaded.layer, loaded.hook, loaded.format) == (6, "layers.5", "sparsify")
    h = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    a = ((h - tensors["b_dec"]) @ tensors["encoder.weight"].T + tensors["encoder.bias"]).relu()
    values, ids = a.topk(6)
    found = loaded.features(h)
    np.testing.assert_allclose(found.toarray(), torch.zeros_like(a).scatter(1, ids, values), atol=1e-6)
    assert found.nnz == (values > 0).sum() < values.numel()  # what is silent is not stored
