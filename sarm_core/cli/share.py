"""The command `share`: answers to one prompt as a page with live sliders, or as a file for another installation."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_encoding_options,
    add_row_options,
    count,
    encoding_of,
    loaded,
    reader_of,
    say_reading,
    steering_of,
)
from sarm_core.errors import RowError, SarmError

if TYPE_CHECKING:
    from sarm_core.share.shared import Shared
    from sarm_core.text.answers import Reader
    from sarm_core.text.rows import Conversation, Place

__all__ = ["Share"]


class Share(Command):
    """Rows in, one page out that anybody can open."""

    name = "share"
    help = "a comparison as one page with live sliders, to send"
    description = (
        "Answers to one prompt as one HTML page with live sliders that opens offline, or, where OUT ends in .json, as "
        "the file that another installation opens. IN is rows of answers, or such a file, or such a page: then no "
        "model runs."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "source", type=Path, metavar="IN", help="rows of answers, or what was shared before"
        )
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument("--out", type=Path, required=True, metavar="OUT.html|OUT.json")
        parser.add_argument(
            "--prompt", type=count, default=1, help="which prompt of the file, from 1 (default 1)"
        )
        parser.add_argument("--steering", type=Path, metavar="S.json", help="the sliders to begin with")
        parser.add_argument("--store", type=Path, metavar="FILE", help="names of the features (only read)")
        parser.add_argument(
            "--texts", action="store_true", help="texts alone, to be scored where they are opened"
        )
        parser.add_argument("--made", metavar="TEXT", help="when (default: now); fix it for identical bytes")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.files import whole_file
        from sarm_core.share.page import shared_page

        ending = options.out.suffix.lower()
        if ending not in (".html", ".json"):
            raise SarmError(
                f"{options.out}: end it in .html for a page, or in .json for another installation"
            )
        if ending == ".html" and options.texts:
            raise SarmError(f"{options.out}: a page needs scores; give --texts an --out that ends in .json")
        shared = _opened(options) or _scored(options)
        if options.texts:
            shared = shared.without_scores()
        text = shared_page(shared) if ending == ".html" else shared.to_json()
        with whole_file(options.out) as file:
            file.write(text)
        print(
            f"{len(shared.answers)} answers, {len(text.encode()):,} bytes written to {options.out}",
            file=sys.stderr,
        )
        return 0


def _opened(options: argparse.Namespace) -> Shared | None:
    """What IN holds when it was shared before; None for rows."""
    from sarm_core.share.shared import Shared, is_shared

    try:
        data = options.source.read_bytes() if options.source.is_file() else b""
    except OSError as error:
        raise SarmError(f"{options.source}: cannot be read ({error.strerror})") from None
    if not is_shared(data):
        return None
    try:
        shared = Shared.from_json(data.decode("utf-8-sig"), str(options.source))
    except UnicodeDecodeError:
        raise SarmError(f"{options.source}: is not UTF-8 text") from None
    if shared.matrix is None and not options.texts:
        return _of_texts(options, shared)
    steering = steering_of(options)
    return shared if steering is None else shared.steered(steering, str(options.steering))


def _of_texts(options: argparse.Namespace, shared: Shared) -> Shared:
    """Texts that were shared without scores, scored by --model."""
    places = [(str(options.source), i) for i in range(1, len(shared.answers) + 1)]
    return _encoded(options, shared.conversations(), places, [a.note for a in shared.answers])


def _scored(options: argparse.Namespace) -> Shared:
    """Rows of IN, scored by --model."""
    reader = reader_of(options)
    conversations, places, names = _of_prompt(options.source, reader, options.prompt)
    shared = _encoded(options, conversations, places, names)
    say_reading(reader)
    return shared


def _of_prompt(
    source: Path, reader: Reader, number: int
) -> tuple[list[Conversation], list[Place], list[str]]:
    """The distinct answers to one prompt of a file, in its order."""
    from sarm_core.text.rows import prompt_of

    prompts: dict[object, dict[Conversation, tuple[Place, str]]] = {}
    for row, item in reader.rows(source):
        for answer in reader.answers(item).answers:
            if answer.conversation.messages is None:
                raise RowError("token ids have no text to show: give prompt and response").at(source, row)
            key, _ = prompt_of(answer.conversation)
            prompts.setdefault(key, {}).setdefault(answer.conversation, ((str(source), row), answer.name))
    if not prompts:
        raise RowError("the file has no rows", source=source)
    if number > len(prompts):
        raise SarmError(f"{source}: has {len(prompts)} prompts, so --prompt goes from 1 to {len(prompts)}")
    if len(prompts) > 1:
        print(f"prompt {number} of {len(prompts)}; --prompt chooses another", file=sys.stderr)
    chosen = list(prompts.values())[number - 1]
    return list(chosen), [place for place, _ in chosen.values()], [name for _, name in chosen.values()]


def _encoded(
    options: argparse.Namespace, conversations: list[Conversation], places: list[Place], names: list[str]
) -> Shared:
    from sarm_core.provenance import model_facts
    from sarm_core.score.encoded import encode_once
    from sarm_core.share.to_share import now, of_conversations
    from sarm_core.steering import Steering

    steering = steering_of(options)
    scorer = loaded(options)
    if steering is not None:
        steering.check(scorer.n_features)
    with encoding_of(options) as how:
        encoded = encode_once(scorer, conversations, places=places, **how)
    for note in encoded.notes:
        print(note, file=sys.stderr)
    shared = replace(
        of_conversations(conversations, names, encoded.matrix, encoded.n_cut.tolist(), model_facts(scorer)),
        steering=steering or Steering(),
        origin=f"file {options.source.name}",
        made=options.made if options.made is not None else now(),
    )
    return shared if options.store is None else _named(shared, options.store)


def _named(shared: Shared, path: Path) -> Shared:
    """With names from a store that is only read."""
    from feature_db import Store
    from sarm_core.cli.stores import store_errors
    from sarm_core.report.store_notes import notes_in_store
    from sarm_core.share.shared import SharedFeature

    with (
        store_errors(path, "cannot be used as a store; open it with the app once"),
        Store.read_only(path) as store,
    ):
        notes = notes_in_store(store, shared.named, shared.fingerprint)
    return shared.with_features(
        {i: SharedFeature(note.name, note.mark, note.density) for i, note in notes.items()}
    )
