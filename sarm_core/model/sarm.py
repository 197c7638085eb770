"""A SARM as a torch module: the first L blocks of any Hugging Face decoder, an SAE, and a linear head.

h  residual stream after block L (Hugging Face `hidden_states[L]`; the final norm is NOT applied)
z  active features of standardised h                                        (see sae/)
r  sum_i w_i z_i, no bias                                                   [SARM, sec. 3.3]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sarm_core.model.hf import PretrainedConfig
from sarm_core.model.sae import SAE, Rows

__all__ = ["SARM", "SARMOutput", "last_attended", "position_ids_of"]


class SARMOutput(NamedTuple):
    """What trainers read: `logits` float32 [B, 1], and the active features at the scored positions."""

    logits: Tensor
    codes: Rows


def last_attended(attention_mask: Tensor) -> Tensor:
    """Index of the last real token per row, int64 [B], from a 0/1 mask [B, T] padded on either side.

    Uses the mask and never the pad id: many tokenizers pad with their end-of-turn token.
    """
    steps = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return (attention_mask.long() * steps).argmax(-1)


def position_ids_of(attention_mask: Tensor) -> Tensor:
    """Positions counted over real tokens only, int64 [B, T], so that left padding changes nothing."""
    return (attention_mask.long().cumsum(-1) - 1).clamp_min(0)


class SARM(nn.Module):
    """Cut backbone + SAE + head. State-dict names are the reference's: `model.*`, `sae.*`, `score.weight`.

    The SAE and the head stay in float32 whatever the backbone's dtype: rewards tie in bfloat16.
    """

    def __init__(self, backbone: nn.Module, sae: SAE):
        super().__init__()
        self.model = backbone
        self.sae = sae.float()
        self.score = nn.Linear(sae.n_features, 1, bias=False, dtype=torch.float32)
        nn.init.zeros_(self.score.weight)  # stage 2 starts from a head of zeros

    @property
    def config(self) -> PretrainedConfig:
        """The backbone's config, as deep as the model that it is the first L blocks of."""
        return self.model.config  # type: ignore[return-value]

    def hidden(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
    ) -> Tensor:
        """h after block L at every position, [B, T, d] in the backbone's dtype.

        `attention_mask` covers cached and new tokens, as in Hugging Face; `past_key_values` is a Cache
        that is extended in place.
        """
        back = None
        if position_ids is None and attention_mask is not None and past_key_values is None:
            if (
                begins := attention_mask.long().argmax(-1)
            ).any():  # recurrent decoders would read padding as text
                steps = torch.arange(input_ids.shape[1], device=input_ids.device)
                forth = (steps + begins[:, None]) % len(steps)
                back = (steps - begins[:, None]) % len(steps)
                input_ids, attention_mask = input_ids.gather(1, forth), attention_mask.gather(1, forth)
            position_ids = position_ids_of(attention_mask)
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        )
        h: Tensor = output.last_hidden_state
        return h if back is None else h.gather(1, back[..., None].expand_as(h))

    def codes(self, h: Tensor) -> Rows:
        """Active features of residual-stream vectors h [n, d]."""
        return self.sae.encode(self.sae.inputs(h))

    def reward(self, codes: Rows) -> Tensor:
        """r = sum_i w_i z_i, float32 [n]."""
        return codes.weighted(self.score.weight[0])

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_unused: object
    ) -> SARMOutput:
        """Rewards of a padded batch: `input_ids` and 0/1 `attention_mask` int64 [B, T], padded on either side.

        Without a mask every token counts as real and the last one is scored.
        """
        h = self.hidden(input_ids, attention_mask)
        rows = torch.arange(h.shape[0], device=h.device)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        codes = self.codes(h[rows, last_attended(mask)])
        return SARMOutput(self.reward(codes)[:, None], codes)
