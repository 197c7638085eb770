"""What the reference layout promises: a reader that knows nothing of this project gets the steered rewards."""

import json

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from sarm_core import Steering, load_sarm
from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import Shape, open_checkpoint
from sarm_core.model.sae import Dense, TopK
from sarm_core.ship import modeling_sarm  # noqa: F401  registers the model type, as the folder's own copy does
from sarm_core.ship.auto import export_auto
from sarm_core.ship.check import check_export, trial
from sarm_core.ship.export import export, reference_name
from sarm_core.text.answers import conversation_of
from tests.sarm_core.reference_reader import ReferenceReader, shape_in_name
from tests.sarm_core.tiny_models import (
    CHATML,
    KINDS,
    PLAIN,
    backbone,
    chatml,
    gemma,
    llama3,
    mistral,
    reference_checkpoint,
)

OWN_TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|im_end|>\n--\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
ROWS = [
    {"prompt": "Is it safe?", "response": "Yes, if the room is aired."},
    {"prompt": "Is it safe?", "response": "I'm sorry, I can't help with that.\n\nThank you."},
    {"prompt": "The quick brown fox", "response": "jumps over the lazy dog. " * 12},
]
CASES = {
    "as it comes": {},
    "scored is the last token": {"rule": "last-token"},
    "scored is a named token": {"rule": "<|im_end|>"},
    "own template": {"chat_template": OWN_TEMPLATE},
    "template without special tokens": {"chat_template": PLAIN},
    "short limit": {"max_length": 12},
    "all of it": {"rule": "<|im_end|>", "chat_template": OWN_TEMPLATE, "max_length": 21},
}
TOKENIZERS = {"chatml": chatml, "llama3": llama3, "gemma": gemma, "mistral": mistral}


def checkpoint(tmp_path, tokenizer=None, **stated):
    """A checkpoint in the own layout that states `stated`, with room for the tokenizer's tokens."""
    tokenizer = tokenizer or chatml()
    source = reference_checkpoint(
        tmp_path / "reference", model=backbone("llama", vocabulary=len(tokenizer)), tokenizer=tokenizer
    )
    own = export(open_checkpoint(source), Steering(), tmp_path / "own", "own")
    told = json.loads((own / "sarm.json").read_text())
    if "rule" in stated:
        told["scored_token"] = {"rule": stated.pop("rule")}
    (own / "sarm.json").write_text(json.dumps({**told, **stated}))
    return own


def steered(source, rows=ROWS):
    scored = load_sarm(source, dtype="float32").score(rows)
    ids, _ = scored.matrix.activations(0)
    steering = Steering(scale={int(ids[0]): -1.5, int(ids[1]): 0.0, int(ids[2]): 3.0})
    rewards = scored.steered(steering).rewards
    assert not np.allclose(rewards, scored.rewards, atol=1e-3)
    return steering, rewards


def by_transformers(folder, rows=ROWS):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for row in rows:
        turns = [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["response"]},
        ]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        batch = tokenizer([text], return_tensors="pt", add_special_tokens=False, truncation=True)
        found.append(model(batch["input_ids"], batch["attention_mask"]).logits.item())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_reader_gets_the_steered_rewards_whatever_the_checkpoint_states(case, tmp_path):
    source = checkpoint(tmp_path, **CASES[case])
    steering, wanted = steered(source)
    opened = open_checkpoint(source)
    reference = export(opened, steering, tmp_path / "out", "reference")
    np.testing.assert_allclose([ReferenceReader(reference).reward(row) for row in ROWS], wanted, atol=1e-5)
    np.testing.assert_allclose(load_sarm(reference, dtype="float32").score(ROWS).rewards, wanted, atol=1e-5)
    auto = export_auto(opened, steering, tmp_path / "auto")
    np.testing.assert_allclose(by_transformers(auto), wanted, atol=1e-5)
    scorer = load_sarm(source, dtype="float32")
    rows = [conversation_of(row) for row in ROWS]
    asked = trial(scorer, rows, steering)
    assert check_export(reference, "reference", asked).holds
    assert check_export(auto, "auto", asked).holds


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_templates_with_and_without_bos_and_what_follows_the_end_of_turn_are_read_alike(name, tmp_path):
    source = checkpoint(tmp_path, TOKENIZERS[name]())
    steering, wanted = steered(source)
    reference = export(open_checkpoint(source), steering, tmp_path / "out", "reference")
    np.testing.assert_allclose([ReferenceReader(reference).reward(row) for row in ROWS], wanted, atol=1e-5)
    auto = export_auto(open_checkpoint(source), steering, tmp_path / "auto")
    np.testing.assert_allclose(by_transformers(auto), wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("k", [6, None])
@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_of_every_backbone_give_the_steered_rewards(kind, k, tmp_path):
    rows = [{"input_ids": ids} for ids in ([3, 5, 8, 13, 21, 34], [2, 7, 1], [9] * 30)]
    source = reference_checkpoint(tmp_path / "source", kind, k=k)
    steering, wanted = steered(source, rows)
    folder = export(open_checkpoint(source), steering, tmp_path / "out", "reference")
    got = [ReferenceReader(folder).reward(row) for row in rows]
    np.testing.assert_allclose(got, wanted, atol=1e-5, rtol=5e-6)


@pytest.mark.slow
def test_a_scored_token_that_no_such_reader_can_find_is_refused_and_nothing_written(tmp_path):
    named = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
        "{{ '<|im_end|>' if loop.index == 2 else '.' }}\n{% endfor %}"
    )
    source = checkpoint(tmp_path, chat_template=named)
    with pytest.raises(CheckpointError, match="cannot find the token that is scored here"):
        export(open_checkpoint(source), Steering(), tmp_path / "out", "reference")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    export(open_checkpoint(source), Steering(), tmp_path / "fine", "own")


@pytest.mark.slow
def test_the_prompt_alone_is_rendered_as_before(tmp_path):
    source = checkpoint(tmp_path)
    folder = export(open_checkpoint(source), Steering(), tmp_path / "out", "reference")
    turn = [{"role": "user", "content": "Is it safe?"}]
    before, after = (AutoTokenizer.from_pretrained(f) for f in (tmp_path / "reference", folder))
    assert before.chat_template == CHATML
    for more in ({"add_generation_prompt": True},):
        assert after.apply_chat_template(turn, tokenize=False, **more) == before.apply_chat_template(
            turn, tokenize=False, **more
        )


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"rule": 3}, "rule is 3, not a text"),
        ({"max_length": -1}, "max_length is -1, not a positive"),
        ([], "must be an object"),
    ],
)
def test_a_broken_entry_in_the_config_is_one_line(stated, words, tmp_path):
    folder = reference_checkpoint(tmp_path / "source")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sarm_explorer": stated}))
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(folder)


@pytest.mark.parametrize("shape", [Shape(15, 4608, TopK(64)), Shape(3, 256, Dense())])
def test_the_proposed_folder_name_states_the_sizes_to_the_scripts_that_read_names(shape):
    name = reference_name(shape)
    assert shape_in_name(name) == (shape.n_features, shape.layer, getattr(shape.sae, "k", shape.n_features))
    assert Shape.from_name(name) == shape
