"""The step of stage 1: its written-out gradients against autograd, its searches against plain ones."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.model.sae import SAE, TopK, standardise
from sarm_core.train.sae_step import Dictionary, Entries, batch_top_k, standardised, top_k

D, M, K, N = 24, 120, 5, 32


def dictionary(kind="topk", **changes):
    generator = torch.Generator().manual_seed(0)
    stated = {
        "k": K,
        "kind": kind,
        "lr": 1e-3,
        "aux_k": 7,
        "dead_after": 3,
        "dtype": torch.float32,
        **changes,
    }
    made = Dictionary(
        torch.randn(M, D, generator=generator), torch.randn(D, generator=generator) / 4, **stated
    )
    made.latent_bias.copy_(torch.randn(M, generator=generator) / 4)
    made.encoder += torch.randn(M, D, generator=generator) / 8
    return made


def inputs(n=N):
    return standardise(torch.randn(n, D, generator=torch.Generator().manual_seed(1)) * 3 + 1)


def by_autograd(made, x, variance, n_pairs, weight):
    """The same loss as one would write it first, all products dense: the loss, and the gradients by name."""
    weights = {name: w.clone().requires_grad_() for name, w in made.weights.items()}
    a = (x - weights["pre_bias"]) @ weights["encoder"].t() + weights["latent_bias"]
    if made.kind == "topk":
        mask = torch.zeros_like(a).scatter(1, a.topk(K).indices, 1.0)
    else:
        lowest = a.flatten().topk(K * len(x)).values.min()
        mask = ((a >= lowest) & (a > 0)).float()
    residual = (a * mask) @ weights["columns"] + weights["pre_bias"] - x
    total = loss = residual.square().sum() / variance
    silent = torch.where(mask.any(0), 0, made.silent + 1)
    dead = silent > made.dead_after
    if dead.any():
        among = torch.where(dead, a, -torch.inf).topk(min(made.aux_k, int(dead.sum()))).indices
        chosen = torch.zeros_like(a).scatter(1, among, 1.0)
        left_over = residual.detach()
        guess = (a * chosen) @ weights["columns"]
        total = total + (guess + left_over).square().sum() / left_over.square().sum() / 32
    if n_pairs:
        left, right = slice(-2 * n_pairs, -n_pairs), slice(-n_pairs, None)
        off = residual[left] - residual[right]
        total = total + weight * (off.square().sum(-1) / (x[left] - x[right]).square().sum(-1)).mean()
    total.backward()
    return loss.detach(), {name: w.grad for name, w in weights.items()}


@pytest.mark.parametrize("dead", [0, 3, 40])
@pytest.mark.parametrize("n_pairs", [0, 8])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("kind", ["topk", "batch-topk"])
def test_every_gradient_is_autograds(kind, dense, n_pairs, dead):
    made, x = dictionary(kind, dense=dense), inputs()
    made.silent[:dead] = 100
    variance = (x - made.pre_bias).square().sum()
    loss, wanted = by_autograd(copy.deepcopy(made), x, variance, n_pairs, 0.7)
    figures = made.gradients(x, variance, n_pairs=n_pairs, difference_weight=0.7)
    torch.testing.assert_close(figures.loss, loss)
    for name, weight in made.weights.items():
        torch.testing.assert_close(weight.grad, wanted[name], atol=1e-6, rtol=1e-4, msg=name)


def test_without_an_auxiliary_loss_dead_features_get_no_gradient():
    made = dictionary(aux_k=0)
    made.silent[:] = 100
    made.gradients(inputs(), torch.tensor(100.0))
    assert (made.columns.grad[made.silent > 0] == 0).all() and (made.silent > 0).any()


def test_bfloat16_products_leave_float32_weights_near_the_exact_gradient():
    exact, rough, x = dictionary(), dictionary(dense=True, dtype=torch.bfloat16), inputs()
    for made in (exact, rough):
        made.gradients(x, torch.tensor(100.0))
    for name, weight in rough.weights.items():
        assert weight.dtype == weight.grad.dtype == torch.float32
        assert (
            torch.cosine_similarity(weight.grad.flatten(), exact.weights[name].grad.flatten(), dim=0) > 0.95
        )


@given(st.integers(1, 40), st.sampled_from([48, 120, 97, 512, 768, 1024]), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_two_stage_search_finds_the_k_largest(k, width, seed):
    a = torch.randn(9, width, generator=torch.Generator().manual_seed(seed))
    values, ids = top_k(a, k)
    assert torch.equal(values, a.gather(1, ids))
    assert torch.equal(ids.sort(1).values, a.topk(k, dim=1).indices.sort(1).values)


def test_a_batch_wide_search_keeps_k_a_position_on_average_and_only_positive_ones():
    a = torch.randn(50, M, generator=torch.Generator().manual_seed(3))
    entries, values = batch_top_k(a, K)
    assert len(values) == 50 * K and values.min() >= a.flatten().topk(50 * K).values.min()
    assert torch.equal(a[entries.rows, entries.ids], values)
    assert (batch_top_k(a - 2, 60)[1] > 0).all()


def test_the_step_keeps_unit_columns_and_writes_the_sae_that_it_trained():
    made, x = dictionary(lr=1e-2), inputs()
    before = made.gradients(x, torch.tensor(100.0)).loss
    for _ in range(30):
        figures = made.step(x, torch.tensor(100.0), 1e-2)
    assert figures.loss < before / 2
    torch.testing.assert_close(made.columns.norm(dim=1), torch.ones(M))
    sae = SAE(D, M, TopK(K))
    made.copy_to(sae)
    with torch.no_grad():
        x_hat, _ = sae(x)
    after = made.gradients(x, torch.tensor(100.0)).loss
    torch.testing.assert_close((x_hat - x).square().sum() / 100, after, atol=1e-5, rtol=1e-4)


def test_the_one_pass_standardisation_is_the_models():
    drawn = torch.randn(40, D, generator=torch.Generator().manual_seed(2))
    h = (drawn * torch.logspace(-2, 3, 40)[:, None] + 7).half()
    torch.testing.assert_close(standardised(h), standardise(h), atol=2e-5, rtol=2e-3)
    assert torch.equal(standardised(torch.full((1, D), 5.0)), torch.zeros(1, D))


def test_entries_know_their_positions():
    entries = Entries(torch.tensor([0, 2, 2, 3]), torch.tensor([4, 1, 0]))
    assert entries.rows.tolist() == [0, 0, 2]
