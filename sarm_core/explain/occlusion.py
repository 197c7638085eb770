"""Which words? Drop each span of an answer, rescore all versions in one batch, and see what changes.

An estimate of causes, unlike w z, which is exact for the score but says nothing about words: activations are read
at ONE token, whose context carries the whole text. Dropping a span also moves that token, and can leave text
that no one would write and the model never saw. How well the two agree is printed, not assumed: see `agreement`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import stats

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.score.encoder import Progress
from sarm_core.score.scorer import Scorer
from sarm_core.steering import Steering
from sarm_core.text.answer_spans import Span, answer_spans, without
from sarm_core.text.conversation import TokenSequence
from sarm_core.text.rows import Conversation

__all__ = ["MOST_SPANS", "MOST_TOKENS", "Agreement", "Occlusion", "occlude"]

MOST_SPANS = 100
"""Spans that are dropped; of a longer answer the last ones, which stand nearest to the scored token."""
MOST_TOKENS = 60_000
"""Tokens of all versions together, before prefix sharing."""
MOST_DENSE = 20_000_000
"""Activations kept along the tokens of one answer, which only a model that keeps every feature can exceed."""
ROUNDING = 1e-6
"""Differences below this share of what they are differences of are rounding, not an effect."""

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation `rho` over `n` spans; NaN where undefined, and then `reason` says why."""

    rho: float
    n: int
    reason: str = ""

    def __str__(self) -> str:
        return (
            f"undefined (n = {self.n}: {self.reason})" if self.reason else f"{self.rho:+.2f} (n = {self.n})"
        )


@dataclass(frozen=True)
class Occlusion:
    """An answer, the n spans that tile it, and the activations with all of it and without each of m of them.

    `measured` int64 [m] numbers the spans that were dropped, ascending. `matrix` [1 + m, M] holds z at the
    scored token: row 0 of the whole answer, row 1 + j of the answer without span `measured[j]`.
    `tokens` [T, M] holds z along the answer's own tokens as `Scorer.trace` gives it (0 where a feature is not
    among the k largest), `token_span` int64 [T] the span that each token's last character stands in.
    `notes` says what was left out and what to be careful about.
    """

    answer: str
    unit: str
    spans: tuple[Span, ...]
    measured: Ids
    matrix: FeatureMatrix
    tokens: FeatureMatrix
    token_span: Ids
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.spans)

    def steered(self, steering: Steering) -> Occlusion:
        """The same under a steering, without the model. Raises SteeringError for features it does not have."""
        return replace(self, matrix=steering.apply(self.matrix), tokens=steering.apply(self.tokens))

    @property
    def reward(self) -> float:
        """Reward of the whole answer."""
        return float(self.matrix.exact_rewards[0])

    @cached_property
    def reward_change(self) -> Floats:
        """Reward without the span minus reward of the whole, float64 [n]; NaN where it was not dropped."""
        rewards = self.matrix.exact_rewards
        return self._by_span(rewards[1:] - rewards[0])

    def activation(self, feature: int) -> float:
        """z of a feature in the whole answer; 0 where it is silent."""
        return float(self._column(feature)[0])

    def activation_change(self, feature: int) -> Floats:
        """z without the span minus z of the whole, float64 [n]; NaN where it was not dropped. Times w: of w z."""
        z = self._column(feature)
        return self._by_span(z[1:] - z[0])

    @cached_property
    def reward_attribution(self) -> Floats:
        """Per span the sum over its tokens t and the features i active at the scored token of w_i z_i(t), [n].

        A reading of w z along the text, with no claim to be a cause; it does not sum to the reward, which is
        read at the scored token alone.
        """
        ids, _ = self.matrix.activations(0)
        counts = np.zeros(self.tokens.n_features, dtype=bool)
        counts[ids] = True
        csr = self.tokens.csr
        w = self.tokens.head.astype(np.float64)
        products = np.where(counts[csr.indices], csr.data.astype(np.float64) * w[csr.indices], 0.0)
        rows = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
        return self._sums(self.token_span[rows], products)

    def activation_sum(self, feature: int) -> Floats:
        """Per span the sum of a feature's z over its tokens, float64 [n]."""
        rows, z = self.tokens.column(feature)
        return self._sums(self.token_span[rows], z.astype(np.float64))

    def activation_max(self, feature: int) -> Floats:
        """Per span the z of largest size among its tokens, with its sign, float64 [n]; 0 where it is silent."""
        rows, z = self.tokens.column(feature)
        high, low = np.zeros(len(self)), np.zeros(len(self))
        np.maximum.at(high, self.token_span[rows], z)
        np.minimum.at(low, self.token_span[rows], z)
        return np.where(high >= -low, high, low)

    def agreement(self, feature: int | None = None, by: Literal["sum", "max"] = "sum") -> Agreement:
        """Rank correlation of what dropping a span takes away with its attribution, over the dropped spans.

        Without a feature: of the fall of the reward with `reward_attribution`; with one: of the fall of its z
        with `activation_sum` or `activation_max`. +1: what attribution points at is what is missed most.
        """
        if not self.tokens.csr.shape[0] and self.measured.size:
            return Agreement(np.nan, self.measured.size, "the activations along the text are not known")
        if feature is None:
            fall, attribution = -self.reward_change, self.reward_attribution
            _, parts = self.matrix.contributions(0)
            size = float(np.abs(parts).sum())
        else:
            fall = -self.activation_change(feature)
            attribution = (self.activation_sum if by == "sum" else self.activation_max)(feature)
            size = float(np.abs(self._column(feature)).max(initial=0.0))
        return _spearman(fall[self.measured], attribution[self.measured], size)

    def table(self, feature: int) -> pd.DataFrame:
        """One row a span, in the order of the text: `span` from 1, `text`, `reward_change`, `z_change`,
        `contribution_change`, `reward_attribution`, `z_sum`, `z_max`. NaN where a span was not dropped."""
        weight = float(self.matrix.head[feature])
        change = self.activation_change(feature)
        return pd.DataFrame(
            {
                "span": np.arange(1, len(self) + 1),
                "text": [span.of(self.answer).strip() for span in self.spans],
                "reward_change": self.reward_change,
                "z_change": change,
                "contribution_change": weight * change,
                "reward_attribution": self.reward_attribution,
                "z_sum": self.activation_sum(feature),
                "z_max": self.activation_max(feature),
            }
        )

    def _column(self, feature: int) -> Floats:
        z = np.zeros(len(self.matrix))
        rows, values = self.matrix.column(feature)
        z[rows] = values
        return z

    def _sums(self, span: Ids, values: Floats) -> Floats:
        return np.asarray(np.bincount(span, weights=values, minlength=len(self)), dtype=np.float64)

    def _by_span(self, values: Floats) -> Floats:
        out = np.full(len(self), np.nan)
        out[self.measured] = values
        return out


