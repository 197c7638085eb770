"""The cut backbone gives exactly the residual stream after block L, for every kind of decoder we claim."""

import gc
import json

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from sarm_core.errors import CheckpointError
from sarm_core.model.backbone import cut_backbone
from sarm_core.model.cut import cut_after
from sarm_core.model.sarm import SARM, last_attended, position_ids_of
from tests.sarm_core.tiny_models import (
    BLOCKS,
    KINDS,
    VOCABULARY,
    WIDTH,
    backbone,
    random_sae,
    reference_checkpoint,
)


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory):
    """(kind, uncut model, its folder), saved as Hugging Face saves a backbone."""
    folder = tmp_path_factory.mktemp(request.param) / "backbone"
    model = backbone(request.param)
    model.save_pretrained(folder)
    return request.param, model, folder


def ids_of(n, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(2, VOCABULARY, (n, length)))


@pytest.mark.parametrize("layer", range(1, BLOCKS))
@torch.no_grad()
def test_h_is_hidden_states_L_of_the_uncut_model(saved, layer):
    _, uncut, folder = saved
    sarm = SARM(cut_backbone(folder, layer, torch.float32).eval(), random_sae(8, 2))
    ids = ids_of(2, 40)
    wanted = uncut(ids, output_hidden_states=True).hidden_states[layer]
    torch.testing.assert_close(sarm.hidden(ids), wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(
        wanted, uncut(ids, output_hidden_states=True).hidden_states[layer - 1], atol=1e-2
    )


@torch.no_grad()
def test_the_final_norm_is_not_applied_even_after_the_last_block(saved):
    kind, uncut, folder = saved
    cut = cut_backbone(folder, BLOCKS, torch.float32).eval()
    ids = ids_of(1, 30)
    norm = uncut.ln_f if kind == "gpt2" else uncut.norm
    h = SARM(cut, random_sae(8, 2)).hidden(ids)
    wanted = uncut(ids).last_hidden_state
    torch.testing.assert_close(norm(h), wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(h, wanted, atol=1e-2)


@torch.no_grad()
def test_padding_on_either_side_changes_nothing(saved):
    _, _, folder = saved
    sarm = SARM(cut_backbone(folder, 3, torch.float32).eval(), random_sae(32, 4))
    torch.nn.init.normal_(sarm.score.weight)
    rows = [ids_of(1, n, seed=n)[0] for n in (25, 9, 17)]
    alone = torch.cat([sarm(row[None]).logits for row in rows])
    width = max(map(len, rows))
    for left in (False, True):
        ids, mask = torch.full((3, width), 1), torch.zeros(3, width, dtype=torch.int64)
        for i, row in enumerate(rows):
            where = slice(width - len(row), width) if left else slice(0, len(row))
            ids[i, where], mask[i, where] = row, 1
        torch.testing.assert_close(sarm(ids, mask).logits, alone, atol=1e-5, rtol=1e-5)


def test_a_sliding_window_is_really_shorter_than_the_text(saved):
    """Otherwise the tests above would say nothing about it: far tokens must not reach the last one in one block."""
    kind, _, folder = saved
    sarm = SARM(cut_backbone(folder, 1, torch.float32).eval(), random_sae(8, 2))
    ids = ids_of(1, 40)
    other = ids.clone()
    other[0, 5] += 1
    with torch.no_grad():
        same = torch.equal(sarm.hidden(ids)[0, -1], sarm.hidden(other)[0, -1])
    assert same == (kind in ("gemma2", "mistral"))  # Qwen 3's window starts after its first block here


class CountingFile:
    """Stands in for `safe_open`'s result and notes which tensors are materialised."""

    def __init__(self, opened, read):
        self._opened, self._read = opened, read

    def __getattr__(self, name):
        return getattr(self._opened, name)

    def __enter__(self):
        self._opened.__enter__()
        return self

    def __exit__(self, *info):
        return self._opened.__exit__(*info)

    def get_tensor(self, name):
        self._read.add(name)
        return self._opened.get_tensor(name)

    def get_slice(self, name):
        part, read = self._opened.get_slice(name), self._read

        class Slice:
            def __getitem__(self, where):
                read.add(name)
                return part[where]

            def __getattr__(self, attribute):
                return getattr(part, attribute)

        return Slice()


@pytest.mark.parametrize("kind", KINDS)
def test_no_tensor_of_the_blocks_after_L_is_read_and_what_was_read_is_let_go(kind, tmp_path, monkeypatch):
    """What is read of a mapped file counts as memory until it is closed: beside the model, `HELD` bytes at a time."""
    import sarm_core.model.tensor_files as loading

    folder = tmp_path / kind
    backbone(kind).save_pretrained(folder)
    openings: list[set[str]] = []
    real = safetensors.safe_open

    def opened(*a, **kw):
        mine: set[str] = set()
        openings.append(mine)
        return CountingFile(real(*a, **kw), mine)

    monkeypatch.setattr(loading, "safe_open", opened)
    monkeypatch.setattr(loading, "HELD", 0)
    cut_backbone(folder, 2, torch.bfloat16)
    read = set().union(*openings)
    late = [name for name in read if any(f".{block}." in f".{name}" for block in range(2, BLOCKS))]
    early = [name for name in read if any(f".{block}." in f".{name}" for block in range(2))]
    assert early, "the counter saw no read at all: it no longer stands where the files are read"
    assert not late
    assert max(map(len, openings)) == 1
    openings.clear()
    cut_backbone(folder, 2, torch.float32)
    assert max(map(len, openings)) == len(read), "what stays as it is stored comes from one opening"


@pytest.mark.parametrize("was_on", [True, False])
def test_garbage_is_collected_again_after_a_load_and_after_a_refused_one(was_on: bool, tmp_path):
    backbone("llama").save_pretrained(tmp_path)
    try:
        (gc.enable if was_on else gc.disable)()
        cut_backbone(tmp_path, 2, torch.float32)
        assert gc.isenabled() == was_on
        tensors = load_file(tmp_path / "model.safetensors")
        save_file({n: t for n, t in tensors.items() if "0." not in n}, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError):
            cut_backbone(tmp_path, 2, torch.float32)
        assert gc.isenabled() == was_on
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_without_the_later_blocks_and_the_norm_loads(kind, tmp_path):
    folder = tmp_path / kind
    backbone(kind).save_pretrained(folder)
    whole = cut_backbone(folder, 2, torch.float32)
    tensors = load_file(folder / "model.safetensors")
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not any(f".{block}." in f".{name}" for block in range(2, BLOCKS))
        and name not in ("norm.weight", "ln_f.weight", "ln_f.bias")
    }
    assert len(kept) < len(tensors) - 1
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    for name, tensor in cut_backbone(folder, 2, torch.float32).state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[name])


