"""A steered SARM as a reward function of TRL's GRPO trainer (and of RLOO, which calls it alike).

reward = SteeredReward("demo", "steering.json")
GRPOTrainer(model=policy, reward_funcs=reward, train_dataset=prompts, args=GRPOConfig(...))

Neither trl nor datasets is imported here: the trainer only calls an object with prompts and completions.

What reaches the policy. Rewards are returned as they are, not centred and not scaled: GRPO subtracts the mean
of the group of completions to one prompt and, by default, divides by the group's standard deviation. So only
differences within a prompt count. An offset steering adds one constant to every answer and therefore changes
nothing at all; with `scale_rewards="group"` neither does one multiplier on every feature. Scale and set on
some features do.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.errors import RowError, SarmError
from sarm_core.score.scorer import Scored, Scorer, load_sarm
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader
from sarm_core.text.completions import completed
from sarm_core.text.rows import Conversation, is_list

__all__ = ["SteeredReward"]

Given = Sequence[Mapping[str, Any]]
_PLACE = "completions"
_LOGGED = 32  # features whose mean contribution goes to the trainer's log; more would bury the rest of it


class SteeredReward:
    """Rewards of completions under a steering, for `GRPOTrainer(reward_funcs=...)`.

    `source` is a loaded `Scorer`, "demo", a checkpoint folder or a Hub id; `steering` a `Steering` or the path
    of a steering file, and may set and offset as well as scale, since nothing is folded here. `name` is what
    the trainer's log calls the reward.

    `empty` is the reward of a completion without an answer, which the SARM never saw in training: a number,
    None, or "worst" (the default), which is the lowest reward of the answers to the same prompt in this call,
    less the standard deviation of all of the call's rewards. None leaves it out of its group's mean and
    gives it no advantage; saying nothing then is never discouraged, and a toy policy ended up there.

    `ignore` names columns of the data set, and keys of turns, to be left out though they may be context (see the
    call).

    The call holds no state, and the scorer locks the model for a batch at a time: one object may serve several
    threads. Pickled, it loads the same checkpoint again where it is unpickled. Raises CheckpointError,
    SteeringError (also for a steering of another model) before any training starts, and warns when the
    steering has nothing but offsets.
    """

    def __init__(
        self,
        source: Scorer | str | Path = "demo",
        steering: Steering | str | Path | None = None,
        *,
        name: str = "steered_reward",
        empty: float | Literal["worst"] | None = "worst",
        ignore: Iterable[str] = (),
    ):
        if isinstance(ignore, str):
            raise SarmError(f'ignore must be a list of columns: give ["{ignore}"]')
        self.steering = (
            Steering.read(steering) if isinstance(steering, str | Path) else steering or Steering()
        )
        self.scorer = source if isinstance(source, Scorer) else load_sarm(source)
        self.steering.check(self.scorer.n_features)
        if self.steering and not self.steering.can_rerank():
            warnings.warn(
                "the steering has offsets only: they move every answer to a prompt alike, so GRPO's baseline "
                "removes them and the policy learns what it would without",
                stacklevel=2,
            )
        self.empty = empty
        self.ignore = frozenset(ignore)
        self.__name__ = name  # what TRL logs

    def __call__(
        self,
        prompts: Sequence[str | Given],
        completions: Sequence[str | Given | None],
        log_metric: Callable[[str, float], object] | None = None,
        **columns: object,
    ) -> list[float | None]:
        """One reward a completion, in order, from one batched pass in which completions share their prompt.

        A prompt is a string (one user turn) or messages; a completion a string (the assistant's turn) or the
        turns after the prompt. The last turn is scored; where it is blank or not the assistant's, `empty` is
        given. One that was cut off at `max_completion_length` is scored as if its turn ended there
        (`GRPOConfig(mask_truncated_completions=True)` keeps it out of the loss). Tool calls and reasoning
        beside a turn's `content` are read as the chat template reads them; a template that does not know them
        is refused, as in rows.

        `columns` are what the trainer hands over beside them, a value for each completion. Context among them is read
        as in rows (`system`, `tools`, `history` before a prompt that is a string) or refused (`images`, `documents`,
        ...): a reward that passed it over would be that of another conversation. Answers and questions that other
        reward functions look at take no part.

        With `log_metric` (TRL passes it) the mean contribution of each steered feature, as trained, goes to the
        trainer's log, and the share of completions without an answer. Raises RowError naming the completion,
        counted from 1.
        """
        scored, rows = self.score(prompts, completions, columns)
        steered = scored.steered(self.steering).rewards
        rewards: list[float | None] = [None] * len(completions)
        for row, reward in zip(rows, steered, strict=True):
            rewards[row] = float(reward)
        for row in set(range(len(completions))).difference(rows):
            rewards[row] = _below(prompts, rows, steered, row) if self.empty == "worst" else self.empty
        if log_metric is not None and completions:
            log_metric(f"{self.__name__}/empty", 1 - len(rows) / len(completions))
            for feature, mean in self.mean_contributions(scored).items():
                log_metric(f"{self.__name__}/contribution/{feature}", mean)
        return rewards

    def score(
        self,
        prompts: Sequence[str | Given],
        completions: Sequence[str | Given | None],
        columns: Mapping[str, object] | None = None,
    ) -> tuple[Scored, list[int]]:
        """The answers as scored WITHOUT the steering, and the index of each in `completions`; blank ones are
        left out. Nothing is kept on disk: a policy writes an answer once. Raises RowError."""
        if len(prompts) != len(completions):
            raise SarmError(
                f"{len(prompts)} prompts but {len(completions)} completions: repeat the prompt for each"
            )
        rows: list[int] = []
        conversations: list[Conversation] = []
        beside = _by_completion(columns or {}, len(completions))
        reader = Reader(ignore=self.ignore)
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            try:
                answered = completed(reader, prompt, completion, beside[row])
            except RowError as error:
                raise _placed(error, row) from None
            if answered is not None:
                conversations.append(answered)
                rows.append(row)
        try:
            return self.scorer.score(conversations), rows
        except RowError as error:
            raise _placed(error, rows[(error.row or 1) - 1]) from None

    def mean_contributions(self, scored: Scored, features: Sequence[int] | None = None) -> dict[int, float]:
        """Mean over answers of w_i z_i, as trained, by feature: by default the first 32 that are steered.

        As trained, because a silenced feature contributes 0 to every steered reward however loud it is.
        """
        wanted = self.steering.features()[:_LOGGED] if features is None else features
        matrix = scored.matrix
        if not len(matrix):
            return {}
        sums = {i: float(matrix.column(i)[1].astype(np.float64).sum()) for i in wanted}
        return {i: float(matrix.head[i]) * total / len(matrix) for i, total in sums.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        """By checkpoint, not by weights: TRL's asynchronous trainers send reward functions to another process,
        which may not see the same device."""
        checkpoint = self.scorer.checkpoint
        source = checkpoint.source if checkpoint.source == "demo" else str(checkpoint.folder)
        loaded = (source, self.scorer.dtype, self.scorer.max_length)
        return _load_again, (*loaded, self.steering, self.__name__, self.empty, self.ignore)


def _load_again(
    source: str,
    dtype: torch.dtype,
    max_length: int,
    steering: Steering,
    name: str,
    empty: float | Literal["worst"] | None,
    ignore: frozenset[str],
) -> SteeredReward:
    scorer = load_sarm(source, dtype=dtype, max_length=max_length)
    return SteeredReward(scorer, steering, name=name, empty=empty, ignore=ignore)


def _by_completion(columns: Mapping[str, object], n: int) -> list[dict[str, Any]]:
    """The data set's columns as a row for each of `n` completions.

    What is no list of n values is the trainer's (its state, a function to log with), unless it has the name of context:
    then it stands in every row, to be read or refused there.
    """
    each = {key: value for key, value in columns.items() if is_list(value) and len(value) == n}
    every = {key: value for key, value in columns.items() if key not in each}
    return [{**every, **{key: value[i] for key, value in each.items()}} for i in range(n)]


def _placed(error: RowError, row: int) -> RowError:
    """The error at its completion, with the remedy as one writes it here."""
    reason = re.sub(r"--ignore ([^,:;]+)", r'ignore=["\1"]', error.reason)
    return RowError(reason, source=_PLACE, row=row + 1)


def _below(
    prompts: Sequence[str | Given], rows: Sequence[int], rewards: npt.NDArray[np.float32], row: int
) -> float | None:
    """Worse than every scored answer to the prompt of `row`; None where there is none to be worse than."""
    same = [float(r) for i, r in zip(rows, rewards, strict=True) if prompts[i] == prompts[row]]
    if not same:
        return None
    spread = float(rewards.std())
    # Where all rewards are alike but for rounding, 1: GRPO divides by the group's spread, so any clear gap will do.
    return min(same) - (spread if spread > 1e-3 else 1.0)
