"""Batching, prefix sharing and threads are only about speed: they never change a feature."""

import math
import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import sarm_core.score.encoder as encoding
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.model.cut import cut_after
from sarm_core.model.sarm import SARM
from sarm_core.score.encoder import Encoder, plan_batches, shared_prefixes
from tests.sarm_core.tiny_models import (
    KINDS,
    VOCABULARY,
    WIDTH,
    WINDOW,
    random_sae,
    reference_checkpoint,
)


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory):
    """A SARM of each architecture, cut after 3 of 4 blocks, windows shorter than the texts."""
    folder = reference_checkpoint(tmp_path_factory.mktemp(request.param) / "c", request.param, layer=3)
    return open_checkpoint(folder).build(dtype=torch.float32, device="cpu")


def texts(seed=0):
    """Prompts with several answers, singles, duplicates, one text inside another; lengths around the window."""
    rng = np.random.default_rng(seed)

    def ids(n):
        return rng.integers(2, VOCABULARY, n)

    system = ids(20)
    out = [ids(n) for n in (1, 2, WINDOW, 3 * WINDOW)]
    for prompt, answers in ((30, 4), (5, 3), (WINDOW + 20, 2), (17, 1)):
        head = np.concatenate([system, ids(prompt)])
        out += [np.concatenate([head, ids(int(rng.integers(1, 40)))]) for _ in range(answers)]
    out += [out[5], out[5][:-3], np.concatenate([out[5], ids(4)])]
    return [sequence.astype(np.int32) for sequence in out]


def same(left, right, atol=1e-5):
    """Equal active features; their activations equal to `atol`."""
    assert left.shape == right.shape
    np.testing.assert_array_equal(left.indptr, right.indptr)
    np.testing.assert_array_equal(left.indices, right.indices)
    np.testing.assert_allclose(left.data, right.data, atol=atol)


# -- prefix sharing --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("budget", [64, 300, 4096])
def test_sharing_prefixes_and_batching_change_no_feature(model, budget):
    sequences = texts()
    alone = [Encoder(model).encode([s], share_prefixes=False) for s in sequences]
    shared = Encoder(model, budget).encode(sequences)
    apart = Encoder(model, budget).encode(sequences, share_prefixes=False)
    assert any(prefix for prefix, _ in shared_prefixes(sequences, [len(s) - 1 for s in sequences]))
    for i, wanted in enumerate(alone):
        same(shared[i], wanted)
        same(apart[i], wanted)


