"""Rows of token ids, single and in pairs; what an attention mask leaves out is padding."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.rows import Conversation
from sarm_core.text.shapes.base import Fields, RowAnswers, Shape, keys

__all__ = ["TokenIds", "TokenPair"]


class TokenIds(Shape):
    name = "token-ids"
    title = "token ids"
    source = "tokenized datasets"
    needs = keys("input_ids")
    known = frozenset(["labels", "token_type_ids", "completion_mask", "assistant_masks", "length"])
    example = {"input_ids": [1, 9906, 198, 2]}

    def read(self, row: Fields) -> RowAnswers:
        return RowAnswers.single(Conversation(input_ids=_unmasked(row, "input_ids", "attention_mask")))


class TokenPair(Shape):
    name = "token-pair"
    title = "preference pairs of token ids"
    source = "TRL's tokenized columns"
    needs = keys("chosen_input_ids rejected_input_ids", "chosen_ids rejected_ids")
    known = frozenset(["chosen_labels", "rejected_labels", "margin", "prompt_attention_mask"])
    example = {"prompt_ids": [1, 9906, 198], "chosen_ids": [5297, 2], "rejected_ids": [2822, 2]}

    def read(self, row: Fields) -> RowAnswers:
        ending = "_input_ids" if "chosen_input_ids" in row and "rejected_input_ids" in row else "_ids"
        prompt = row.token_ids(f"prompt{ending}") if f"prompt{ending}" in row else ()

        def side(name: str) -> Conversation:
            ids = _unmasked(row, f"{name}{ending}", f"{name}_attention_mask")
            return Conversation(input_ids=ids if ids[: len(prompt)] == prompt else (*prompt, *ids))

        return RowAnswers.pair(side("chosen"), side("rejected"))


def _unmasked(row: Fields, key: str, mask_key: str) -> tuple[int, ...]:
    ids = row.token_ids(key)
    if mask_key not in row:
        return ids
    mask = row.token_ids(mask_key)
    if len(mask) != len(ids) or any(bit > 1 for bit in mask):
        raise RowError(f"{mask_key!r} must hold a 0 or 1 for each of the {len(ids)} ids of {key!r}")
    kept = tuple(token for token, bit in zip(ids, mask, strict=True) if bit)
    if not kept:
        raise RowError(f"{mask_key!r} leaves out every token: remove the row")
    return kept
