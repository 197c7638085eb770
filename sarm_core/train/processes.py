"""The processes that train together, as torchrun or `accelerate launch` starts them.

Of stage 2, Hugging Face's Trainer divides the work; here is what the commands around it ask each other. In stage 1 all
hold the same weights and draw the same random numbers; each computes on its share of a batch, and whatever is a sum
over the batch is summed over them. They speak by gloo about what lies on a CPU, by NCCL about what lies on a GPU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from sarm_core.errors import SarmError

__all__ = ["ALONE", "PeerEndedError", "Processes", "started"]

_SET_BY_LAUNCHERS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MEETING = timedelta(minutes=5)
_WAITING = timedelta(days=7)  # for whoever collects longest; a peer that died is noticed at once


class PeerEndedError(SarmError):
    """Another process ended the run and says why; this one has nothing to add."""


class Processes:
    """The `n` processes of a run, seen from the one of number `rank`. Every call but `share` is one that all make.

    Calls raise PeerEndedError, on the first process SarmError, when another one has ended.
    """

    def __init__(self, rank: int = 0, n: int = 1, group: Any = None):
        self.rank, self.n, self._group = rank, n, group

    @property
    def first(self) -> bool:
        """Whether this process is the one that locks, writes and says things."""
        return self.rank == 0

    def share(self, n: int, rank: int | None = None) -> slice:
        """Which of n things in a row are this process's (or those of `rank`)."""
        rank = self.rank if rank is None else rank
        return slice(n * rank // self.n, n * (rank + 1) // self.n)

    def device_of(self, stated: str) -> torch.device:
        """The device of this process where the settings say `stated`. Raises SarmError."""
        device = torch.device(stated)
        if self.n == 1 or device.type == "cpu":
            return device
        if device.type != "cuda" or device.index is not None:
            raise SarmError(f"device {stated!r} is one for a single process: use cuda, or cpu, with several")
        number = int(os.environ.get("LOCAL_RANK", self.rank))
        if number >= torch.cuda.device_count():
            raise SarmError(
                f"process {number} of this machine has no GPU of its own: there are {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(number)
        return torch.device("cuda", number)

    def summed(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Each tensor summed over the processes, in float64 in between. For small ones: they travel together."""
        if self.n == 1:
            return parts
        flat = torch.cat([part.reshape(-1).double() for part in parts])
        with self._speaking():
            distributed.all_reduce(flat, group=self._group)
        pieces = flat.split([part.numel() for part in parts])
        return tuple(piece.view(part.shape).to(part.dtype) for piece, part in zip(pieces, parts, strict=True))

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over the processes, in place."""
        if self.n > 1:
            with self._speaking():
                for tensor in tensors:
                    distributed.all_reduce(tensor, group=self._group)

    def gathered(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, of one shape, one behind the other."""
        if self.n == 1:
            return tensor
        found = [torch.empty_like(tensor) for _ in range(self.n)]
        with self._speaking():
            distributed.all_gather(found, tensor.contiguous(), group=self._group)
        return torch.cat(found)

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return flag if self.n == 1 else bool(self.gathered(torch.tensor([flag])).any())

    def least(self, value: float) -> float:
        """The smallest of the processes' values."""
        if self.n == 1:
            return value
        return float(self.gathered(torch.tensor([value], dtype=torch.float64)).min())

    def of_first(self, value: Any) -> Any:
        """The first process's value, which JSON can hold."""
        if self.n == 1:
            return value
        data = bytearray(json.dumps(value).encode() if self.first else b"")
        size = torch.tensor([len(data)])
        with self._speaking():
            distributed.broadcast(size, 0, group=self._group)
            sent = torch.zeros(int(size), dtype=torch.uint8)
            if self.first:
                sent.copy_(torch.frombuffer(data, dtype=torch.uint8))
            distributed.broadcast(sent, 0, group=self._group)
        return json.loads(bytes(sent.tolist()))

    def tensors_of_first(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The first process's tensors by name; what the others give is not looked at."""
        if self.n == 1:
            return dict(tensors)
        known = [[name, list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in tensors.items()]
        found: dict[str, Tensor] = {}
        for name, shape, dtype in self.of_first(known):
            mine = tensors[name].cpu() if self.first else torch.empty(shape, dtype=getattr(torch, dtype))
            with self._speaking():
                distributed.broadcast(mine, 0, group=self._group)
            found[name] = mine
        return found

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """All do the same work inside, without speaking: what one process refuses ends all, and is said once."""
        refused: SarmError | None = None
        try:
            yield
        except SarmError as error:
            refused = error
        answers = self.gathered(torch.tensor([refused is not None])).tolist()
        if refused is not None and not any(answers[: self.rank]):
            raise refused
        if any(answers):
            raise PeerEndedError("another process refused")

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            kind = SarmError if self.first else PeerEndedError
            reason = str(error).splitlines()[0]
            raise kind(
                f"another of the {self.n} processes has ended or cannot be reached ({reason[:120]}); "
                "go on with --resume"
            ) from None


ALONE = Processes()
"""One process by itself"""


@contextmanager
def started() -> Iterator[Processes]:
    """The processes that a launcher started, this one among them; one process where none did. Raises SarmError."""
    stated = [os.environ.get(name) for name in _SET_BY_LAUNCHERS]
    if None in stated or stated[1] == "1":
        yield ALONE
        return
    try:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=_MEETING)
        group = distributed.new_group(backend=backend, timeout=_WAITING)
    except (RuntimeError, ValueError) as error:
        said = ", ".join(f"{name}={value}" for name, value in zip(_SET_BY_LAUNCHERS, stated, strict=True))
        raise SarmError(
            f"the processes of this run do not meet ({str(error).splitlines()[0][:160]}); {said}"
        ) from None
    yield Processes(distributed.get_rank(), distributed.get_world_size(), group)
    distributed.destroy_process_group()
