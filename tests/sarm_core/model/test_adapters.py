"""An adapter beside the weights gives the rewards and the fingerprint of the model that PEFT merges itself."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from sarm_core import Steering, load_sarm
from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.ship import modeling_sarm  # noqa: F401  registers the model type
from sarm_core.ship.auto import export_auto
from sarm_core.ship.check import LAYOUTS, export_layout
from tests.sarm_core.tiny_models import backbone, reference_checkpoint

ROWS = [{"input_ids": [3, 5, 8, 13, 21, 34]}, {"input_ids": [2, 7, 1]}]
SETTINGS = {
    "lora": {"lora_alpha": 8},
    "ranks": {
        "lora_alpha": 8,
        "use_rslora": True,
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"down_proj": 3},
    },
    "dora": {"lora_alpha": 8, "use_dora": True},
}
pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="PEFT is not installed"),
]


def adapted(model, **settings):
    """`model` with a LoRA whose matrices are all random."""
    from peft import LoraConfig, get_peft_model

    made = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], **settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return made


def beside(folder, made, tmp_path):
    """The adapter's two files laid into `folder`."""
    made.save_pretrained(tmp_path / "adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(tmp_path / "adapter" / name, folder / name)


@pytest.mark.parametrize("kind", SETTINGS)
def test_what_is_read_is_what_peft_merges(kind, tmp_path):
    folder = reference_checkpoint(tmp_path / "base")
    before = load_sarm(folder, dtype="float32")
    plain, mark = before.score(ROWS).rewards, before.fingerprint
    made = adapted(backbone("llama"), **SETTINGS[kind])
    beside(folder, made, tmp_path)
    whole = reference_checkpoint(tmp_path / "merged", model=made.merge_and_unload())
    wanted, found = load_sarm(whole, dtype="float32"), load_sarm(folder, dtype="float32")
    np.testing.assert_array_equal(found.score(ROWS).rewards, wanted.score(ROWS).rewards)
    assert not np.allclose(plain, wanted.score(ROWS).rewards, atol=1e-3)
    assert found.fingerprint == wanted.fingerprint != mark
    for layout in LAYOUTS:
        exported = export_layout(open_checkpoint(folder), Steering(), tmp_path / layout, layout)
        assert not list(exported.rglob("adapter_*"))
        again = load_sarm(exported, dtype="float32").score(ROWS).rewards
        np.testing.assert_allclose(again, wanted.score(ROWS).rewards, atol=1e-5)


def test_a_head_that_was_trained_beside_it_is_the_head(tmp_path):
    folder = export_auto(
        open_checkpoint(reference_checkpoint(tmp_path / "base")), Steering(), tmp_path / "auto"
    )
    plain = load_sarm(folder, dtype="float32").score(ROWS).rewards
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    made = adapted(model, modules_to_save=["score"])
    beside(folder, made, tmp_path)
    merged = made.merge_and_unload().eval()
    with torch.inference_mode():
        wanted = [merged(input_ids=torch.tensor([row["input_ids"]])).logits.item() for row in ROWS]
    found = load_sarm(folder, dtype="float32").score(ROWS).rewards
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.allclose(plain, found, atol=1e-3)


def test_what_belongs_nowhere_and_other_kinds_are_one_line(tmp_path):
    folder = reference_checkpoint(tmp_path / "base")
    beside(folder, adapted(backbone("llama"), lora_alpha=8), tmp_path)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "base_model.model.v_head.weight": torch.ones(1)}, file)
    with pytest.raises(CheckpointError, match=r"v_head\.weight belongs to no tensor"):
        load_sarm(folder)
    save_file(tensors, file)
    place = folder / "adapter_config.json"
    stated = json.loads(place.read_text())
    place.write_text(json.dumps(stated | {"peft_type": "LOHA"}))
    with pytest.raises(CheckpointError, match="kind LOHA is not merged here"):
        load_sarm(folder)
    place.write_text("[")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json cannot be read"):
        load_sarm(folder)
