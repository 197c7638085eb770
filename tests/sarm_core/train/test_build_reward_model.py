"""An ordinary reward model as the backbone of `sarm build`: its own head, from Transformers' own class."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForSequenceClassification

from sarm_core import load_sarm
from sarm_core.errors import CheckpointError
from sarm_core.text.answers import conversation_of
from sarm_core.train.activations import Reader
from sarm_core.train.build import BuildConfig, run_build
from sarm_core.train.explained import share_of_variance, share_of_variance_at_best
from sarm_core.train.original_head import OriginalHead, is_reward_model
from tests.sarm_core.tiny_models import WIDTH, chatml
from tests.sarm_core.train.test_build import dictionary, rows


def reward_model(folder, *, labels=1, pad=1, seed=0):
    """A random Llama with a score head; `chatml` pads with <|im_end|>, which also ends every turn."""
    tokenizer = chatml()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        num_labels=labels,
        pad_token_id=pad,
    )
    torch.manual_seed(seed)
    model = LlamaForSequenceClassification(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("pad", [1, 5, None])
def test_rewards_are_those_of_the_class_on_each_text_alone(tmp_path, pad):
    model = reward_model(tmp_path / "rm", pad=pad)
    reader = Reader(str(tmp_path / "rm"), 2, torch.float32)
    head = OriginalHead(reader, tmp_path / "cache")
    conversations = [
        conversation_of({"prompt": "Is it safe?", "response": text})
        for text in ("Yes.", "No! " * 9, "Never do that")
    ]
    got = head.rewards([*conversations, conversations[0]])
    wanted = []
    for conversation in conversations:
        text = head.format.render(conversation)
        ids = reader.format.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            wanted.append(float(model(ids).logits[0, 0]))
    np.testing.assert_allclose(got, [*wanted, wanted[0]], atol=1e-5)
    assert len(set(np.round(got, 4))) == 3
    again = OriginalHead(reader, tmp_path / "cache")
    again.run = None  # nothing runs twice
    np.testing.assert_array_equal(again.rewards(conversations), got[:3])


def test_several_labels_and_a_head_that_is_not_there_are_refused_by_name(tmp_path):
    reward_model(tmp_path / "three", labels=3)
    with pytest.raises(
        CheckpointError, match=r"LlamaForSequenceClassification with 3 labels .*no one reward"
    ):
        is_reward_model(tmp_path / "three")
    reward_model(tmp_path / "headless")
    tensors = load_file(tmp_path / "headless" / "model.safetensors")
    del tensors["score.weight"]
    save_file(tensors, tmp_path / "headless" / "model.safetensors", metadata={"format": "pt"})
    head = OriginalHead(Reader(str(tmp_path / "headless"), 2, torch.float32), tmp_path / "cache")
    with pytest.raises(CheckpointError, match=r"lacks score\.weight"):
        head.rewards([conversation_of({"prompt": "Is it?", "response": "Yes."})])


def test_variance_is_explained_wholly_by_itself_and_not_at_all_by_nothing():
    rng = np.random.default_rng(0)
    m, v = rng.normal(size=50), rng.random(50)
    assert share_of_variance(m, m, v) == 1 and share_of_variance(m, 0 * m, v) == 0
    assert share_of_variance_at_best(m, -3 * m, v) == pytest.approx(1)
    other = rng.normal(size=50)
    scales = np.linspace(-2, 2, 4001)
    best = max(share_of_variance(m, scale * other, v) for scale in scales)
    assert share_of_variance_at_best(m, other, v) == pytest.approx(best, abs=1e-5)


@pytest.mark.slow
def test_a_sarm_on_a_reward_model_says_how_much_it_explains(tmp_path):
    """Labels are the reward model's own: features of its last block then explain most of its decisions."""
    reward_model(tmp_path / "rm", pad=5)
    reader = Reader(str(tmp_path / "rm"), 2, torch.float32)
    head = OriginalHead(reader, tmp_path / "cache")
    pairs = []
    for row in rows(300):
        texts = [row["chosen"], row["rejected"]]
        r = head.rewards([conversation_of({"prompt": row["prompt"], "response": text}) for text in texts])
        better = int(r[1] > r[0])
        pairs.append({"prompt": row["prompt"], "chosen": texts[better], "rejected": texts[1 - better]})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    out = run_build(
        BuildConfig(
            pairs=[str(tmp_path / "pairs.jsonl")],
            backbone=str(tmp_path / "rm"),
            sae=str(dictionary(tmp_path / "sae")),
            out=str(tmp_path / "sarm"),
            cache=str(tmp_path / "cache"),
        )
    )
    report = json.loads((out / "report.json").read_text())
    assert report["baselines"]["original"]["test"]["all"]["accuracy"] == 1.0
    found = report["explained"]
    assert (
        found["agreement"]["accuracy"] == report["head"]["test"]["all"]["accuracy"]
    )  # they agree where it is right
    assert 0.5 < found["features"]["r2"] <= 1 and 0.5 < found["h"]["r2"] <= 1 and 0 <= found["r2"] <= 1
    assert load_sarm(out).checkpoint.rule == "last-token"
    assert "agrees with the reward model's own head" in (out / "README.md").read_text()
