"""A loaded SARM that scores conversations: the three-line Python door.

sarm = load_sarm("demo")
scored = sarm.score([{"prompt": "Is it safe?", "response": "Yes, if ..."}])
scored.rewards
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.errors import CheckpointError, RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.model.checkpoint import DEFAULT_MAX_LENGTH, Checkpoint, open_checkpoint
from sarm_core.model.sarm import SARM
from sarm_core.score.encoder import Encoder, Progress
from sarm_core.score.facts import ENCODING, SarmFacts
from sarm_core.score.scored import Scored, TokenTrace
from sarm_core.text.answers import Reader, conversation_of
from sarm_core.text.conversation import TEMPLATE_DATE, ChatFormat, TokenSequence, sentence_ends
from sarm_core.text.rows import Conversation

__all__ = ["Scored", "Scorer", "TokenTrace", "device_named", "load_sarm"]

Row = Mapping[str, Any] | Conversation


class Scorer:
    """A SARM with its tokenizer, ready to score. Safe to share between threads.

    Attributes: `checkpoint` (source, folder, layout, shape), `model`, `format` (None when the checkpoint
    ships no tokenizer: then only token ids can be scored), `device`, `dtype`, `max_length`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: SARM,
        max_length: int | None = None,
        date: datetime.date | None = None,
    ):
        if max_length is not None and max_length < 1:
            raise CheckpointError(f"max_length is {max_length}: at least the scored token must fit")
        self.checkpoint = checkpoint
        self.model = model
        positions = int(getattr(model.config, "max_position_embeddings", None) or DEFAULT_MAX_LENGTH)
        self.max_length = min(max_length, positions) if max_length else checkpoint.limit(model.config)
        self.encoder = Encoder(model)
        tokenizer = checkpoint.tokenizer()
        self.format = None
        if tokenizer is not None:
            self.format = ChatFormat(
                tokenizer,
                chat_template=checkpoint.chat_template,
                rule=checkpoint.rule,
                max_length=self.max_length,
                date=date or TEMPLATE_DATE,
            )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """dtype of the backbone; the SAE and the head are always float32."""
        return next(self.model.model.parameters()).dtype

    @property
    def n_features(self) -> int:
        """M."""
        return self.model.sae.n_features

    @cached_property
    def head(self) -> npt.NDArray[np.float32]:
        """Head weights w, float32 [M]."""
        return self.model.score.weight[0].detach().float().cpu().numpy().copy()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything that takes part in a score (see `Checkpoint.fingerprint`)."""
        return self.checkpoint.fingerprint()

    @cached_property
    def encoding_key(self) -> str:
        """sha256 of all that decides z of a conversation: weights, precision, tokenizer, template, length limit.

        The fingerprint alone would not do: it leaves out the tokenizer, and the same weights in another
        precision give other activations.
        """
        digest = hashlib.sha256(
            json.dumps(
                [
                    ENCODING,
                    self.fingerprint,
                    str(self.dtype),
                    self.device.type,
                    self.max_length,
                    self.checkpoint.rule,
                    self.checkpoint.chat_template,
                ]
            ).encode()
        )
        if self.format is not None:
            if self.format.writes_date:
                digest.update(self.format.date.isoformat().encode())
            for text in _tokenizer_parts(self.format.tokenizer):
                digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    @cached_property
    def facts(self) -> SarmFacts:
        """What is known of the model without running it; the same as `kept_sarm` keeps."""
        checkpoint = self.checkpoint
        return SarmFacts(
            source=checkpoint.source,
            name=checkpoint.name,
            fingerprint=self.fingerprint,
            encoding_key=self.encoding_key,
            n_features=self.n_features,
            layer=checkpoint.shape.layer,
            sae=checkpoint.shape.sae.to_stated(),
            dtype=str(self.dtype).removeprefix("torch."),
            device=self.device.type,
            max_length=self.max_length,
        )

    def tokens(self, rows: Sequence[Row], reader: Reader | None = None) -> list[TokenSequence]:
        """Token sequences of `rows`, read by `reader`. Raises RowError naming the row (counted from 1)."""
        conversations = []
        reader = reader or Reader()
        for number, row in enumerate(rows, start=1):
            try:
                conversations.append(self._conversation(row, reader))
            except RowError as error:
                raise error.at(error.source, error.row or number) from None
        if self.format is None:
            return [self._from_ids(c) for c in conversations]
        try:
            return self.format.tokens(conversations)
        except RowError:
            for number, conversation in enumerate(conversations, start=1):
                try:
                    self.format.tokens([conversation])
                except RowError as error:
                    raise error.at(None, number) from None
            raise

    def score(
        self,
        rows: Sequence[Row],
        *,
        progress: Progress | None = None,
        share_prefixes: bool = True,
        reader: Reader | None = None,
    ) -> Scored:
        """Score rows of `messages`, `prompt` + `response`, `question` + `answer`, `input_ids` or another shape of one
        answer, read as the rows of a file are: a key that may belong to the conversation and is not read refuses its
        row, unless `reader` leaves it out, and what else was not used is in `Scored.said`.

        Answers to one prompt share the work on the prompt. `progress(tokens done, tokens in all)` is
        called after each batch and may raise to stop. The model runs, whatever was scored before, and nothing is kept:
        that is `encode_once`, which commands and pages call. Raises RowError for a row that cannot be scored.
        """
        reader = reader or Reader()
        sequences = self.tokens(rows, reader)
        ids = [s.input_ids for s in sequences]
        matrix = self.encode(ids, progress=progress, share_prefixes=share_prefixes)
        return Scored(matrix, tuple(sequences), tuple(reader.said()))

    def encode(
        self,
        sequences: Sequence[npt.NDArray[np.int32]],
        *,
        progress: Progress | None = None,
        share_prefixes: bool = True,
    ) -> FeatureMatrix:
        """Activations at the last token of `sequences`, int32 [T] each, as `tokens` gives them.

        Raises SarmError for activations that the dtype cannot hold.
        """
        csr = self.encoder.encode(sequences, progress=progress, share_prefixes=share_prefixes)
        if not np.isfinite(csr.data).all():
            raise SarmError(f"activations overflow in {self.dtype}: load the model with dtype float32")
        return FeatureMatrix(csr, self.head)

    def encode_edit(self, sequence: npt.NDArray[np.int32]) -> FeatureMatrix:
        """`encode` of one sequence that is being edited (see `Encoder.encode_edit`). Raises SarmError as `encode`."""
        csr = self.encoder.encode_edit(sequence)
        if not np.isfinite(csr.data).all():
            raise SarmError(f"activations overflow in {self.dtype}: load the model with dtype float32")
        return FeatureMatrix(csr, self.head)

    def trace(self, row: Row, features: Sequence[int]) -> TokenTrace:
        """Activations of `features` at every token of one conversation. Raises RowError, SarmError."""
        wrong = [i for i in features if not 0 <= i < self.n_features]
        if wrong:
            raise SarmError(f"feature {wrong[0]} does not exist: this model has 0 to {self.n_features - 1}")
        (sequence,) = self.tokens([row])
        activations = self.encoder.trace(sequence.input_ids, features)
        return TokenTrace(
            tuple(features), tuple(sequence.pieces()), activations, sequence.answer_start, sequence.n_cut
        )

    def sentence_ends(self, sequence: TokenSequence) -> npt.NDArray[np.int64]:
        """Positions of sentence-final tokens of the last answer, the scored one last."""
        return sentence_ends(sequence)

    def _conversation(self, row: Row, reader: Reader) -> Conversation:
        conversation = row if isinstance(row, Conversation) else conversation_of(row, reader)
        if not conversation.messages and not conversation.input_ids:
            raise RowError("the conversation is empty: give messages or input_ids")
        if conversation.input_ids is not None:
            vocabulary = self.model.model.get_input_embeddings().num_embeddings  # type: ignore[operator]
            if max(conversation.input_ids) >= vocabulary:
                raise RowError(
                    f"token id {max(conversation.input_ids)} is outside the vocabulary of {vocabulary}"
                )
        elif self.format is None:
            raise RowError(
                "the checkpoint ships no tokenizer, so text cannot be scored: "
                "give input_ids, or add the tokenizer's files to the checkpoint folder"
            )
        return conversation

    def _from_ids(self, conversation: Conversation) -> TokenSequence:
        from sarm_core.text.conversation import cut_left

        return cut_left(np.asarray(conversation.input_ids, dtype=np.int32), self.max_length)


def load_sarm(
    source: str | Path = "demo",
    *,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    max_length: int | None = None,
    date: datetime.date | None = None,
) -> Scorer:
    """Load "demo", a checkpoint folder or a Hub id.

    `device`: "cpu", "cuda", "cuda:1" ...; default CUDA when there is one. `dtype` of the backbone:
    "float32", "bfloat16", "float16" or "auto" (default): float32 on a CPU, the stored one on a GPU.
    `date` is the day that a chat template is told which writes today's (default `TEMPLATE_DATE`).
    Raises CheckpointError.
    """
    checkpoint = open_checkpoint(source)
    where = device_named(device)
    model = checkpoint.build(dtype=_dtype(dtype, checkpoint, where), device=where)
    return Scorer(checkpoint, model, max_length, date)


def _tokenizer_parts(tokenizer: Any) -> Iterator[str]:
    yield json.dumps(tokenizer.chat_template, sort_keys=True, default=str)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and hasattr(backend, "to_str"):
        # Padding and truncation are set by calls, and no conversation is padded or cut by the tokenizer.
        body = json.loads(backend.to_str())
        yield json.dumps({name: body[name] for name in body if name not in ("padding", "truncation")})
    else:
        yield json.dumps(sorted(tokenizer.get_vocab().items()))


def device_named(name: str | None) -> torch.device:
    """The device that a name means: the CPU, or CUDA where there is one, without a name. Raises CheckpointError."""
    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(str(name))
    except RuntimeError:
        raise CheckpointError(f"device {name!r} is not known: use cpu, cuda or cuda:N") from None
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise CheckpointError(f"device {name!r} is not available on this machine: use cpu") from None
    return device


def _dtype(name: str | torch.dtype | None, checkpoint: Checkpoint, device: torch.device) -> torch.dtype:
    if isinstance(name, torch.dtype):
        return name
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in (None, "auto"):
        if name not in known:
            raise CheckpointError(f"dtype {name!r} is not known: use {', '.join(known)} or auto")
        return known[str(name)]
    # In bfloat16 a feature at the edge of k comes and goes with the company in the batch: the demo's rewards
    # moved by up to 0.17 that way (their standard deviation is 0.53), in float32 by 3e-6.
    return torch.float32 if device.type == "cpu" else checkpoint.stored_dtype()