HYBRIDS = {
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "head_dim": 8,
    },
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "mamba": {"state_size": 4},
}
"""Decoders whose layers keep other states than keys and values."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", HYBRIDS)
def test_a_backbone_with_other_states_reads_every_prompt_anew(kind):
    """Two answers to one prompt ended in a traceback, or (Mamba) were continued as another text."""
    config = CONFIG_MAPPING[kind](
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        **HYBRIDS[kind],
    )
    torch.manual_seed(0)
    built = AutoModel.from_config(config).float().eval()
    model = SARM(cut_after(built, 3), random_sae(64, 6))
    encoder = Encoder(model)
    assert encoder.why_not_shared
    sequences = texts()
    alone = [encoder.encode([s]) for s in sequences]
    for i, row in enumerate(encoder.encode(sequences)):
        same(row, alone[i], atol=1e-4)


def test_a_backbone_of_plain_attention_shares(model):
    assert Encoder(model).why_not_shared is None


@pytest.mark.slow
def test_several_positions_of_one_text_keep_their_order_and_their_features(model):
    sequences = texts(1)
    rng = np.random.default_rng(3)
    positions = [np.sort(rng.permutation(len(s))[: rng.integers(0, 5)]) for s in sequences]
    got = Encoder(model, 200).encode(sequences, positions)
    wanted = [
        Encoder(model).encode([s[: p + 1]], share_prefixes=False)
        for s, where in zip(sequences, positions, strict=True)
        for p in where
    ]
    assert got.shape[0] == len(wanted)
    for row, one in enumerate(wanted):
        same(got[row], one)


def test_texts_without_a_wanted_position_cost_no_row_even_when_they_are_equal(model):
    twins = [np.arange(2, 40, dtype=np.int32)] * 3
    none = np.array([], dtype=np.int64)
    assert Encoder(model).encode(twins, [none] * 3).shape == (0, 64)
    assert Encoder(model).encode(twins, [none, np.array([5]), none]).shape == (1, 64)
    assert Encoder(model).encode([]).shape == (0, 64)


def test_hidden_states_come_in_the_order_of_the_positions(model):
    sequences = texts(2)[:9]
    positions = [np.array([0, len(s) - 1]) if len(s) > 1 else np.array([0]) for s in sequences]
    got = Encoder(model, 128).hidden(sequences, positions)
    wanted = []
    with torch.inference_mode():
        for s, where in zip(sequences, positions, strict=True):
            h = model.hidden(torch.from_numpy(s.astype(np.int64))[None])[0]
            wanted += [h[p].numpy() for p in where]
    np.testing.assert_allclose(got, np.array(wanted), atol=1e-4)


def savings(groups):
    return sum(prefix * (len(members) - 1) for prefix, members in groups)


def common_prefix(parts):
    n = 0
    while all(len(p) > n for p in parts) and len({int(p[n]) for p in parts}) == 1:
        n += 1
    return n


def partitions(items):
    if not items:
        yield []
        return
    first, *rest = items
    for partition in partitions(rest):
        yield [[first], *partition]
        for i, group in enumerate(partition):
            yield [*partition[:i], [first, *group], *partition[i + 1 :]]


def nested_texts(seed):
    """Up to 6 sequences that branch off each other, and positions that must not be shared."""
    r = random.Random(seed)
    sequences = [[r.randint(0, 1) for _ in range(40)]]
    for _ in range(r.randint(0, 5)):
        source = r.choice(sequences)
        sequences.append(
            source[: r.randint(0, len(source))] + [r.randint(0, 2) for _ in range(r.randint(1, 9))]
        )
    limits = [len(s) - 1 if r.random() < 0.7 else r.randint(0, len(s) - 1) for s in sequences]
    return [np.array(s, dtype=np.int32) for s in sequences], limits


@pytest.mark.slow
@settings(max_examples=120)
@given(st.integers(0, 10**6), st.sampled_from([1, 16]))
def test_shared_prefixes_save_as_much_as_the_best_of_all_partitions(seed, shortest):
    sequences, limits = nested_texts(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "MIN_SHARED", shortest)
        groups = shared_prefixes(sequences, limits)
    assert sorted(i for _, members in groups for i in members) == list(range(len(sequences)))
    for prefix, members in groups:
        assert (prefix == 0) == (len(members) == 1)
        assert prefix == 0 or prefix >= shortest
        assert all(prefix <= limits[i] for i in members)
        assert common_prefix([sequences[i][: limits[i]] for i in members]) >= prefix
    best = 0
    for partition in partitions(list(range(len(sequences)))):
        prefixes = [common_prefix([sequences[i][: limits[i]] for i in g]) for g in partition]
        best = max(
            best,
            sum(p * (len(g) - 1) for p, g in zip(prefixes, partition, strict=True) if p >= shortest),
        )
    assert savings(groups) == best


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.integers(1, 300),
    st.integers(1, 300),
    st.randoms(use_true_random=False),
)
def test_batches_hold_every_member_once_and_keep_to_the_budgets(lengths, budget, pass_budget, r):
    indices = list(range(len(lengths)))
    r.shuffle(indices)
    groups, at = [], 0
    while at < len(indices):
        size = r.randint(1, 5)
        members = indices[at : at + size]
        at += size
        prefix = r.randint(1, min(lengths[i] for i in members)) if len(members) > 1 else 0
        groups.append((prefix, members))
    batches = plan_batches(lengths, groups, budget, pass_budget)
    assert sorted(i for batch in batches for i in batch.members) == sorted(indices)
    for batch in batches:
        longest = max(prefix for prefix, _ in batch.groups)
        assert len(batch.groups) * longest <= budget or len(batch.groups) == 1 or longest == 0
        assert len({prefix > 0 for prefix, _ in batch.groups}) == 1
        prefix_of = {i: prefix for prefix, members in batch.groups for i in members}
        assert sorted(prefix_of) == sorted(batch.members)
        for members in batch.passes:
            rest = max(lengths[i] - prefix_of[i] for i in members)
            assert len(members) * rest <= pass_budget or len(members) == 1
            most = encoding.REPEATED * budget if longest else math.inf
            assert len(members) * (longest + rest) <= most or len(members) == 1


def test_little_is_computed_beside_what_a_list_of_pairs_holds():
    """Two answers to each of many prompts, of lengths as they occur: what the passes take, padding included."""
    rng = np.random.default_rng(0)
    prompts, rests = (
        rng.gamma(2.0, 40.0, 500).astype(int) + 16,
        rng.gamma(1.5, 40.0, (500, 2)).astype(int) + 2,
    )
    lengths = (prompts[:, None] + rests).ravel().tolist()
    groups = [(int(prompt), (2 * g, 2 * g + 1)) for g, prompt in enumerate(prompts)]
    needed = int(prompts.sum() + rests.sum())
    computed = 0
    for batch in plan_batches(lengths, groups, 4096, 512):
        prefix_of = {i: prefix for prefix, members in batch.groups for i in members}
        computed += len(batch.groups) * max(prefix_of.values())
        computed += sum(len(part) * max(lengths[i] - prefix_of[i] for i in part) for part in batch.passes)
    assert needed < 0.8 * sum(lengths) and needed <= computed < 1.2 * needed


def test_sharing_computes_each_prompt_once(model, monkeypatch):
    """The claim behind the speed: tokens that go through the model, counted where they enter it."""
    rng = np.random.default_rng(0)
    prompt = rng.integers(2, VOCABULARY, 120)
    answers = [np.concatenate([prompt, rng.integers(2, VOCABULARY, 30)]).astype(np.int32) for _ in range(8)]
    seen = []
    real = type(model).hidden
    monkeypatch.setattr(
        type(model),
        "hidden",
        lambda self, ids, *a, **kw: (seen.append(ids.numel()), real(self, ids, *a, **kw))[1],
    )
    Encoder(model).encode(answers)
    assert sum(seen) == 120 + 8 * 30
    seen.clear()
    Encoder(model).encode(answers, share_prefixes=False)
    assert sum(seen) == 8 * 150


def test_the_autoencoder_meets_scored_positions_only(model, monkeypatch):
    met = []
    real = type(model.sae).pre_activations
    monkeypatch.setattr(
        type(model.sae), "pre_activations", lambda self, x: (met.append(len(x)), real(self, x))[1]
    )
    sequences = texts()
    Encoder(model).encode(sequences)
    assert sum(met) == len(sequences)


# -- one text, all tokens --------------------------------------------------------------------------------


def test_a_trace_ends_in_the_encoding_and_equals_it_at_every_token(model):
    sequence = texts()[6]
    encoder = Encoder(model)
    everything = np.arange(len(sequence))
    wanted = encoder.encode([sequence], [everything]).toarray()
    got = encoder.trace(sequence, list(range(64)))
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    np.testing.assert_array_equal(got != 0, wanted != 0)
    np.testing.assert_allclose(got[-1], encoder.encode([sequence]).toarray()[0], atol=1e-5)
    some = encoder.trace(sequence, [9, 3, 9])
    np.testing.assert_allclose(some, wanted[:, [9, 3, 9]], atol=1e-5)


def test_a_trace_keeps_k_features_a_token_even_when_activations_tie(model):
    with torch.no_grad():
        before = model.sae.latent_bias.clone()
        model.sae.latent_bias.fill_(0.0)
        weight = model.sae.encoder.weight.clone()
        model.sae.encoder.weight.copy_(weight[:1].expand_as(weight))  # all features tie everywhere
        try:
            trace = Encoder(model).trace(texts()[6], list(range(64)))
            assert ((trace != 0).sum(1) <= 6).all()
        finally:
            model.sae.latent_bias.copy_(before)
            model.sae.encoder.weight.copy_(weight)


# -- progress, cancelling, threads -----------------------------------------------------------------------


def test_progress_counts_every_token_and_ends_at_the_total(model):
    calls = []
    sequences = texts()
    Encoder(model, 100).encode(sequences, progress=lambda done, total: calls.append((done, total)))
    total = sum(map(len, sequences))
    assert len(calls) > 3 and calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


class Stopped(Exception):
    """What an app raises from its progress callback."""


def test_raising_in_the_callback_stops_after_that_batch_and_leaves_the_encoder_usable(model):
    calls = []

    def stop(done, total):
        calls.append(done)
        raise Stopped

    encoder = Encoder(model, 100)
    with pytest.raises(Stopped):
        encoder.encode(texts(), progress=stop)
    assert len(calls) == 1
    assert encoder.encode(texts()).shape[0] == len(texts())


@pytest.mark.slow
def test_many_threads_get_the_results_of_one(model):
    encoder = Encoder(model, 256)
    inputs = [texts(seed)[:9] for seed in range(4)]
    wanted = [encoder.encode(sequences) for sequences in inputs]
    failures = []

    def work(i):
        try:
            for _ in range(2):
                same(encoder.encode(inputs[i]), wanted[i])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
