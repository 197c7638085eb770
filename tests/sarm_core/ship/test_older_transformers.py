"""What an export says for Transformers 4 is what Transformers 5 says.

benchmarks/loaders.py reads exports with the older ones.
"""

import json

import pytest
from tokenizers import Tokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sarm_core import Steering
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.ship.export import export
from sarm_core.ship.older_transformers import config_for_older
from tests.sarm_core.tiny_models import LLAMA3_ROPE, backbone, llama3, mistral, reference_checkpoint

SCALED = {key: value for key, value in LLAMA3_ROPE.items() if key != "rope_theta"} | {"type": "llama3"}
BOTH = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
CASES = {
    "llama": (LLAMA3_ROPE, {"rope_theta": 500000.0, "rope_scaling": SCALED}),
    "qwen3": ({"rope_type": "default", "rope_theta": 1e6}, {"rope_theta": 1e6, "rope_scaling": None}),
    "gpt_neox": (
        {"rope_type": "default", "rope_theta": 7e4, "partial_rotary_factor": 0.5},
        {"rotary_emb_base": 7e4, "rotary_pct": 0.5, "rope_scaling": None},
    ),
    "stablelm": (
        {"rope_type": "default", "rope_theta": 7e4, "partial_rotary_factor": 0.5},
        {"rope_theta": 7e4, "partial_rotary_factor": 0.5, "rope_scaling": None},
    ),
    "gemma3_text": (
        BOTH,
        {
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 8.0},
        },
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_rope_is_said_in_the_old_words_and_read_by_transformers_5_as_before(kind):
    rope, words = CASES[kind]
    config = CONFIG_MAPPING[kind](rope_parameters=rope).to_dict()
    said = config_for_older(config, "bfloat16")
    assert {key: said[key] for key in words} == words
    again = CONFIG_MAPPING[kind].from_dict(json.loads(json.dumps(said))).rope_parameters
    for key, value in rope.items():
        if isinstance(value, dict):
            assert {k: again[key][k] for k in value} == value
        else:
            assert again[key] == value


def test_a_config_in_old_words_stays_as_it_is_and_a_dtype_is_stated_once_in_each():
    old = {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": SCALED, "torch_dtype": "float16"}
    said = config_for_older(old, "bfloat16")
    assert said == {**old, "dtype": "float16"}
    assert config_for_older({"dtype": None}, "bfloat16")["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize("made", [llama3, mistral])
def test_the_exported_tokenizer_is_one_that_every_version_knows(made, tmp_path):
    tokenizer = made()
    source = reference_checkpoint(
        tmp_path / "source", model=backbone("llama", vocabulary=len(tokenizer)), tokenizer=tokenizer
    )
    target = export(open_checkpoint(source), Steering(), tmp_path / "target", "reference")
    stated = json.loads((target / "tokenizer_config.json").read_text())
    assert stated["tokenizer_class"] == "PreTrainedTokenizerFast" and "extra_special_tokens" not in stated
    core = json.loads((target / "tokenizer.json").read_text())
    assert core["model"]["merges"] and all(isinstance(pair, str) for pair in core["model"]["merges"])
    # It adds no BOS to the one that the template writes.
    text = "Is it safe to mix them?\n"
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert Tokenizer.from_file(str(target / "tokenizer.json")).encode(text).ids == plain
    assert json.loads((target / "config.json").read_text())["id2label"] == {"0": "LABEL_0"}
