"""The exported folder, loaded by transformers alone, gives the steered rewards."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sarm_core import Steering, load_sarm
from sarm_core.errors import CheckpointError, SarmError, SteeringError
from sarm_core.model.checkpoint import Shape, open_checkpoint
from sarm_core.model.sae import AbsTopK, Dense, JumpReLU, ReLU, TopK
from sarm_core.ship import modeling_sarm  # registers the model type, as the folder's own copy does
from sarm_core.ship.auto import export_auto
from sarm_core.ship.check import export_layout
from sarm_core.ship.export import sae_tensors, write_own
from sarm_core.ship.layouts import LAYOUTS
from tests.sarm_core.tiny_models import KINDS, backbone, chatml, random_sae, reference_checkpoint

CLOSE = {"atol": 1e-5, "rtol": 5e-6}  # the dense rewards are sums of 64 terms of size 20, in float32
ROWS = [[3, 5, 8, 13, 21, 34], [2, 7, 1], [9] * 30]


def steered(source):
    """A steering of three active features, and the rewards of ROWS under it."""
    scored = load_sarm(source, dtype="float32").score([{"input_ids": ids} for ids in ROWS])
    ids, _ = scored.matrix.activations(0)
    steering = Steering(scale={int(ids[0]): -1.5, int(ids[1]): 0.0, int(ids[2]): 3.0})
    rewards = scored.steered(steering).rewards
    assert not np.allclose(rewards, scored.rewards, atol=1e-3)
    return steering, rewards


def padded(rows, left):
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), 1)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, where], mask[i, where] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.slow
@pytest.mark.parametrize("k", [6, None])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_steered_rewards_alone_and_padded_on_either_side(kind, k, tmp_path):
    source = reference_checkpoint(tmp_path / "source", kind, k=k)
    steering, wanted = steered(source)
    target = export_auto(open_checkpoint(source), steering, tmp_path / "target")
    model, report = AutoModelForSequenceClassification.from_pretrained(target, output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"]
    with torch.inference_mode():
        for left in (False, True):
            output = model.eval()(**padded(ROWS, left))
            np.testing.assert_allclose(output.logits[:, 0].numpy(), wanted, **CLOSE)
        alone = [model(**padded([row], False)).logits.item() for row in ROWS]
    np.testing.assert_allclose(alone, wanted, **CLOSE)
    assert ((output.hidden_states[0] != 0).sum(-1) == (k or 64)).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_load_sarm_reads_the_folder_and_every_layout_is_made_of_it_again(kind, tmp_path):
    source = reference_checkpoint(tmp_path / "source", kind, k=None if kind == "qwen3" else 6)
    steering, wanted = steered(source)
    target = export_auto(open_checkpoint(source), steering, tmp_path / "target")
    fingerprints = set()
    for folder in (target, *(again(target, tmp_path / layout, layout) for layout in LAYOUTS)):
        read = load_sarm(folder, dtype="float32")
        np.testing.assert_allclose(
            read.score([{"input_ids": ids} for ids in ROWS]).rewards, wanted, rtol=0, atol=1e-5
        )
        fingerprints.add(read.fingerprint)
    assert len(fingerprints) == 1


def again(folder, target, layout):
    return export_layout(open_checkpoint(folder), Steering(), target, layout)


DICTIONARIES = {
    f"{name}, {reads}": replace(kind, input=reads, factor=factor, centred=centred)
    for name, kind in {
        "topk": TopK(6),
        "topk relu": TopK(40, relu=True),
        "abstopk": AbsTopK(6),
        "jumprelu": JumpReLU(),
        "relu": ReLU(),
        "dense": Dense(),
    }.items()
    for reads, factor, centred in (
        ("standardised", 0.5, True),
        ("as is", 0.25, False),
        ("layer norm", 1.0, True),
        ("constant norm", 1.0, False),
    )
}
"""What public dictionaries are read as (docs/dictionaries.md): every kind with every input."""


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder")
    backbone("llama").save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", DICTIONARIES)
def test_a_sarm_on_a_public_dictionary_is_the_same_one_in_transformers_and_read_back(name, decoder, tmp_path):
    """Also from what a trainer saves."""
    kind, sae = DICTIONARIES[name], random_sae(64, DICTIONARIES[name])
    head = torch.randn(64, generator=torch.Generator().manual_seed(1)).numpy()
    (source := tmp_path / "source").mkdir()
    write_own(
        source,
        shape=Shape(2, 64, kind),
        tensors=sae_tensors(sae),
        head=head,
        backbone=str(decoder),
        rule="last-token",
    )
    scorer = load_sarm(source, dtype="float32")
    wanted = scorer.score([{"input_ids": ids} for ids in ROWS])
    target = export_auto(scorer.checkpoint, Steering(), tmp_path / "target")
    model = AutoModelForSequenceClassification.from_pretrained(target).eval()
    with torch.inference_mode():
        output = model(**padded(ROWS, left=True), output_hidden_states=True)
    np.testing.assert_allclose(output.logits[:, 0].numpy(), wanted.rewards, **CLOSE)
    np.testing.assert_allclose(output.hidden_states[0].numpy(), wanted.matrix.csr.toarray(), **CLOSE)
    model.save_pretrained(tmp_path / "saved")
    for folder in (target, tmp_path / "saved"):
        read = load_sarm(folder, dtype="float32")
        assert read.checkpoint.shape.sae == kind and read.fingerprint == scorer.fingerprint
        scored = read.score([{"input_ids": ids} for ids in ROWS])
        np.testing.assert_array_equal(scored.matrix.csr.toarray(), wanted.matrix.csr.toarray())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt_neox", "mamba", "falcon"])
def test_a_backbone_with_a_language_head_and_a_prefix_of_its_own_leaves_in_every_layout(kind, tmp_path):
    """GPT-NeoX calls its tensors gpt_neox.* and its head embed_out, Mamba backbone.*: not what Llama says."""
    sizes = {
        "vocab_size": 300,
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    sizes |= {"state_size": 8} if kind == "mamba" else {"num_attention_heads": 2, "intermediate_size": 40}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**sizes, pad_token_id=1)).float()
    model.save_pretrained(tmp_path / "decoder")
    (source := tmp_path / "source").mkdir()
    write_own(
        source,
        shape=Shape(2, 64, TopK(6)),
        tensors=sae_tensors(random_sae(64, 6)),
        head=torch.randn(64).numpy(),
        backbone=str(tmp_path / "decoder"),
        rule="last-token",
    )
    scorer = load_sarm(source, dtype="float32")
    wanted = scorer.score([{"input_ids": ids} for ids in ROWS]).rewards
    for layout in LAYOUTS:
        read = load_sarm(again(source, tmp_path / layout, layout), dtype="float32")
        np.testing.assert_array_equal(read.score([{"input_ids": ids} for ids in ROWS]).rewards, wanted)
        assert read.fingerprint == scorer.fingerprint
    model, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "auto", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    with torch.inference_mode():
        alone = [model.eval()(**padded([row], False)).logits.item() for row in ROWS]
    np.testing.assert_allclose(alone, wanted, **CLOSE)


@pytest.mark.parametrize("changes", [{"kind": "gated"}, {"input": "whitened"}])
def test_the_class_refuses_a_word_that_it_does_not_know(changes, decoder):
    config = {"backbone": json.loads((decoder / "config.json").read_text()), "layer": 2, "n_features": 4}
    with pytest.raises(ValueError, match="is not known here"):
        AutoModelForSequenceClassification.from_config(modeling_sarm.SARMConfig(**config, **changes))


@pytest.mark.parametrize("cast", ["autocast", "to"])
def test_dictionary_and_head_compute_in_float32_whatever_the_backbone_does(cast, tmp_path):
    source = reference_checkpoint(tmp_path / "source")
    model = AutoModelForSequenceClassification.from_pretrained(
        export_auto(open_checkpoint(source), Steering(), tmp_path / "target"), dtype=torch.float32
    ).eval()
    before = {name: value.clone() for name, value in model.state_dict().items() if "model." not in name}
    kept = []
    model.model.layers[-1].register_forward_hook(lambda _m, _i, out: kept.append(out))
    if cast == "to":
        model.to(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=cast == "autocast"):
        logits = model(input_ids=torch.tensor([ROWS[0]])).logits
    sarm = load_sarm(source, dtype="float32").model
    with torch.inference_mode():
        wanted = sarm.reward(sarm.codes(kept[0][0, -1:].float()))
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits[:, 0].numpy(), wanted.numpy(), atol=1e-5)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert cast == "autocast" or model.model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": 0}, "layer is 0, not a positive whole number"),
        ({"k": "6"}, "k is '6', not a positive whole number"),
        ({"n_features": None}, "n_features is None"),
        ({"backbone": "llama"}, "backbone must be the object"),
        ({"kind": "gated"}, "kind is 'gated'; SAE kinds that are read: "),
        ({"input": "whitened"}, "input 'whitened' is none of "),
        ({"factor": 0}, "factor = 0.0 is not positive"),
        ({"centred": "no"}, "centred is 'no', not true or false"),
        ({"layer": 9}, "reads block 9, but this backbone has 4 blocks"),
    ],
)
def test_a_broken_config_of_the_layout_is_one_line(changes, words, tmp_path):
    source = reference_checkpoint(tmp_path / "source")
    target = export_auto(open_checkpoint(source), Steering(), tmp_path / "target")
    place = target / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))
    with pytest.raises(CheckpointError, match=words):
        load_sarm(target)


@pytest.mark.slow
def test_text_through_the_folder_s_own_tokenizer_is_scored_at_the_end_of_turn(tmp_path):
    source = reference_checkpoint(tmp_path / "source", tokenizer=chatml())
    messages = [
        {"role": "user", "content": "Is it safe?"},
        {"role": "assistant", "content": "Yes, if aired."},
    ]
    wanted = load_sarm(source, dtype="float32").score([{"messages": messages}]).rewards
    target = export_auto(open_checkpoint(source), Steering(), tmp_path / "target")
    model = AutoModelForSequenceClassification.from_pretrained(target).eval()
    tokenizer = AutoTokenizer.from_pretrained(target)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    batch = tokenizer([text], return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    np.testing.assert_allclose(logits[:, 0].numpy(), wanted, atol=1e-5)


@pytest.mark.slow
def test_the_folder_loads_without_an_import_where_its_file_may_be_run(tmp_path):
    """By `trust_remote_code=True` alone, from what was saved again too; without it Transformers refuses."""
    source = reference_checkpoint(tmp_path / "source")
    steering, wanted = steered(source)
    target = export_auto(open_checkpoint(source), steering, tmp_path / "target")
    local = AutoModelForSequenceClassification.from_pretrained(target)  # this process knows the class
    assert local.__class__ is modeling_sarm.SARMForSequenceClassification
    local.save_pretrained(tmp_path / "saved")
    local.save_pretrained(target)  # where it lies
    code = f"""
