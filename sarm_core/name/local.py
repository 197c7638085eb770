"""A language model of Transformers in a folder on this machine: its own chat template, greedy.

A small model seldom keeps to a form, so the form is filled in with it: the keys are written for it, and of each
value it writes what comes before the value's end.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError
from sarm_core.name.model import FeatureFailed, Field, Reply, Stopped

__all__ = ["LocalModel"]


class LocalModel:
    """The model in `folder`; "demo" is the embedded backbone. No code of the folder is run and nothing is unpickled.

    Raises SarmError for a folder that holds no language model with a chat template.
    """

    at_once = 1

    def __init__(self, folder: str, *, device: str | None = None):
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
        self.stopping = threading.Event()
        self.name = "SmolLM2-135M-Instruct" if folder == "demo" else path.resolve().name

    def ask(self, turns: list[dict[str, str]], form: Sequence[Field], before: Callable[[], None]) -> Reply:
        """See `Asker.ask`."""
        before()
        text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False) + "{"
        found: dict[str, Any] = {}
        read = written = 0
        for field in form:
            text += f'{", " if found else ""}"{field.key}": {_OPENS[field.kind]}'
            said, n, made = self._go_on(text, field)
            value = found[field.key] = _VALUES[field.kind](said)
            text += json.dumps(value, ensure_ascii=False).removeprefix(_OPENS[field.kind])
            read, written = max(read, n), written + made
        return Reply(json.dumps(found, ensure_ascii=False), False, read, written)

    def _go_on(self, text: str, field: Field) -> tuple[str, int, int]:
        """How the model goes on up to the end of a value; tokens read and written. Raises FeatureFailed."""
        import torch

        ids = self._tokenizer(text, return_tensors="pt", add_special_tokens=False).to(self._model.device)
        n = int(ids["input_ids"].shape[1])
        if n + field.tokens > self._longest:
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
                max_new_tokens=field.tokens,
                pad_token_id=self._tokenizer.eos_token_id,
                stopping_criteria=[_Ended(self._tokenizer, n, _ENDS[field.kind], self.stopping)],
            )[0, n:]
        if self.stopping.is_set():
            raise Stopped("stopped")
        said = self._tokenizer.decode(made, skip_special_tokens=True)
        end = _ENDS[field.kind].search(said)
        return said[: end.start()] if end else said, n, len(made)


_OPENS = {"text": '"', "number": "", "numbers": "["}
_ENDS = {
    "text": re.compile(r'["\n]'),
    "number": re.compile(r"(?<=\d)\D|[^\d\s]"),
    "numbers": re.compile(r"[]\n]"),
}
_VALUES: Mapping[str, Callable[[str], Any]] = {
    "text": lambda said: " ".join(said.split()),
    "number": lambda said: int(said) if said.strip().isdecimal() else None,
    "numbers": lambda said: list(dict.fromkeys(int(i) for i in re.findall(r"\d{1,6}", said))),
}


class _Ended:
    """Stops once a value has its end, or the run is to end."""

    def __init__(self, tokenizer: Any, start: int, end: re.Pattern[str], stopping: threading.Event):
        self._tokenizer, self._start, self._end, self._stopping = tokenizer, start, end, stopping

    def __call__(self, input_ids: Any, _scores: Any, **_more: Any) -> Any:
        import torch

        said = self._tokenizer.decode(input_ids[0, self._start :], skip_special_tokens=True)
        ended = self._stopping.is_set() or self._end.search(said) is not None
        return torch.full((input_ids.shape[0],), ended, dtype=torch.bool, device=input_ids.device)
