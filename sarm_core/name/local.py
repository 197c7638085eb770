"""A language model of Transformers in a folder on this machine: its own chat template, greedy.

A small model seldom keeps to a form, so its reply is begun for it and ends with the first whole JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError
from sarm_core.name.model import FeatureFailed, Reply

__all__ = ["LocalModel"]


class LocalModel:
    """The model in `folder`; "demo" is the embedded backbone. No code of the folder is run and nothing is unpickled.

    Raises SarmError for a folder that holds no language model with a chat template.
    """

    at_once = 1

    def __init__(self, folder: str, *, device: str | None = None, reply_tokens: int = 400):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from sarm_core.model.embedded import ensure_backbone

        path = ensure_backbone() if folder == "demo" else Path(folder).expanduser()
        if not path.is_dir():
            raise SarmError(
                f'{folder}: no such folder; --local takes the folder of a language model, or "demo"'
            )
        try:
            how: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), **how)
            model: Any = AutoModelForCausalLM.from_pretrained(
                str(path), use_safetensors=True, dtype="auto", **how
            )
        except Exception as error:  # transformers raises many kinds for folders that are something else
            reason = " ".join(str(error).split())[:200]
            raise SarmError(f"{folder}: holds no language model that can be loaded ({reason})") from None
        if not self._tokenizer.chat_template:
            raise SarmError(f"{folder}: has no chat template, so it cannot be asked anything")
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(where).eval()
        if where == "cpu":
            self._model = self._model.float()
        self._longest = int(getattr(model.config, "max_position_embeddings", None) or 4096)
        self._reply_tokens = reply_tokens
        self.name = "SmolLM2-135M-Instruct" if folder == "demo" else path.resolve().name

    def ask(self, turns: list[dict[str, str]], begin: str, before: Callable[[], None]) -> Reply:
        """See `Asker.ask`."""
        import torch

        before()
        text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False) + begin
        ids = self._tokenizer(text, return_tensors="pt", add_special_tokens=False).to(self._model.device)
        n = int(ids["input_ids"].shape[1])
        if n + self._reply_tokens > self._longest:
            raise FeatureFailed(
                f"the prompt has {n:,} tokens and the model reads {self._longest:,}; show less"
            )
        with torch.inference_mode():
            made = self._model.generate(
                **ids,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=self._reply_tokens,
                pad_token_id=self._tokenizer.eos_token_id,
                stopping_criteria=[_Whole(self._tokenizer, n, begin)],
            )[0, n:]
        reply = begin + self._tokenizer.decode(made, skip_special_tokens=True)
        end = _end_of_object(reply)
        return Reply(reply if end is None else reply[:end], end is None, n, len(made))


class _Whole:
    """Stops once the reply holds a whole JSON object."""

    def __init__(self, tokenizer: Any, start: int, begin: str):
        self._tokenizer, self._start, self._begin = tokenizer, start, begin

    def __call__(self, input_ids: Any, _scores: Any, **_more: Any) -> Any:
        import torch

        text = self._begin + self._tokenizer.decode(input_ids[0, self._start :], skip_special_tokens=True)
        whole = "}" in text and _end_of_object(text) is not None
        return torch.full((input_ids.shape[0],), whole, dtype=torch.bool, device=input_ids.device)


def _end_of_object(text: str) -> int | None:
    """Where the first JSON object ends that the text begins with; None where none does."""
    try:
        found, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return end if isinstance(found, dict) else None
