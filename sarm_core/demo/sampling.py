"""Let the embedded language model answer a prompt several times, so that a newcomer has answers to compare."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from sarm_core.errors import SarmError
from sarm_core.model.backbone import native_bfloat16, quietly
from sarm_core.model.embedded import ensure_backbone
from sarm_core.model.hf import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, StoppingCriteriaList

__all__ = ["Sampled", "Sampler", "load_sampler"]

MAX_PROMPT = 1024


@dataclass(frozen=True)
class Sampled:
    """One sampled answer; `finished` is False when it ran into the token limit."""

    text: str
    finished: bool


class _Report(StoppingCriteria):
    """Calls `progress(tokens done, tokens at most)` after every step; a True answer stops."""

    def __init__(self, progress: Callable[[int, int], object], start: int, limit: int):
        self.progress, self.start, self.limit = progress, start, limit

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.BoolTensor:
        stop = self.progress(input_ids.shape[1] - self.start, self.limit) is True
        return torch.full((input_ids.shape[0],), stop, device=input_ids.device, dtype=torch.bool)  # type: ignore[return-value]


class Sampler:
    """The embedded backbone with all its blocks, as a chat model. Safe to share between threads."""

    def __init__(self) -> None:
        folder = ensure_backbone()
        with quietly():
            self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            self.model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.bfloat16 if native_bfloat16() else torch.float32,
                trust_remote_code=False,
                local_files_only=True,
            ).eval()
        self._lock = threading.Lock()

    def sample(
        self,
        prompt: str,
        n: int,
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.9,
        top_p: float = 0.95,
        seed: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Sampled]:
        """`n` answers to `prompt`; the same seed gives the same answers on one machine.

        With temperature 0 all answers would be alike, so n is 1 then. Raises SarmError for an empty or
        over-long prompt (the prompt keeps its first 1,024 tokens out of the model's reach otherwise).
        """
        return self.sample_each(
            [prompt],
            n,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            progress=progress,
        )[0]

    def sample_each(
        self,
        prompts: Sequence[str],
        n: int,
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.9,
        top_p: float = 0.95,
        seed: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[list[Sampled]]:
        """`n` answers to each of several prompts, in one batch; otherwise like `sample`."""
        for prompt in prompts:
            if not prompt.strip():
                raise SarmError("the prompt is empty: write a question first")
        texts = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
            )
            for prompt in prompts
        ]
        batch: Any = self.tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        )
        start = batch["input_ids"].shape[1]
        if start > MAX_PROMPT:
            raise SarmError(
                f"the prompt has {start} tokens; the embedded model takes {MAX_PROMPT} here. Shorten it"
            )
        options: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            options = {
                "do_sample": True,
                "temperature": temperature,
                "top_p": top_p,
                "num_return_sequences": n,
            }
        criteria = StoppingCriteriaList()
        if progress is not None:
            criteria.append(_Report(progress, start, max_new_tokens))
        with self._lock, torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            out = self.model.generate(
                **batch,
                max_new_tokens=max_new_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                stopping_criteria=criteria,
                **options,
            )
        answers = [self._answer(row) for row in out[:, start:]]
        each = len(answers) // len(prompts)
        return [answers[i * each : (i + 1) * each] for i in range(len(prompts))]

    def _answer(self, row: torch.Tensor) -> Sampled:
        text = str(self.tokenizer.decode(row, skip_special_tokens=True))
        return Sampled(text.strip(), bool((row == self.tokenizer.eos_token_id).any()))


@lru_cache(maxsize=1)
def load_sampler() -> Sampler:
    """The sampler, loaded once a process (270 MB)."""
    return Sampler()
