"""Two values of one thing that was varied in the project's own corpus, as the two sides of a contrast."""

from __future__ import annotations

from sarm_core.demo.corpus import CORPUS, CorpusAnswer, by_prompt
from sarm_core.errors import SarmError
from sarm_core.find.sides import Sides
from sarm_core.text.answer_sets import Answers

__all__ = ["axis_sides"]


def axis_sides(axis: str, with_: str, without: str) -> Sides:
    """Pairs of answers to one prompt, one with each value of `axis`; every answer is used at most once.

    Of the possible partners the one that differs in the fewest other axes is taken, then the better one;
    the notes say in how many pairs something else differs as well.
    Raises SarmError when no prompt has both values.
    """
    pairs: list[tuple[CorpusAnswer, CorpusAnswer]] = []
    for group in by_prompt().values():
        left = [a for a in group if a.varied.get(axis) == with_]
        right = [a for a in group if a.varied.get(axis) == without]
        ranked = sorted(
            (_others(a, b, axis), -a.quality - b.quality, i, j)
            for i, a in enumerate(left)
            for j, b in enumerate(right)
        )
        used: tuple[set[int], set[int]] = set(), set()
        for _, _, i, j in ranked:
            if i not in used[0] and j not in used[1]:
                used[0].add(i)
                used[1].add(j)
                pairs.append((left[i], right[j]))
    if not pairs:
        raise SarmError(f"no prompt of the corpus has answers with {axis} {with_!r} and {without!r}")
    mixed = sum(_others(a, b, axis) > 0 for a, b in pairs)
    notes: tuple[str, ...] = ()
    if mixed:
        notes = (
            f"in {mixed} of {len(pairs)} pairs the two answers are also described differently on other axes: "
            "read the features with that in mind",
        )
    return Sides(
        _as_answers([a for a, _ in pairs]),
        _as_answers([b for _, b in pairs]),
        True,
        names=(with_, without),
        prompts=tuple(a.prompt_id for a, _ in pairs),
        notes=notes,
    )


def _others(a: CorpusAnswer, b: CorpusAnswer, axis: str) -> int:
    """Axes other than `axis` in which two answers are known to differ, or only one of them is described."""
    names = (set(a.varied) | set(b.varied)) - {axis}
    return sum(a.varied.get(name) != b.varied.get(name) for name in names)


def _as_answers(of: list[CorpusAnswer]) -> Answers:
    return Answers(tuple(a.conversation for a in of), tuple((CORPUS.name, a.row) for a in of))
