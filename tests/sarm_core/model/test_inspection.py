"""`sarm inspect` says what a thing is, by names and headers alone."""

import json
import os
import shutil
import sqlite3
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from sarm_core import Steering, load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.model.inspection import inspect_path
from sarm_core.ship.check import export_layout
from sarm_core.ship.layouts import LAYOUTS
from tests.sarm_core.tiny_models import backbone, chatml, random_sae, reference_checkpoint

D, M = 16, 64


@pytest.fixture(scope="module")
def sarm(tmp_path_factory):
    tokenizer = chatml()
    model = backbone("llama", vocabulary=len(tokenizer))
    return reference_checkpoint(tmp_path_factory.mktemp("sarm") / "tiny", model=model, tokenizer=tokenizer)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sarm_is_told_in_each_layout(layout, sarm, tmp_path):
    found = inspect_path(export_layout(open_checkpoint(sarm), Steering(), tmp_path / "out", layout))
    assert found.kind == f"sarm/{layout}" and found.problem is None and "score" in found.can[0]
    wanted = {"layer": 2, "n_features": M, "active": "k 6", "backbone": "llama", "reads_text": True}
    assert wanted.items() <= found.facts.items()


def test_torch_files_are_read_without_running_what_lies_in_them(tmp_path):
    names = {"W_enc": (M, D), "W_dec": (D, M), "b_enc": (M,), "b_dec": (D,)}
    folder = tmp_path / "SAE-Res-Tiny-W1K-L0_6"
    folder.mkdir()
    torch.save({name: torch.zeros(shape) for name, shape in names.items()}, folder / "layer7.sae.pt")
    found = inspect_path(folder / "layer7.sae.pt")
    assert (found.kind, found.facts["layer"], found.facts["active"]) == ("sae/qwen-scope", 8, "k 6, positive")
    shutil.copy(folder / "layer7.sae.pt", folder / "layer8.sae.pt")
    found = inspect_path(folder)
    assert found.kind == "sae/qwen-scope" and found.facts["files"] == ["layer7.sae.pt", "layer8.sae.pt"]
    assert "holds 2 dictionaries" in found.problem and "layer7" in found.can[0]
    torch.save(random_sae(M, 6).state_dict(), tmp_path / "bare.pt")
    found = inspect_path(tmp_path / "bare.pt")
    assert found.kind == "sae/bare" and "states no k" in found.problem and not found.can

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-run"),)

    torch.save({"W_enc": Evil(), "W_dec": 1, "b_enc": 1, "b_dec": 1}, tmp_path / "evil.pt")
    with zipfile.ZipFile(tmp_path / "evil.pt") as opened:  # it would run
        assert any(b"was-run" in opened.read(name) for name in opened.namelist() if name.endswith("data.pkl"))
    found = inspect_path(tmp_path / "evil.pt")
    assert found.kind == "unknown" and "holds more than tensors" in found.problem
    assert not (tmp_path / "was-run").exists()


def test_what_loading_refuses_is_not_called_usable(sarm, tmp_path):
    folder = shutil.copytree(sarm, tmp_path / "sarm")
    file = folder / "model.safetensors"
    inside = {"model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.zeros(2, 4)}
    save_file({**load_file(file), **inside}, file, {"format": "pt"})
    found = inspect_path(folder)
    assert "lora_A" in found.problem and not found.can
    with pytest.raises(CheckpointError, match="lora_A"):
        load_sarm(folder)
    other = tmp_path / "t5"
    other.mkdir()
    save_file({"shared.weight": torch.zeros(2)}, other / "model.safetensors", {"format": "pt"})
    (other / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert "another stack" in inspect_path(other).problem and not inspect_path(other).can
    (tmp_path / "noise.pt").write_bytes(bytes(range(256)))
    assert inspect_path(tmp_path / "noise.pt").kind == "unknown"


def test_models_adapters_trainers_pointers_and_other_files(sarm, tmp_path):
    model = backbone("llama")
    model.save_pretrained(tmp_path / "lm")
    found = inspect_path(tmp_path / "lm")
    assert found.kind == "language-model" and found.facts["blocks"] == 4 and "train-sae" in found.can[1]
    place = tmp_path / "lm" / "config.json"
    stated = json.loads(place.read_text()) | {"architectures": ["LlamaForSequenceClassification"]}
    place.write_text(json.dumps(stated | {"quantization_config": {"quant_method": "fp8"}}))
    found = inspect_path(tmp_path / "lm")
    assert found.kind == "reward-model" and found.facts["quantised"] == "fp8"
    (tmp_path / "lm" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    assert "git lfs pull" in inspect_path(tmp_path / "lm").problem
    assert inspect_path(tmp_path / "lm" / "model.safetensors").kind == "git-lfs-pointer"

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    assert inspect_path(adapter).facts == {"method": "LORA", "rank": 4}

    for step in (500, 1000):
        (tmp_path / "run" / f"checkpoint-{step}").mkdir(parents=True)
    found = inspect_path(tmp_path / "run")
    assert found.kind == "trainer-folder" and found.can[0].endswith("checkpoint-1000")
    with pytest.raises(CheckpointError, match="checkpoint-1000"):
        open_checkpoint(tmp_path / "run")

    with sqlite3.connect(tmp_path / "x.db") as db:
        db.execute("create table a (b)")
    assert inspect_path(tmp_path / "x.db").kind == "feature-store"
    (tmp_path / "x.gguf").write_bytes(b"GGUF\3\0\0\0")
    assert inspect_path(tmp_path / "x.gguf").kind == "gguf"
    (tmp_path / "x.txt").write_text("hello")
    assert inspect_path(tmp_path / "x.txt").kind == "unknown"
    weights = inspect_path(sarm / "model.safetensors")
    assert weights.kind == "tensors" and "give its folder" in weights.what


def test_a_sarm_with_a_fault_says_which(sarm, tmp_path):
    place = tmp_path / "broken" / "config.json"
    place.parent.mkdir()
    stated = json.loads((sarm / "config.json").read_text())
    stated["sarm_param"]["sae_k"] = "six"
    place.write_text(json.dumps(stated))
    found = inspect_path(place.parent)
    assert found.kind == "sarm/reference" and "sae_k is 'six'" in found.problem and not found.can


def test_the_command_prints_lines_and_json(sarm, tmp_path, capsys):
    assert main(["inspect", str(sarm), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["layer"], told["n_features"]) == ("sarm/reference", 2, M) and told["can"]
    assert main(["inspect", str(sarm)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("sarm/reference: a SARM") and "active        k 6" in out
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "\x1b[31mLORA\nx"}))
    assert main(["inspect", str(tmp_path)]) == 0
    assert "\x1b" not in (out := capsys.readouterr().out) and "LORA\\nx" in out
    assert main(["inspect", str(tmp_path / "nothing")]) == 2
    assert "no such folder" in capsys.readouterr().err
