"""The command `propose`: which answers should win in, the smallest steering that makes them win out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_complement_option,
    add_encoding_options,
    add_row_options,
    complement_of,
    count,
    encoding_of,
    loaded,
    number,
    reader_of,
    say_reading,
    steering_of,
)
from sarm_core.errors import RowError, SarmError

if TYPE_CHECKING:
    from sarm_core.text.preferences import RowPair
    from sarm_core.text.rows import Conversation
    from sarm_core.wish.elsewhere import Elsewhere
    from sarm_core.wish.proposal import Proposal

__all__ = ["Propose"]


class Propose(Command):
    """Wishes in, a steering out; or the wishes that cannot be kept together."""

    name = "propose"
    help = "the smallest steering that puts answers in the order you want"
    description = (
        "Rows say which answers should win: a prompt, its answers and their order, best first "
        '({"prompt": "...", "answers": ["...", "..."], "order": [1, 0]}), or preferences of any other format. Of all '
        "multipliers that keep every wish, those are written that move least of the reward in other answers."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("files", type=Path, nargs="+", metavar="WISHES.jsonl")
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument("--out", type=Path, required=True, metavar="S.json", help="the steering")
        parser.add_argument("--steering", type=Path, metavar="S.json", help="the steering to start from")
        add_complement_option(parser)
        parser.add_argument(
            "--margin",
            type=number,
            help="how far a better answer leads at least, in reward (default: a twentieth of the median lead)",
        )
        parser.add_argument("--low", type=number, default=0.0, help="least multiplier (default 0)")
        parser.add_argument("--high", type=number, default=2.0, help="largest multiplier (default 2)")
        parser.add_argument("--max-features", type=count, help="change at most so many features")
        parser.add_argument("--json", action="store_true", help="what was found, as JSON on standard output")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.score.encoded import encode_once
        from sarm_core.wish.proposal import propose
        from sarm_core.wish.wishes import Wish, without_implied

        start, reader = steering_of(options), reader_of(options)
        pairs = [pair for path in options.files for pair in reader.pairs(path)]
        if not pairs:
            raise SarmError(f"{options.files[0]}: states no wish: {'; '.join(reader.said())}")
        if alike := next((pair for pair in pairs if pair.chosen == pair.rejected), None):
            raise RowError(
                "the answer that should win and the other one are the same text: leave the wish out"
            ).at(*alike.place)
        beside = complement_of(options, reader)
        texts = list(dict.fromkeys(text for pair in pairs for text in (pair.chosen, pair.rejected)))
        row = {text: i for i, text in enumerate(texts)}
        stated = {Wish(row[pair.chosen], row[pair.rejected]): pair for pair in pairs}
        places = dict.fromkeys(texts, pairs[0].place) | {
            text: pair.place for pair in pairs for text in (pair.chosen, pair.rejected)
        }
        scorer = loaded(options)
        if start is not None:
            start.check(scorer.n_features)
        with encoding_of(options) as how:
            encoded = encode_once(scorer, texts, places=list(places.values()), **how)
            elsewhere = None
            if beside is not None:
                others = beside.answers
                elsewhere = beside.encoded(
                    encode_once(scorer, others.conversations, places=others.places, **how).matrix
                )
        proposal = propose(
            encoded.matrix,
            wishes=without_implied(list(stated)),
            start=start,
            elsewhere=elsewhere,
            margin=options.margin,
            low=options.low,
            high=options.high,
            max_features=options.max_features,
        )
        say_reading(reader)
        if proposal.steering is None:
            raise SarmError(
                f"no multipliers from {options.low:g} to {options.high:g} keep "
                f"{_in_conflict([stated[wish] for wish in proposal.conflict])}: leave one out, or widen "
                "--low and --high"
            )
        proposal.steering.write(options.out)
        lines = _lines(proposal)
        if proposal.collateral is None:
            lines.append("what else turns is not known: name other answers with --complement")
        if cut := int((encoded.n_cut > 0).sum()):
            lines.append(f"{cut} answers were longer than {scorer.max_length} tokens: cut on the left")
        print("\n".join([*lines, *encoded.notes, f"written to {options.out}"]), file=sys.stderr)
        if options.json:
            print(json.dumps(_as_json(proposal), allow_nan=False))
        return 0


def _in_conflict(pairs: Sequence[RowPair]) -> str:
    """The wishes in words, each with its place."""
    words = [
        f"{_answer(pair.names[0], pair.chosen)} over {_answer(pair.names[1], pair.rejected)} ({_place(pair)})"
        for pair in pairs[:5]
    ]
    if len(pairs) > 5:
        words.append(f"and {len(pairs) - 5} more")
    return (
        f"the wish {words[0]}"
        if len(words) == 1
        else f"these {len(pairs)} wishes together: {'; '.join(words)}"
    )


def _answer(name: str, conversation: Conversation) -> str:
    """What an answer is called in its row, or its first words."""
    from sarm_core.text.rows import short

    if name or conversation.messages is None:
        return name or "an answer"
    return short(conversation.messages[-1].content)


def _place(pair: RowPair) -> str:
    return f"{pair.place[0]} row {pair.place[1]}"


def _lines(proposal: Proposal) -> list[str]:
    turned = sum(achieved.before <= 0 for achieved in proposal.achieved)
    lines = [
        f"{len(proposal.achieved)} wishes, {turned} of them not kept before; all kept now, by at least "
        f"{proposal.margin:.3g}, with {len(proposal.moved)} features changed"
        + ("" if proposal.proved else " (not proved to be the cheapest within the limit)")
    ]
    if not proposal.moved:
        lines = [f"all {len(proposal.achieved)} wishes are kept already: nothing to change"]
    for feature, (before, after) in list(proposal.moved.items())[:20]:
        lines.append(f"  feature {feature}: x {before:.4g} -> x {after:.4g}")
    if len(proposal.moved) > 20:
        lines.append(f"  and {len(proposal.moved) - 20} more")
    if proposal.collateral is not None:
        lines.append(_elsewhere(proposal.collateral))
    return lines


def _elsewhere(found: Elsewhere) -> str:
    counted = found.collateral
    line = f"elsewhere: {counted.n_flipped} of {counted.n_pairs} orders turn"
    if counted.n_pairs:
        sure = f"interval {found.low:.1%} to {found.high:.1%}"
        line += f" ({counted.share_flipped:.1%}, {'no interval: few prompts' if isnan(found.low) else sure})"
    return f"{line}; {counted.n_moved} of {counted.n} answers change their reward"


def _as_json(proposal: Proposal) -> dict[str, Any]:
    from sarm_core.prove.benchmarks.scores import json_number

    assert proposal.steering is not None
    found: dict[str, Any] = {
        "margin": proposal.margin,
        "cost": proposal.cost,
        "proved": proposal.proved,
        "features": [
            {"feature": feature, "before": before, "after": after}
            for feature, (before, after) in proposal.moved.items()
        ],
        "wishes": [{"before": a.before, "after": a.after} for a in proposal.achieved],
        "steering": json.loads(proposal.steering.to_json()),
    }
    if proposal.collateral is not None:
        found["elsewhere"] = {
            **proposal.collateral.collateral.to_dict(),
            "low": json_number(proposal.collateral.low),
            "high": json_number(proposal.collateral.high),
        }
    return found
