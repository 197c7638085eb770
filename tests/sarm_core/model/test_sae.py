"""The TopK autoencoder against dense arithmetic in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.model.sae import SAE, TopK, standardise
from tests.sarm_core.tiny_models import WIDTH, random_sae


def oracle(sae: SAE, x: np.ndarray, k: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Dense z [n, M] and x_hat [n, d] in float64, the k largest by a full sort."""
    part = {name: value.detach().double().numpy() for name, value in sae.state_dict().items()}
    a = (x - part["pre_bias"]) @ part["encoder.weight"].T + part["latent_bias"]
    z = a.copy()
    if k is not None:
        for row, values in enumerate(a):
            z[row, np.argsort(-values)[k:]] = 0.0
    return z, z @ part["decoder.weight"].T + part["pre_bias"]


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 20, None]))
@torch.no_grad()
def test_codes_and_reconstruction_equal_dense_arithmetic(seed, k):
    sae = random_sae(20, k, seed=seed)
    x = np.random.default_rng(seed).normal(size=(4, WIDTH))
    x_hat, codes = sae(torch.from_numpy(x).float())
    dense = codes.dense().numpy()
    wanted, wanted_x_hat = oracle(sae, x, k)
    np.testing.assert_allclose(dense, wanted, atol=1e-4)
    np.testing.assert_allclose(x_hat.numpy(), wanted_x_hat, atol=1e-3)
    assert codes.indptr.diff().tolist() == [k or 20] * 4


@torch.no_grad()
def test_negative_activations_survive_when_they_are_among_the_k_largest():
    sae = random_sae(8, 8)
    sae.latent_bias.fill_(-100.0)
    codes = sae.encode(torch.zeros(1, WIDTH))
    assert (codes.values < 0).all() and len(codes.values) == 8


def test_standardising_uses_the_unbiased_deviation():
    h = np.random.default_rng(0).normal(3.0, 5.0, size=(3, WIDTH))
    wanted = (h - h.mean(1, keepdims=True)) / (h.std(1, ddof=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(standardise(torch.from_numpy(h)).numpy(), wanted, atol=1e-5)


def test_standardising_half_precision_works_in_float32():
    h = torch.randn(5, WIDTH).to(torch.bfloat16)
    x = standardise(h)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, standardise(h.double().float()))


def test_a_constant_vector_stays_finite():
    assert torch.equal(standardise(torch.full((1, WIDTH), 7.0)), torch.zeros(1, WIDTH))


def test_decoder_columns_become_unit_vectors_and_a_zero_column_stays_finite():
    sae = random_sae(8, 2)
    with torch.no_grad():
        sae.decoder.weight[:, 3] = 0
    sae.normalise_decoder()
    norms = sae.decoder.weight.norm(dim=0)
    torch.testing.assert_close(norms[[0, 1, 2, 4, 5, 6, 7]], torch.ones(7))
    assert norms[3] == 0


def test_gradients_reach_every_tensor_of_the_autoencoder():
    sae = random_sae(8, 3)
    x_hat, _ = sae(torch.randn(6, WIDTH))
    x_hat.pow(2).sum().backward()
    for name, parameter in sae.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("k", [0, 21, -1])
def test_an_impossible_k_is_refused(k):
    with pytest.raises(ValueError, match="is not between 1 and the 20 features"):
        SAE(WIDTH, 20, TopK(k))
