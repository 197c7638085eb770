"""Pairs of the project's corpus that differ in one thing that was varied."""

from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.find.corpus import axis_sides


def test_axis_pairs_answer_the_same_prompt_and_use_no_answer_twice():
    for axis, (with_, without) in {
        "helpfulness": ("helpful", "over-refusing"),
        "tone": ("rude", "kind"),
    }.items():
        sides = axis_sides(axis, with_, without)
        varied = {answer.conversation: answer.varied for answer in corpus_answers()}
        for one, two in zip(sides.chosen.conversations, sides.rejected.conversations, strict=True):
            assert one.messages[:-1] == two.messages[:-1]
            assert (varied[one][axis], varied[two][axis]) == (with_, without)
        assert len(set(sides.chosen.conversations)) == len(sides.chosen)
        assert len(set(sides.rejected.conversations)) == len(sides.rejected)
