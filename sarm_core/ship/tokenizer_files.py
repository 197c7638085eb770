"""The tokenizer's files of an export, so that a reader without this project feeds its model the same tokens.

Such a reader (the reference code, Transformers) renders a conversation with `tokenizer.apply_chat_template(messages,
truncation=True)` and scores the last token. Here the template may stand elsewhere, the scored token may be followed by
a line break, a BOS may be added and the limit is an argument. All that is written into the tokenizer's own files, and
what cannot be is refused.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sarm_core.errors import CheckpointError, RowError
from sarm_core.model.backbone import load_tokenizer
from sarm_core.model.checkpoint import DEFAULT_MAX_LENGTH, Checkpoint
from sarm_core.model.tensor_files import read_json
from sarm_core.ship.older_transformers import tokenizer_for_older
from sarm_core.text.conversation import ChatFormat
from sarm_core.text.rows import Conversation, Message

__all__ = ["copy_tokenizer", "padding_is_safe", "write_tokenizer"]

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_TEMPLATE = "chat_template.jinja"
_CONFIG = "tokenizer_config.json"


def copy_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    """The tokenizer's files as they are, for readers that take template, rule and limit from `sarm.json`."""
    for source in (checkpoint.backbone, checkpoint.folder):
        for name in _FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)


def write_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    """The tokenizer's files, with a template that ends at the scored token and the limit, cut on the left.

    Tried on conversations: raises CheckpointError when the files would give other token ids than `load_sarm` scores.
    """
    copy_tokenizer(checkpoint, folder)
    chat = _chat_format(checkpoint)
    if chat is None:
        return
    tokenizer_for_older(folder, chat.tokenizer)
    config_file = folder / _CONFIG
    config = read_json(config_file) if config_file.exists() else {}
    template = _ending_at_the_scored_token(chat)
    # Transformers before 4.50 read the template from the config only, later ones from the file of its own.
    config |= {"chat_template": template, "model_max_length": chat.max_length, "truncation_side": "left"}
    config_file.write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / _TEMPLATE).write_text(template, encoding="utf-8")
    _try(chat, load_tokenizer(folder), checkpoint)


def padding_is_safe(checkpoint: Checkpoint) -> bool:
    """Whether the reference code's rule, the token before the first pad id, finds the scored one.

    It does not where the pad token also ends turns, as in every model with pad == eos.
    """
    config = checkpoint.config()
    if getattr(config, "pad_token_id", None) is None:
        return True
    eos = getattr(config, "eos_token_id", None)
    ends = eos if isinstance(eos, list) else [eos]
    chat = _chat_format(checkpoint)
    read = set() if chat is None else {int(i) for s in chat.tokens(_trials(chat)) for i in s.input_ids}
    return config.pad_token_id not in {*ends, *read}


def _chat_format(checkpoint: Checkpoint) -> ChatFormat | None:
    """None for a checkpoint that reads token ids only."""
    tokenizer = checkpoint.tokenizer()
    if tokenizer is None:
        return None
    chat = ChatFormat(
        tokenizer,
        chat_template=checkpoint.chat_template,
        rule=checkpoint.rule,
        max_length=checkpoint.limit(),
    )
    return chat if chat.template else None


def _trials(chat: ChatFormat) -> list[Conversation]:
    """One turn, two turns, and an answer that is too long; those of them which the template takes."""
    long = "And so it goes on, one line after another.\n" * (chat.max_length // 8 + 1)
    turns = [
        ("Is it safe?", "Yes, if the room is aired."),
        ("Hello", "Hello! What is it?", "Is it safe?", "No.\n\nNever do that"),
        ("Tell me a story.", long),
    ]
    roles = ("user", "assistant")
    found = [
        Conversation(messages=tuple(Message(roles[i % 2], text) for i, text in enumerate(texts)))
        for texts in turns
    ]
    return [conversation for conversation in found if _renders(chat, conversation)]


def _renders(chat: ChatFormat, conversation: Conversation) -> bool:
    try:
        chat.tokens([conversation])
    except RowError:
        return False
    return True


def _ending_at_the_scored_token(chat: ChatFormat) -> str:
    """The template, inside one that leaves out what follows the scored token and writes a BOS that would be missing."""
    template = str(chat.template)
    whole_texts = ChatFormat(
        chat.tokenizer, chat_template=template, rule=chat.rule, max_length=DEFAULT_MAX_LENGTH
    )
    before = after = ""
    for conversation in _trials(whole_texts)[:1]:
        (sequence,) = whole_texts.tokens([conversation])
        assert sequence.text is not None and sequence.spans is not None
        start, stop = (int(place) for place in sequence.spans[-1])
        if stop < len(sequence.text):
            end = json.dumps(sequence.text[start:stop])
            after = f"{{{{ rendered.rsplit({end}, 1)[0] ~ {end} }}}}"
        bos = chat.tokenizer.bos_token_id
        plain = chat.tokenizer(sequence.text, add_special_tokens=False)["input_ids"]
        if bos is not None and sequence.input_ids[0] == bos and plain[:1] != [bos]:
            before = "{{ bos_token }}"
    if not before and not after:
        return template
    whole = "{{ rendered }}"
    return (
        f"{before}{{% set rendered %}}{template}{{% endset %}}"
        f"{{% if add_generation_prompt %}}{whole}{{% else %}}{after or whole}{{% endif %}}"
    )


def _try(chat: ChatFormat, tokenizer: Any, checkpoint: Checkpoint) -> None:
    for conversation in _trials(chat):
        (wanted,) = chat.tokens([conversation])
        read = tokenizer.apply_chat_template(
            conversation.as_dicts(), tokenize=True, truncation=True, return_dict=True
        )["input_ids"]
        plainly = tokenizer(
            tokenizer.apply_chat_template(conversation.as_dicts(), tokenize=False), truncation=True
        )["input_ids"]
        if not read == plainly == wanted.input_ids.tolist():
            raise CheckpointError(
                f"{checkpoint.source}: a reader that scores the last token of the chat template cannot find the token "
                f"that is scored here ({checkpoint.rule!r}): use the layout own"
            )
