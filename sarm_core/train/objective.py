"""What stage 2 minimises, over one `SARM` module, in the four modes of the paper's code [SARM, sec. 3.3].

    mode   head   blocks                   SAE
    0      BT     frozen                   frozen
    1      BT     BT                       frozen
    2      BT     BT + reconstruction      BT + reconstruction
    3      BT     BT                       BT + reconstruction of the detached h

BT is -log sigmoid(r_chosen - r_rejected - m) [SARM, eq. 5], times the pair's weight; m is the pair's margin, 0 unless
its row states one [Llama 2, arXiv 2307.09288, eq. 2; TRL's RewardTrainer]. A tie is half a win for each of the two,
-log sigmoid(d) / 2 - log sigmoid(-d) / 2 with d the difference of rewards, as in the maximum-likelihood ratings of
Chatbot Arena (`compute_elo_mle_with_tie` in FastChat). Reconstruction is mean_d (x_hat - x)^2 / mean_d x^2
[SARM, eq. 4], averaged over the tokens of an answer and then over the pair's two answers, so that a batch's loss is a
mean over its pairs, however it is divided among devices and passes.

The reference code's mode 2 is broken, so there is nothing to agree with; here nothing is detached in it, and the blocks
may also move to make h easier to reconstruct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sarm_core.model.sarm import SARM, last_attended
from sarm_core.text.conversation import TokenSequence

__all__ = ["MODES", "EncodedPair", "PairObjective", "batch_of"]

MODES = {
    0: "head",
    1: "blocks and head, SAE frozen",
    2: "blocks, head and SAE, which also reconstructs h",
    3: "blocks and head, and an SAE that also reconstructs the detached h",
}
_RECONSTRUCTED_AT_ONCE = 4096  # positions of which pre-activations [positions, M] are in memory together


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of the two answers of a pair, its share `weight` in the loss, its margin, and whether it is a tie."""

    chosen: TokenSequence
    rejected: TokenSequence
    weight: float = 1.0
    margin: float = 0.0
    tie: bool = False


def batch_of(pairs: Sequence[EncodedPair]) -> dict[str, Tensor]:
    """A batch, padded on the right: rows are all chosen answers, then all rejected ones.

    `input_ids` and `attention_mask` int64 [2 n, T]; `answer_mask` bool [2 n, T] is true from the answer's first token
    to the scored one; `weights` and `stated` (margins) float32 [n], `tied` bool [n].
    """
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    width = max(len(row) for row in rows)
    ids, mask = (
        torch.zeros(len(rows), width, dtype=torch.int64),
        torch.zeros(len(rows), width, dtype=torch.int64),
    )
    answer = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.from_numpy(row.input_ids.astype("int64"))
        mask[i, : len(row)] = 1
        answer[i, row.answer_start : len(row)] = True
    weights = torch.tensor([pair.weight for pair in pairs], dtype=torch.float32)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "answer_mask": answer,
        "weights": weights,
        "stated": torch.tensor([pair.margin for pair in pairs], dtype=torch.float32),
        "tied": torch.tensor([pair.tie for pair in pairs], dtype=torch.bool),
    }


class PairObjective(nn.Module):
    """A SARM with the loss of one mode; what any trainer of torch modules trains.

    Parameters that the mode freezes have `requires_grad` false and are not touched. `mode` is one of `MODES`.
    """

    accepts_loss_kwargs = False

    def __init__(self, sarm: SARM, mode: int, reconstruction_weight: float = 1.0):
        super().__init__()
        self.sarm, self.mode, self.reconstruction_weight = sarm, mode, reconstruction_weight
        sarm.score.requires_grad_(True)
        sarm.sae.requires_grad_(mode >= 2)
        if mode == 0:
            sarm.model.requires_grad_(False)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        answer_mask: Tensor,
        weights: Tensor,
        stated: Tensor,
        tied: Tensor,
    ) -> dict[str, Tensor]:
        """`loss` (the sum of `losses` [n]), `margins` r_chosen - r_rejected [n], `reconstruction` [n], 0 in modes 0, 1.

        A pair of weight 0 costs nothing.
        """
        sarm = self.sarm
        with torch.set_grad_enabled(self.mode > 0 and torch.is_grad_enabled()):
            h = sarm.hidden(input_ids, attention_mask)
        # SAE and head stay in float32 under a trainer's autocast: rewards tie in bfloat16.
        with torch.autocast(h.device.type, enabled=False):
            rows = torch.arange(len(h), device=h.device)
            rewards = sarm.reward(sarm.codes(h[rows, last_attended(attention_mask)].float()))
            margins = rewards[: len(weights)] - rewards[len(weights) :]
            softplus = nn.functional.softplus
            of_ties = (softplus(margins) + softplus(-margins)) / 2
            losses = weights * torch.where(tied, of_ties, softplus(stated - margins))
            error = torch.zeros_like(margins)
            if self.mode >= 2:
                of_answers = self._reconstruction(h if self.mode == 2 else h.detach(), answer_mask)
                error = (of_answers[: len(weights)] + of_answers[len(weights) :]) / 2
                losses = losses + self.reconstruction_weight * error * (weights > 0)
        return {
            "loss": losses.sum(),
            "losses": losses.detach(),
            "margins": margins.detach(),
            "reconstruction": error.detach(),
        }

    def _reconstruction(self, h: Tensor, mask: Tensor) -> Tensor:
        """Mean normalised squared error over each row's masked positions, [rows]."""
        sae = self.sarm.sae
        row, _ = mask.nonzero(as_tuple=True)
        x = sae.inputs(h[mask].float())
        errors = [
            (sae(part)[0] - part).square().mean(-1) / part.square().mean(-1)
            for part in x.split(_RECONSTRUCTED_AT_ONCE)
        ]
        total = x.new_zeros(len(mask)).index_add(0, row, torch.cat(errors))
        return total / mask.sum(-1).clamp_min(1)

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """Recompute the blocks' activations in the backward pass instead of keeping them, as Trainer asks for."""
        self.sarm.model.activation_checkpointing_enable(**settings)  # type: ignore[operator]
