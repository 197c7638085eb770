"""What every kind of SAE has to keep, whichever it is: one contract, run over the registry."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse

from feature_db import Store
from sarm_core import Steering, load_sarm
from sarm_core.cli.stores import harvest_into
from sarm_core.errors import CheckpointError
from sarm_core.harvest.harvest import HarvestSettings
from sarm_core.model.checkpoint import Shape, open_checkpoint, read_sae
from sarm_core.model.sae import (
    Dense,
    EvenRows,
    FullRows,
    JumpReLU,
    ReLU,
    Rows,
    SAEKind,
    TopK,
    kind_stated,
    kinds,
    register,
)
from sarm_core.score.encoder import padded
from sarm_core.ship.check import export_layout
from sarm_core.ship.layouts import LAYOUTS, layouts_for
from tests.sarm_core.tiny_models import WIDTH, chatml, own_checkpoint, random_sae

SETTINGS = {"topk": {"k": 6}, "abstopk": {"k": 6}}
"""Of kinds that cannot do without."""
KINDS = {name: kind for name, kind in kinds().items() if kind.__module__.startswith("sarm_core.")}
"""Without toys that another test may have registered."""
M = 64


SET = {
    "topk relu": TopK(20, relu=True),
    "topk as Qwen-Scope has it": TopK(20, relu=True, input="as is", centred=False),
    "relu as SAELens has it": ReLU(input="layer norm"),
    "jumprelu as Llama Scope has it": JumpReLU(input="as is", factor=0.25, centred=False),
    "dense, constant norm": Dense(input="constant norm"),
}
"""Settings that are not at their defaults."""


@pytest.fixture(params=[*sorted(KINDS), *SET])
def kind(request):
    return SET.get(request.param) or KINDS[request.param](**SETTINGS.get(request.param, {}))


@pytest.fixture
def folder(kind, tmp_path):
    return own_checkpoint(tmp_path / "own", kind)


def token_rows(n=9):
    rng = np.random.default_rng(5)
    start = rng.integers(2, 300, 25).tolist()
    rows = [rng.integers(2, 300, int(length)).tolist() for length in rng.integers(1, 40, n)]
    return [{"input_ids": row} for row in [*rows, [*start, 3], [*start, 4, 5]]]


def test_a_checkpoint_reads_back_as_what_was_written(kind, folder, tmp_path):
    checkpoint = open_checkpoint(folder)
    assert checkpoint.shape == Shape(2, M, kind)
    assert json.loads((folder / "sarm.json").read_text())["kind"] == kind.kind
    scorer = load_sarm(folder)
    written = load_file(folder / "sarm.safetensors")
    assert {f"sae.{name}" for name in kind.TENSORS} == set(written) - {"score.weight"}
    for name, tensor in scorer.model.sae.state_dict().items():
        torch.testing.assert_close(tensor, written[f"sae.{name}"], rtol=0, atol=0)
    again = export_layout(checkpoint, Steering(), tmp_path / "again", "own")
    rewards = scorer.score(token_rows()).rewards
    np.testing.assert_array_equal(load_sarm(again).score(token_rows()).rewards, rewards)
    assert open_checkpoint(again).fingerprint() == checkpoint.fingerprint()
    assert len(set(rewards.tolist())) == len(rewards)


def test_alone_batched_padded_and_prefix_shared_agree(folder):
    scorer, rows = load_sarm(folder), token_rows()
    together = scorer.score(rows).rewards
    alone = np.concatenate([scorer.score([row]).rewards for row in rows])
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        scorer.score(rows, share_prefixes=False).rewards, together, rtol=1e-5, atol=1e-5
    )
    for left in (False, True):
        ids, mask = padded(
            [np.array(row["input_ids"]) for row in rows], left=left, device=torch.device("cpu")
        )
        with torch.inference_mode():
            logits = scorer.model(ids, mask).logits[:, 0].numpy()
        np.testing.assert_allclose(logits, together, rtol=1e-5, atol=1e-5)


def test_rows_hold_the_active_features_and_sum_to_the_reward(folder):
    """Against dense arithmetic: what the rows leave out is 0, and ids and activations belong together."""
    scorer, rows = load_sarm(folder), token_rows()
    scored = scorer.score(rows)
    sae, head = scorer.model.sae, scorer.head.astype(np.float64)
    for i, row in enumerate(rows):
        with torch.inference_mode():
            x = sae.inputs(scorer.model.hidden(torch.tensor([row["input_ids"]]))[0, -1:])
            z = sae.encode(x).dense().numpy()[0]
            a = sae.pre_activations(x).numpy()[0]
        ids, values = scored.matrix.activations(i)
        assert (np.diff(ids) > 0).all() and set(np.flatnonzero(z)) <= set(ids.tolist()) <= set(range(M))
        np.testing.assert_allclose(values, z[ids], atol=1e-5)
        np.testing.assert_allclose(z[z != 0], a[z != 0], atol=1e-5)  # every kind here keeps a as it is
        assert scored.contributions(i)[1].sum() == pytest.approx(scored.rewards[i], abs=1e-5)
        assert scored.rewards[i] == pytest.approx(z @ head, abs=1e-4)


def test_a_trace_ends_in_the_scored_activations(folder):
    scorer, row = load_sarm(folder), token_rows()[2]
    trace = scorer.trace(row, list(range(M)))
    z = scorer.score([row]).matrix.csr.toarray()[0]
    np.testing.assert_allclose(trace.activations[-1], z, atol=1e-5)
    everywhere = scorer.encoder.encode(
        [np.array(row["input_ids"], np.int32)], [np.arange(len(row["input_ids"]))]
    )
    np.testing.assert_allclose(trace.activations, everywhere.toarray(), atol=1e-5)


def test_reconstruction_and_gradients_are_those_of_dense_arithmetic(kind):
    sae = random_sae(20, replace(kind, k=5) if isinstance(kind, TopK) else kind)
    x = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(1))
    x_hat, rows = sae(x)
    z = rows.dense()
    torch.testing.assert_close(x_hat, z @ sae.decoder.weight.T + sae.pre_bias)
    head = torch.randn(20, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(rows.weighted(head), z @ head)
    mine = torch.autograd.grad(x_hat.pow(2).sum() + rows.weighted(head).sum(), sae.encoder.weight)[0]
    z = sae.encode(x).dense()
    dense = (z @ sae.decoder.weight.T + sae.pre_bias).pow(2).sum() + (z @ head).sum()
    torch.testing.assert_close(mine, torch.autograd.grad(dense, sae.encoder.weight)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_tiny_corpus_is_harvested(kind, tmp_path):
    folder = own_checkpoint(tmp_path / "own", kind, tokenizer=chatml())
    texts = [f"Answer {i}. It is {'safe' if i % 3 else 'open'}. Yes {i}!" for i in range(12)]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"prompt": "Is it?", "response": text}) + "\n" for text in texts))
    scorer = load_sarm(folder)
    header = harvest_into(
        tmp_path / "store.db",
        scorer,
        [corpus],
        HarvestSettings(positions="scored", top=5, per_band=2, random=2),
    )
    assert header is not None and header["texts"] == 12
    assert header["cofiring"].startswith("not counted") == kind.every_feature
    z = scorer.score([{"prompt": "Is it?", "response": text} for text in texts]).matrix.csr
    fired = np.asarray((z != 0).sum(0)).ravel()
    with Store.open(tmp_path / "store.db", scorer.fingerprint) as store:
        assert store.model.info["kind"] == kind.kind
        counts = {
            row["id"]: row["firing_count"] for row in store.rows("SELECT id, firing_count FROM features")
        }
    assert [counts[i] for i in range(M)] == fired.tolist()


AUTO_KINDS = {"topk", "relu", "jumprelu", "dense"}
"""Kinds that `auto` has to say; one that is added may do without."""


def test_layouts_that_have_no_word_for_a_kind_refuse_it_and_name_one_that_has(kind, folder, tmp_path):
    checkpoint = open_checkpoint(folder)
    offered = layouts_for(checkpoint.shape)
    assert "own" in offered and ("auto" in offered or kind.kind not in AUTO_KINDS)
    for layout in set(LAYOUTS) - set(offered):
        with pytest.raises(CheckpointError) as caught:
            export_layout(checkpoint, Steering(), tmp_path / layout, layout)
        assert f"the {layout} layout has no word for an SAE of kind {kind.kind!r} ({kind.words})" in str(
            caught.value
        )
        assert ("reading h" in str(caught.value)) == (kind.reads != "standardised")
        assert str(caught.value).endswith(f"export it with --layout {' or --layout '.join(sorted(offered))}")
        assert "\n" not in str(caught.value) and not (tmp_path / layout).exists()


def test_kinds_of_one_model_have_fingerprints_of_their_own(tmp_path):
    prints = {}
    made = {name: kind(**SETTINGS.get(name, {})) for name, kind in KINDS.items()} | SET
    for name, kind in made.items():
        folder = own_checkpoint(tmp_path / name.replace(" ", "-"), kind)
        prints[name] = open_checkpoint(folder).fingerprint()
    assert len(set(prints.values())) == len(prints)


@pytest.mark.parametrize("name", SET)
def test_settings_are_arithmetic_that_can_be_done_by_hand(name):
    kind = SET[name]
    sae = random_sae(20, kind)
    h = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 3 + 1
    mean, std = h.mean(1, keepdim=True), h.std(1, keepdim=True)
    x = {
        "standardised": (h - mean) / (std + 1e-6),
        "as is": h,
        "layer norm": (h - mean) / (std + 1e-5),
        "constant norm": h / h.norm(dim=1, keepdim=True) * WIDTH**0.5,
    }[kind.input] * kind.factor
    if kind.centred:
        x = x - sae.pre_bias.double()
    a = (x @ sae.encoder.weight.double().T + sae.latent_bias.double()).detach()
    if isinstance(kind, TopK):
        values, ids = a.topk(kind.k)
        z = torch.zeros_like(a).scatter(1, ids, values).relu()
    else:
        z = (
            torch.where(a > sae.threshold, a, 0)
            if kind.kind == "jumprelu"
            else a.relu()
            if kind.kind == "relu"
            else a
        )
    found = sae.encode(sae.inputs(h.float()))
    np.testing.assert_allclose(found.dense().detach(), z, atol=1e-4)
    assert found.csr().nnz == (z != 0).sum()  # what is silent is not stored


@pytest.mark.parametrize("kind", SET.values())
def test_layouts_without_a_word_for_a_setting_are_not_offered(kind):
    assert kind.in_reference(M) is None and replace(kind, **{"centred": False}).in_reference(M) is None
    assert TopK(6).in_reference(M) == (6, True) and Dense().in_reference(M) == (M, False)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"k": 6, "relu": "yes"}, "relu is 'yes', not true or false"),
        ({"k": 6, "centred": 1}, "centred is 1, not true or false"),
        ({"kind": "relu", "factor": "2"}, "factor is '2', not a finite number"),
        ({"kind": "relu", "input": 3}, "input is 3, not a text"),
        (
            {"kind": "relu", "input": "normed"},
            "input 'normed' is none of as is, constant norm, layer norm",
        ),
        ({"kind": "relu", "factor": -2}, "factor = -2.0 is not positive"),
    ],
)
def test_a_setting_that_is_not_understood_is_one_line(stated, words, tmp_path):
    folder = own_checkpoint(tmp_path / "own", ReLU())
    config = json.loads((folder / "sarm.json").read_text())
    (folder / "sarm.json").write_text(json.dumps({**config, "kind": None, **stated}))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_settings_at_their_defaults_stand_in_no_sarm_json():
    assert TopK(6).to_stated() == {"kind": "topk", "k": 6} and ReLU().to_stated() == {"kind": "relu"}
    stated = SET["topk as Qwen-Scope has it"].to_stated()
    assert stated == {"kind": "topk", "k": 20, "relu": True, "input": "as is", "centred": False}


def test_every_kind_says_in_words_which_features_are_active(kind):
    assert kind.words and "\n" not in kind.words and len(kind.words) < 40


# -- what is stated --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"kind": "gated"}, "kind is 'gated'; SAE kinds that are read: abstopk, dense, "),
        ({"kind": ["topk"]}, "kind is ['topk']"),
        ({"kind": "topk"}, "k is None, not a positive whole number"),
        ({"k": "6"}, "k is '6', not a positive whole number"),
        ({"k": 0}, "k is 0, not a positive whole number"),
        ({"k": True}, "k is True, not a positive whole number"),
        ({"kind": "jumprelu", "k": 6}, "k is 6, but an SAE of kind 'jumprelu' has no k"),
        ({"kind": "dense", "k": 6}, "k is 6, but an SAE of kind 'dense' has no k"),
    ],
)
def test_a_kind_that_is_not_understood_is_refused(stated, words):
    with pytest.raises(CheckpointError) as caught:
        kind_stated(stated, "sarm.json")
    assert str(caught.value).startswith("sarm.json: ") and words in str(caught.value)


def test_without_a_kind_k_says_topk_and_no_k_says_dense():
    assert kind_stated({"k": 6}, "c") == TopK(6)
    assert kind_stated({"k": None}, "c").kind == kind_stated({}, "c").kind == "dense"


def test_a_missing_threshold_is_named(tmp_path):
    folder = own_checkpoint(tmp_path / "own", TopK(6))
    stated = json.loads((folder / "sarm.json").read_text())
    del stated["k"]
    (folder / "sarm.json").write_text(json.dumps({**stated, "kind": "jumprelu"}))
    with pytest.raises(
        CheckpointError, match=r"no tensor sae\.threshold; this file holds no SAE of kind 'jumprelu'"
    ):
        load_sarm(folder)


def test_two_kinds_of_one_name_and_settings_with_a_taken_name_are_refused():
    class Second(JumpReLU):
        pass

    with pytest.raises(ValueError, match="there is an SAE kind 'jumprelu' already"):
        register(Second)

    @dataclass(frozen=True)
    class Taken(JumpReLU):
        layer: int = 0
        kind = "taken"

    with pytest.raises(ValueError, match="a setting cannot be called 'layer'"):
        register(Taken)
    assert "taken" not in kinds() and kinds()["jumprelu"] is JumpReLU


# -- JumpReLU, and rows of different length --------------------------------------------------------------


def test_jumprelu_keeps_what_is_above_each_threshold_and_rows_differ_in_length():
    sae = random_sae(20, JumpReLU(), seed=3)
    x = torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(3))
    rows = sae.encode(x)
    a, threshold = sae.pre_activations(x).detach().numpy(), sae.threshold.detach().numpy()
    wanted = np.where(a > threshold, a, 0.0)
    np.testing.assert_array_equal(rows.dense().detach().numpy(), wanted)
    assert rows.indptr.diff().tolist() == (a > threshold).sum(1).tolist()
    assert len(set(rows.indptr.diff().tolist())) > 3


def test_a_position_where_nothing_fires_scores_0(tmp_path):
    folder = own_checkpoint(tmp_path / "own", JumpReLU())
    scorer = load_sarm(folder)
    scorer.model.sae.threshold.fill_(1e9)
    scored = scorer.score(token_rows())
    assert scored.rewards.tolist() == [0.0] * len(scored) and scored.matrix.n_active.tolist() == [0] * len(
        scored
    )


def test_an_overflow_is_not_taken_for_silence(tmp_path):
    scorer = load_sarm(own_checkpoint(tmp_path / "own", JumpReLU()))
    scorer.model.sae.latent_bias.fill_(float("nan"))
    with pytest.raises(Exception, match="activations overflow"):
        scorer.score(token_rows())


@pytest.mark.parametrize("shape", ["general", "even", "full"])
def test_the_shapes_of_rows_agree_with_dense_arithmetic(shape):
    g = torch.Generator().manual_seed(0)
    a = torch.randn(6, 12, generator=g)
    if shape == "general":
        active = torch.rand(6, 12, generator=g) > 0.6
        active[2] = False
        rows: Rows = Rows.where(active, a)
        z = torch.where(active, a, 0)
    elif shape == "even":
        values, ids = a.topk(4, dim=-1, sorted=False)
        rows = EvenRows(ids, values, 12)
        z = torch.zeros_like(a).scatter(-1, ids, values)
    else:
        rows, z = FullRows(a), a
    assert len(rows) == 6
    vectors, features = torch.randn(12, 5, generator=g), torch.tensor([7, 0, 7, 11])
    torch.testing.assert_close(rows.dense(), z)
    torch.testing.assert_close(rows.combined(vectors), z @ vectors)
    torch.testing.assert_close(rows.weighted(vectors[:, 0]), z @ vectors[:, 0])
    torch.testing.assert_close(rows.of(features), z[:, features])
    assert rows.fired().tolist() == (z != 0).any(0).nonzero()[:, 0].tolist()
    csr = rows.csr()
    np.testing.assert_array_equal(csr.toarray(), z.numpy())
    assert csr.has_sorted_indices and csr.dtype == np.float32 and csr.indices.dtype == np.int32
    general = sparse.csr_matrix((rows.values.numpy(), rows.ids.numpy(), rows.indptr.numpy()), (6, 12))
    np.testing.assert_array_equal(general.toarray(), z.numpy())
    assert rows.positions.tolist() == np.repeat(np.arange(6), np.diff(csr.indptr)).tolist()


def test_a_bare_jumprelu_file_is_read(tmp_path):
    sae = random_sae(12, JumpReLU())
    torch.save(dict(sae.state_dict()), tmp_path / "sae.pt")
    loaded = read_sae(tmp_path / "sae.pt", Shape(2, 12, JumpReLU()))
    assert loaded.kind == "jumprelu" and loaded.words == JumpReLU().words and loaded.width == WIDTH
    torch.testing.assert_close(loaded.threshold, sae.threshold)


def test_a_setting_at_its_default_is_in_no_fingerprint():
    @dataclass(frozen=True)
    class Before(JumpReLU):
        kind = "other"

    @dataclass(frozen=True)
    class After(Before):
        gain: float = 1.0

    assert Shape(2, 4, Before()).identity() == Shape(2, 4, After()).identity()
    assert Shape(2, 4, After(2.0)).identity() == {"layer": 2, "n_features": 4, "kind": "other", "gain": 2.0}
    assert Shape(2, 4, TopK(3)).identity() == {"layer": 2, "n_features": 4, "k": 3}
    assert issubclass(After, SAEKind)