def test_a_missing_tensor_of_a_needed_block_is_named_and_never_left_random(tmp_path):
    folder = tmp_path / "llama"
    backbone("llama").save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks layers\.1\.mlp\.up_proj\.weight"):
        cut_backbone(folder, 2, torch.float32)
    cut_backbone(folder, 1, torch.float32)


@pytest.mark.parametrize("wrong", [0, BLOCKS + 1])
def test_a_block_that_the_decoder_has_not_is_refused(wrong, tmp_path):
    backbone("gemma2").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="this backbone has 4 blocks"):
        cut_backbone(tmp_path, wrong, torch.float32)


def test_something_that_is_no_decoder_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    model.config = backbone("llama").config
    with pytest.raises(CheckpointError, match="not a known decoder"):
        cut_after(model, 2)


def test_the_last_real_token_comes_from_the_mask():
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]])
    assert last_attended(mask).tolist() == [2, 4, 4, 1]
    assert position_ids_of(mask)[1].tolist() == [0, 0, 0, 1, 2]


@torch.no_grad()
def test_a_text_full_of_the_pad_token_is_scored_at_its_real_end():
    """pad == eos in many tokenizers: the pad id inside a text must not be taken for padding."""
    sarm = SARM(cut_after(backbone("llama"), 2), random_sae(32, 4))
    torch.nn.init.normal_(sarm.score.weight)
    ids = torch.tensor([[5, 1, 7, 1, 9, 1]])
    assert sarm.config.pad_token_id == 1
    padded = torch.tensor([[5, 1, 7, 1, 9, 1, 1, 1], [4, 3, 2, 4, 3, 2, 4, 3]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0], [1] * 8])
    torch.testing.assert_close(sarm(padded, mask).logits[0], sarm(ids).logits[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(sarm(ids[:, :1]).logits, sarm(ids).logits)


def test_sae_and_head_stay_in_float32_whatever_the_backbone(tmp_path):
    from sarm_core.model.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(reference_checkpoint(tmp_path / "c"))
    model = checkpoint.build(dtype=torch.bfloat16, device="cpu")
    assert next(model.model.parameters()).dtype == torch.bfloat16
    assert {p.dtype for p in [*model.sae.parameters(), model.score.weight]} == {torch.float32}
    output = model(torch.tensor([[3, 4, 5]]))
    assert output.logits.dtype == torch.float32 and output.logits.shape == (1, 1)


def test_state_dict_names_are_the_reference_ones(tmp_path):
    from sarm_core.model.checkpoint import open_checkpoint

    folder = reference_checkpoint(tmp_path / "c", layer=BLOCKS)
    mine = set(open_checkpoint(folder).build(dtype=torch.float32, device="cpu").state_dict())
    assert mine == set(load_file(folder / "model.safetensors")) - {"model.norm.weight"}


def test_the_width_of_sae_and_backbone_must_agree(tmp_path):
    from sarm_core.model.checkpoint import open_checkpoint

    folder = reference_checkpoint(tmp_path / "c", n_features=16, k=4)
    tensors = load_file(folder / "model.safetensors")
    wide = {"sae.pre_bias": 24, "sae.encoder.weight": (16, 24), "sae.decoder.weight": (24, 16)}
    tensors |= {name: torch.zeros(shape) for name, shape in wide.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"vectors of 24 numbers, but the backbone's are {WIDTH} wide"):
        open_checkpoint(folder).build(dtype=torch.float32, device="cpu")
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == WIDTH
