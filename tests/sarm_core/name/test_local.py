"""A model of Transformers on this machine: it fills in the form, and always says the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sarm_core.cli.parser import main
from sarm_core.errors import SarmError
from sarm_core.name.local import LocalModel
from sarm_core.name.model import FORMS, FeatureFailed, Stopped
from sarm_core.name.replies import BadReply, read_detect
from tests.sarm_core.name.naming_store import naming_store
from tests.sarm_core.tiny_models import VOCABULARY, chatml


def _chat_model(path: Path, positions: int) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    chatml().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny model that chats."""
    return _chat_model(tmp_path_factory.mktemp("chat") / "tiny-chat", 256)


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return LocalModel(str(folder), device="cpu")


TURNS = [{"role": "user", "content": "Which?"}]


@pytest.mark.slow
def test_every_reply_is_the_form_filled_in(model: LocalModel):
    asked: list[int] = []
    for step, form in FORMS.items():
        reply = model.ask(TURNS, form, lambda: asked.append(1))
        found = json.loads(reply.text)
        assert list(found) == [field.key for field in form] and not reply.cut
        assert reply.text == model.ask(TURNS, form, lambda: None).text, "greedy: the same again"
        assert reply.prompt_tokens and reply.reply_tokens
        kinds = {"text": str, "numbers": list, "number": (int, type(None))}
        assert all(isinstance(found[field.key], kinds[field.kind]) for field in form), step
    assert len(asked) == 3 and model.name == "tiny-chat" and model.at_once == 1


def test_what_it_fills_in_is_read_as_strictly(model: LocalModel):
    reply = model.ask(TURNS, FORMS["detect"], lambda: None)
    if json.loads(reply.text)["has"]:
        with pytest.raises(BadReply):
            read_detect(reply.text, 0)


def test_a_prompt_that_is_too_long_fails_its_feature(model: LocalModel):
    with pytest.raises(FeatureFailed, match="the model reads 256; show less"):
        model.ask([{"role": "user", "content": "word " * 400}], FORMS["pair"], lambda: None)


def test_stop_ends_it_before_the_next_token(folder: Path):
    model = LocalModel(str(folder), device="cpu")
    model.stopping.set()
    with pytest.raises(Stopped):
        model.ask(TURNS, FORMS["label"], lambda: None)


@pytest.mark.slow
def test_what_is_no_chat_model_is_one_line(folder: Path, tmp_path: Path):
    with pytest.raises(SarmError, match="no such folder"):
        LocalModel(str(tmp_path / "absent"))
    with pytest.raises(SarmError, match="holds no language model that can be loaded"):
        LocalModel(str(tmp_path))
    bare = tmp_path / "bare"
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(bare)
    tokenizer = chatml()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    with pytest.raises(SarmError, match="has no chat template"):
        LocalModel(str(bare))


@pytest.mark.slow
def test_the_command_runs_it_and_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = _chat_model(tmp_path / "long-chat", positions=8192)
    db = naming_store(tmp_path / "store.db", prompts=12)
    words = ["--local", str(folder), "--features", "0", "--texts", "1", "--detect", "2", "--pairs", "3"]
    code = main(["name", str(db), *words])
    said = capsys.readouterr()
    assert code in (0, 1) and "1 features by long-chat" in said.err
    assert ("#0 failed: no reply to the" in said.err) == (code == 1)
    assert f"{1 - code} of 1 features named by long-chat" in said.out