import sys, torch
from transformers import AutoModelForSequenceClassification as A, AutoTokenizer
for folder in {[str(target), str(tmp_path / "saved"), str(tmp_path / "again")]!r}:
    try:
        A.from_pretrained(folder)
    except ValueError as error:
        assert "trust_remote_code=True" in str(error), error
    else:
        assert not folder.endswith("target")  # the file registers its model type
    model, report = A.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    print("\\nreward", model.eval()(input_ids=torch.tensor([{ROWS[0]}])).logits.item())
    assert not any(p.requires_grad for p in model.sae.parameters())
    model.save_pretrained({str(tmp_path / "again")!r})
assert not [name for name in sys.modules if name.startswith("sarm_core") or name == "modeling_sarm"]
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"},
    )
    assert run.returncode == 0, run.stderr
    rewards = [float(line.split()[1]) for line in run.stdout.splitlines() if line.startswith("reward ")]
    np.testing.assert_allclose(rewards, wanted[0], atol=1e-5)
    assert len(rewards) == 3
    read = load_sarm(tmp_path / "again", dtype="float32")  # and here nothing of it was run
    np.testing.assert_allclose(
        read.score([{"input_ids": ids} for ids in ROWS]).rewards, wanted, rtol=0, atol=1e-5
    )


@pytest.mark.slow
def test_the_folder_needs_nothing_of_this_project(tmp_path):
    source = reference_checkpoint(tmp_path / "source")
    steering, wanted = steered(source)
    target = export_auto(open_checkpoint(source), steering, tmp_path / "target")
    code = (
        "import sys, torch, modeling_sarm\n"
        "from transformers import AutoModelForSequenceClassification as A\n"
        f"logits = A.from_pretrained({str(target)!r}).eval()(input_ids=torch.tensor([{ROWS[0]}])).logits\n"
        "assert not [name for name in sys.modules if name.startswith('sarm_core')]\n"
        "print(logits.item())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=True)
    assert float(run.stdout) == pytest.approx(float(wanted[0]), abs=1e-5)


def test_what_cannot_be_folded_or_would_overwrite_leaves_nothing(tmp_path):
    source = open_checkpoint(reference_checkpoint(tmp_path / "source"))
    with pytest.raises(SteeringError, match="no head weight can express"):
        export_auto(source, Steering(set={1: 2.0}), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(SarmError, match="not an empty folder"):
        export_auto(source, Steering(), tmp_path / "full")
