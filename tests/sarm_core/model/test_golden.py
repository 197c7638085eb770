"""Agreement with the golden figures (1e-4): of an oracle of its own (tests/golden), and of the reference implementation
where they lie beside the project; and with ourselves (1e-5)."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarm_core import Steering, load_sarm
from sarm_core.find.contrast import contrast
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.score.encoder import padded
from sarm_core.ship.export import export

REFERENCE = {"atol": 1e-4, "rtol": 0}
OURS = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def loaded(golden):
    folder, expected = golden
    return load_sarm(folder, dtype="float32"), expected


# Stores, labels and kept encodings belong to a model by its fingerprint: these digits never change.
FINGERPRINTS = {
    "Seeded_Latent256_Layer2_K12_1B-SARM-TopK-LastToken-1": (
        "2e9466cdb0f2bb482e51750c492e735d281dc95bab887de623fdd6e0e48e9046"
    ),
    "Seeded_Latent256_Layer3_K12_1B-SARM-woTopK-LastToken-1": (
        "a52439996938e39423e7896d2771629ba1bc8ed8122c31fd1da129d376305555"
    ),
    "demo": "108b5e17f40759757aaff229550b6b8ab8733ac228ff198bbf999f2af0ea5989",
    "Tiny_Latent256_Layer2_K12_1B-SARM-TopK-LastToken-1": (
        "c6e6b396d64d2e8caeb02a7140f934856692df2533b3cb0f28e7449586856cad"
    ),
    "Tiny_Latent256_Layer3_K12_1B-SARM-woTopK-LastToken-1": (
        "25929cb49c35bf2fa7d1ad52fa5977e9dfcfc72a5d1a3bfc2ebb508cd22f4443"
    ),
}


def test_the_fingerprints_are_what_they_were(golden):
    folder, _ = golden
    assert open_checkpoint(folder).fingerprint() == FINGERPRINTS[folder.name]


@pytest.mark.slow
def test_the_demo_s_fingerprint_is_what_it_was():
    assert open_checkpoint("demo").fingerprint() == FINGERPRINTS["demo"]


def rows_of(expected):
    return [{"input_ids": example["input_ids"]} for example in expected["examples"]]


def figures(expected, key):
    return np.array([example[key] for example in expected["examples"]])


def test_rewards_and_active_features_are_the_reference_ones(loaded):
    scorer, expected = loaded
    scored = scorer.score(rows_of(expected))
    np.testing.assert_allclose(scored.rewards, figures(expected, "reward"), **REFERENCE)
    assert scored.matrix.n_active.tolist() == figures(expected, "n_active").tolist()
    for row, example in enumerate(expected["examples"]):
        ids, z = scored.matrix.activations(row)
        mine = dict(zip(ids.tolist(), z.tolist(), strict=True))
        wanted = {int(i): value for i, value in example["features"].items()}
        assert set(wanted) <= set(mine)
        if not scorer.model.sae.every_feature:
            assert set(wanted) == set(mine)
        for i, value in wanted.items():
            assert mine[i] == pytest.approx(value, abs=1e-4)
            assert scored.matrix.head[i] == pytest.approx(example["head_weights"][str(i)], abs=1e-6)


def test_steered_rewards_are_the_reference_ones(loaded, tmp_path):
    scorer, expected = loaded
    (tmp_path / "s.json").write_text(json.dumps(expected["steering"]))
    steering = Steering.read(tmp_path / "s.json")
    scored = scorer.score(rows_of(expected))
    wanted = figures(expected, "reward_steered")
    np.testing.assert_allclose(steering.rewards(scored.matrix), wanted, **REFERENCE)
    np.testing.assert_allclose(scored.steered(steering).rewards, wanted, **REFERENCE)


def test_contrast_scores_are_the_reference_ones(loaded):
    scorer, expected = loaded
    matrix = scorer.score(rows_of(expected)).matrix
    sides = expected["contrast"]
    chosen, rejected = matrix.select(sides["chosen"]), matrix.select(sides["rejected"])
    result = contrast(chosen, rejected, resamples=0)
    sums = np.asarray(chosen.csr.sum(0) + rejected.csr.sum(0), dtype=np.float64).ravel()
    divisor = np.abs(sums + sums.mean())
    for feature, wanted in sides["scores"].items():
        # A sum is right to 1e-5. Where sums of mixed signs nearly cancel, the division makes more of that: one
        # processor's float32 products gave 182.41 where another's gave 182.39, over a divisor of 0.01.
        error = 1e-5 * (1 + abs(wanted)) / divisor[int(feature)]
        assert result.scores[int(feature)] == pytest.approx(wanted, rel=0, abs=error)


@pytest.mark.slow
def test_alone_batched_padded_on_either_side_and_prefix_shared_agree(loaded):
    scorer, expected = loaded
    rows = rows_of(expected)
    base = max((row["input_ids"] for row in rows), key=len)
    rows += [{"input_ids": [*base[:-9], 50 + i, 60 + i, base[-1]]} for i in range(4)]
    together = scorer.score(rows).rewards
    np.testing.assert_allclose(scorer.score(rows, share_prefixes=False).rewards, together, **OURS)
    alone = np.concatenate([scorer.score([row]).rewards for row in rows])
    np.testing.assert_allclose(alone, together, **OURS)
    for left in (False, True):
        ids, mask = padded(
            [np.array(row["input_ids"]) for row in rows], left=left, device=torch.device("cpu")
        )
        with torch.inference_mode():
            logits = scorer.model(ids, mask).logits[:, 0].numpy()
        np.testing.assert_allclose(logits, together, **OURS)


def test_text_is_refused_because_the_checkpoint_has_no_tokenizer(loaded):
    scorer, _ = loaded
    with pytest.raises(Exception, match=r"row 2: the checkpoint ships no tokenizer.*input_ids"):
        scorer.score([{"input_ids": [1]}, {"prompt": "a", "response": "b"}])


@pytest.mark.slow
def test_the_same_weights_in_every_layout_score_the_same(golden, tmp_path):
    folder, expected = golden
    rows, wanted = rows_of(expected), figures(expected, "reward")
    shape = open_checkpoint(folder).shape
    fingerprint = load_sarm(folder).fingerprint

    neutral = shutil.copytree(folder, tmp_path / "neutral")
    config = json.loads((neutral / "config.json").read_text())
    config["sarm_param"] = {
        "sae_latent_size": shape.n_features,
        "sae_k": 12,
        "sae_source_layer": shape.layer,
        "sae_use_sequence_level": True,
        "sarm_use_activation": not shape.sae.every_feature,
    }
    config["auto_map"] = {"AutoModel": "modeling_sarm.LlamaSARM", "AutoConfig": "modeling_sarm.Config"}
    (neutral / "modeling_sarm.py").write_text("raise SystemExit('remote code was run')")
    (neutral / "config.json").write_text(json.dumps(config))

    sharded = shutil.copytree(neutral, tmp_path / "sharded")
    tensors = load_file(sharded / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for part in (0, 1):
        file = f"model-{part + 1:05d}-of-00002.safetensors"
        save_file({n: tensors[n] for n in names[part::2]}, sharded / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names[part::2], file)
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    own = export(open_checkpoint(folder), Steering(), tmp_path / "own")
    exported = export(open_checkpoint(folder), Steering(), tmp_path / "exported", "reference")
    for place in (neutral, sharded, own, exported):
        scorer = load_sarm(place, dtype="float32")
        np.testing.assert_allclose(scorer.score(rows).rewards, wanted, **REFERENCE)
        assert scorer.fingerprint == fingerprint, place.name


def test_a_vocabulary_with_an_added_padding_token_scores_the_same(golden, tmp_path):
    folder, expected = golden
    copy = shutil.copytree(folder, tmp_path / folder.name)
    tensors = load_file(copy / "model.safetensors")
    table = tensors["model.embed_tokens.weight"]
    n = len(table)
    tensors["model.embed_tokens.weight"] = torch.cat([table, table.mean(0, keepdim=True)])
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "vocab_size": n + 1, "pad_token_id": n}))
    scorer = load_sarm(copy, dtype="float32")
    np.testing.assert_allclose(
        scorer.score(rows_of(expected)).rewards, figures(expected, "reward"), **REFERENCE
    )
    scorer.score([{"input_ids": [n]}])
    with pytest.raises(Exception, match=f"outside the vocabulary of {n + 1}"):
        scorer.score([{"input_ids": [n + 1]}])


@pytest.mark.slow
def test_an_exported_steering_gives_plain_rewards_equal_to_the_steered_ones(golden, tmp_path):
    folder, expected = golden
    steering = Steering.from_json(json.dumps(expected["steering"]))
    for layout in ("own", "reference"):
        place = export(open_checkpoint(folder), steering, tmp_path / layout, layout)
        rewards = load_sarm(place, dtype="float32").score(rows_of(expected)).rewards
        np.testing.assert_allclose(rewards, figures(expected, "reward_steered"), **REFERENCE)