def occlude(
    scorer: Scorer,
    conversation: Conversation,
    *,
    unit: str = "sentences",
    words: int = 5,
    most_spans: int = MOST_SPANS,
    most_tokens: int = MOST_TOKENS,
    progress: Progress | None = None,
) -> Occlusion:
    """Score the answer and, in the same batch, the answer without each of its spans (see `answer_spans`).

    At most `most_spans` spans are dropped, and fewer when their versions would have more than `most_tokens`
    tokens: then the last ones. What was cut on the left to fit the model stays cut in every version.
    Raises SarmError for token ids, RowError for turns the model's template refuses.
    """
    answer = conversation.answer
    if answer is None or conversation.messages is None:
        raise SarmError("an answer given as token ids has no text to drop a sentence from: give its text")
    spans = answer_spans(answer, unit, words)
    (whole,) = scorer.tokens([conversation])
    found = _answer_in(whole, answer)
    read = _read(spans, whole, found)
    most = max(1, min(most_spans, most_tokens // len(whole)))
    measured = read[-most:]
    versions = _versions(scorer, conversation, [spans[i] for i in measured], whole, unit)

    token_span, along = _tokens_of(spans, whole, found)
    notes = _notes(unit, spans, read, measured, whole, scorer, (most_spans, most_tokens))
    if scorer.model.sae.every_feature and len(along) * scorer.n_features > MOST_DENSE:
        token_span, along = token_span[:0], along[:0]
        notes.append("this model keeps every feature at every token: attribution along the text was left out")
    elif spans and not len(along):
        notes.append("the model's template rewrites the answer, so its tokens cannot be told apart by span")
    positions = np.union1d(along, [whole.scored]).astype(np.int64)
    last = [np.array([len(ids) - 1], dtype=np.int64) for ids in versions]
    csr = scorer.encoder.encode([whole.input_ids, *versions], [positions, *last], progress=progress)
    if not np.isfinite(csr.data).all():
        raise SarmError(f"activations overflow in {scorer.dtype}: load the model with dtype float32")
    return Occlusion(
        answer,
        unit,
        spans,
        np.array(measured, dtype=np.int64),
        FeatureMatrix(csr[len(positions) - 1 :], scorer.head),
        FeatureMatrix(csr[np.searchsorted(positions, along)], scorer.head),
        token_span,
        tuple(notes),
    )


@dataclass(frozen=True)
class _Place:
    """Where the answer stands in the rendered text: character `at` + i is character i of the answer, from
    `first` up to `stop`; what is outside (white space at the ends) a template may have trimmed."""

    at: int
    first: int
    stop: int


def _answer_in(whole: TokenSequence, answer: str) -> _Place | None:
    body = answer.strip()
    if not body or whole.text is None or whole.spans is None:
        return None
    if whole.n_cut and not whole.answer_start:  # cut into, or right before it: what follows it is short
        found = whole.text.rfind(body, 0, int(whole.spans[whole.scored, 1]))
    else:
        found = whole.text.find(body, int(whole.spans[whole.answer_start, 0]))
    first = len(answer) - len(answer.lstrip())
    return None if found < 0 else _Place(found - first, first, first + len(body))


def _read(spans: Sequence[Span], whole: TokenSequence, place: _Place | None) -> list[int]:
    """Numbers of the spans that the model read from their first visible character on."""
    if not whole.n_cut or place is None or whole.spans is None:
        return list(range(len(spans)))
    start = int(whole.spans[0, 0]) - place.at
    return [i for i, span in enumerate(spans) if max(span.start, place.first) >= start]


def _tokens_of(spans: Sequence[Span], whole: TokenSequence, place: _Place | None) -> tuple[Ids, Ids]:
    """(span, token) numbers of the answer's tokens that the model read."""
    if place is None or whole.spans is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    last = whole.spans[:, 1].astype(np.int64) - 1 - place.at
    own = (whole.spans[:, 1] > whole.spans[:, 0]) & (last >= place.first) & (last < place.stop)
    own[: whole.answer_start] = False
    tokens = np.flatnonzero(own).astype(np.int64)
    starts = np.array([span.start for span in spans], dtype=np.int64)
    return np.searchsorted(starts, last[tokens], side="right").astype(np.int64) - 1, tokens


def _versions(
    scorer: Scorer, conversation: Conversation, spans: Sequence[Span], whole: TokenSequence, unit: str
) -> list[npt.NDArray[np.int32]]:
    """Token ids without each span, starting with the token the whole starts with."""
    messages = conversation.messages or ()
    last = messages[-1]
    rows = [
        replace(conversation, messages=(*messages[:-1], replace(last, content=without(last.content, span))))
        for span in spans
    ]
    try:
        sequences = scorer.tokens(rows)
    except RowError as error:
        raise RowError(f"without one of its {unit} the answer cannot be scored: {error.reason}") from None
    # Left as they are, versions of a cut answer would show the model text that the whole did not.
    lengths = [max(1, len(s) + s.n_cut - whole.n_cut) for s in sequences]
    return [s.input_ids[-length:] for s, length in zip(sequences, lengths, strict=True)]


def _notes(
    unit: str,
    spans: Sequence[Span],
    read: Sequence[int],
    measured: Sequence[int],
    whole: TokenSequence,
    scorer: Scorer,
    limits: tuple[int, int],
) -> list[str]:
    notes = []
    if len(read) < len(spans):
        notes.append(
            f"{len(spans) - len(read):,} of {len(spans):,} {unit} were cut on the left, wholly or in part, to fit "
            f"{scorer.max_length:,} tokens: dropping them would change nothing"
        )
    if len(measured) < len(read):
        notes.append(
            f"only the last {len(measured):,} of {len(read):,} {unit} were dropped: the limits are {limits[0]:,} and "
            f"{limits[1]:,} tokens in all, and this answer has {len(whole):,} with its prompt; "
            "choose larger pieces to cover more"
        )
    if len(spans) == 1:
        notes.append(
            f"the answer is one piece by {unit}: without it nothing is left, and an empty answer is hardly "
            "text the model knows"
        )
    if scorer.dtype != torch.float32:
        name = str(scorer.dtype).removeprefix("torch.")
        notes.append(
            f"scored in {name}: a feature that is only just active comes and goes by rounding, so small "
            "changes mean nothing; load the model with dtype float32"
        )
    return notes


def _spearman(fall: Floats, attribution: Floats, size: float) -> Agreement:
    n = int(fall.size)
    if n < 3:
        return Agreement(np.nan, n, "fewer than 3 spans")
    if float(np.ptp(fall)) <= ROUNDING * size:
        return Agreement(np.nan, n, "dropping any of them changes the same")
    if float(np.ptp(attribution)) <= ROUNDING * float(np.abs(attribution).max()):
        return Agreement(np.nan, n, "attribution is the same for all")
    return Agreement(float(stats.spearmanr(fall, attribution).statistic), n)
