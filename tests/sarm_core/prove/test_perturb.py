"""Rewrites keep what an answer says; flips and moved features are those of plain loops."""

import math
import re
import zlib
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.find.bias_pairs import BIASES, bias_pairs, style_pairs
from sarm_core.find.contrast import contrast
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.prove.collateral import collateral
from sarm_core.prove.perturb import perturb, rewritten
from sarm_core.text.rewrites import _SYNONYMS, REWRITES, rewrite
from sarm_core.text.rows import Conversation, Message

ANSWER = """Dr. Lee says it is usually important. Someone begins today. Pack e.g. these:

- wool socks
- a big tent
- `maybe` matches

```
- tea
- maybe
```

Therefore choose well."""


def said(text, prompt="How?"):
    return Conversation(messages=(Message("user", prompt), Message("assistant", text)))


WIDTH = 64
HEAD = np.random.default_rng(0).normal(size=WIDTH).astype(np.float32)


def words_as_features(conversations):
    """A real, if small, encoder: each token of the answer adds to the feature its checksum picks."""
    z = np.zeros((len(conversations), WIDTH), np.float32)
    for row, conversation in enumerate(conversations):
        for token in re.findall(r"\w+|[^\w\s]|\s{2,}", conversation.answer):
            z[row, zlib.crc32(token.encode()) % WIDTH] += 0.5
    return FeatureMatrix(sparse.csr_matrix(z), HEAD)


# -- rewrites --------------------------------------------------------------------------------------------


TEXT = st.lists(
    st.sampled_from(
        ["It is maybe big.", "Someone begins here.", "- some thing", "- a big thing", "`maybe`",
         "```\nmaybe. Usually\n```", "", "Is it quick?", "* star", "  - deeper", "1. first", "Dr. Who came.",
         "Everyone came, usually.", "\n"]
    ),
    min_size=1,
    max_size=8,
).flatmap(lambda parts: st.sampled_from([" ", "\n", "\n\n"]).map(lambda gap: gap.join(parts)))  # fmt: skip


@pytest.mark.slow
@settings(max_examples=200)
@given(text=TEXT, seed=st.integers(0, 50))
def test_each_rule_changes_only_what_it_may(text, seed):
    new = {rule: rewrite(text, rule, seed) for rule in REWRITES}
    assert all(version != text for version in new.values())
    if new["whitespace"] is not None:
        assert new["whitespace"].split() == text.split()
    if new["greeting"] is not None:
        assert new["greeting"].endswith(text)
    if new["suffix"] is not None:
        assert new["suffix"].startswith(text.rstrip())
    if new["reordered list"] is not None:
        assert Counter(new["reordered list"].split("\n")) == Counter(text.split("\n"))
        moved = [
            (a, b) for a, b in zip(text.split("\n"), new["reordered list"].split("\n"), strict=True) if a != b
        ]
        assert all(re.match(r"\s*[-*•+] ", line) for pair in moved for line in pair)
    if new["synonyms"] is not None:
        before, after = (re.findall(r"\w+|\W+", version) for version in (text, new["synonyms"]))
        for a, b in zip(before, after, strict=True):
            assert a == b or b.lower() == _SYNONYMS[a.lower()]


@pytest.mark.parametrize("rule", list(REWRITES))
def test_code_is_never_touched(rule):
    new = rewrite(ANSWER, rule, 3)
    assert new is not None
    assert "```\n- tea\n- maybe\n```" in new
    assert "`maybe`" in new


@pytest.mark.parametrize(
    "text",
    [
        "- First boil\n- then stir",
        "- boil it\n- stir the water from the previous item",
        "1. boil\n2. stir",
        "- tea\n- milk\n  more of milk",
        "- Chop onions\n- Fry them\n- Add stock",
        "- Onions chopped\n- Stock added\n- Serve hot",
        "- Julienne the carrots\n- Blanch the peas",
        "- Preheat oven\n- Grease pan",
        "- Stir gently\n- Pour slowly",
        "Follow these steps:\n\n- dough\n- filling\n- crust",
        "The best cities, from cold to warm:\n- Oslo\n- Rome",
        "How to begin:\n- shoes\n- socks",
        "- Monday\n- Tuesday",
        "- breakfast\n- lunch",
        "- two eggs\n- 200 g flour",
        "- milk,\n- tea, and\n- bread.",
        "- Cats are quiet.\n- They sleep.",
        "- salt\n- the same again",
        "- a house\n- its garden",
        "- You can go.\n- Never stay.",
        "- tea\n- milk\n\nThe first one is cheaper.",
        "We have these two:\n- tea\n- milk\n\nThey cost 2 and 3 euros, respectively.",
        "I prefer the latter:\n- tea\n- milk",
    ],
)
def test_a_list_whose_order_may_mean_something_keeps_it(text):
    assert all(rewrite(text, "reordered list", seed) is None for seed in range(5))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("- tea\n- milk", "- milk\n- tea"),
        ("You need:\n\n- wool socks\n- a big tent\n", "You need:\n\n- a big tent\n- wool socks\n"),
        ("* **Olive oil**\n* Fresh basil leaves", "* Fresh basil leaves\n* **Olive oil**"),
    ],
)
def test_a_list_of_things_changes_its_order(text, wanted):
    assert rewrite(text, "reordered list") == wanted


def test_a_greeting_or_suffix_is_not_given_twice():
    for rule in ("greeting", "suffix"):
        once = rewrite("Yes.", rule)
        assert once is not None
        assert rewrite(once, rule) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It is usually dry, and therefore safe.", "It is typically dry, and thus safe."),
        ("Therefore, act quickly. Although it rains, everyone came.",
         "Thus, act rapidly. Though it rains, everybody came."),
        ("- Maybe later\n- **Usually** now", "- Perhaps later\n- **Typically** now"),
        ("The lecture begins at nine; someone began to hum.", "The lecture starts at nine; somebody started to hum."),
        ("Walk towards the door. Nevertheless, wait.", "Walk toward the door. Nonetheless, wait."),
    ],
)  # fmt: skip
def test_synonyms_say_the_same(text, wanted):
    assert rewrite(text, "synonyms") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "It was a mistake. People usual mistake it for an error.",
        "How many people came? Not that many.",
        "That is a whole lot of big deals.",
        "An often overlooked point: buy time, not bread.",
        "Is that a yes or a maybe? It was a usually quiet place.",
        "More than usually careful.",
        'The word maybe has five letters, and "usually" seven.',
        "Run BEGIN and START. THEREFORE is a keyword; see Batman Begins and Anyone Else.",
        "well-usually someone's therefore-clause maybe_not @everyone",
        "Choose to begin. The important thing is to choose.",
    ],
)
def test_what_a_synonym_might_break_stays(text):
    assert rewrite(text, "synonyms") is None


def test_a_word_to_the_reader_leaves_markup_and_data_whole():
    for text in ("# Title\n\nText.", "- tea\n- milk", "1. tea", "> said", "| a | b |", "---\nText."):
        new = rewrite(text, "greeting")
        assert new is not None and re.fullmatch(r"[A-Z][a-z ]+!\n\n" + re.escape(text), new)
    assert re.fullmatch(r"[A-Z][a-z ]+! \*\*Yes\*\*, it is\.", rewrite("**Yes**, it is.", "greeting") or "")
    for text in ('{"answer": 3}', "[1, 2]", "<a>b</a>", "```\ncode\n```"):
        assert rewrite(text, "greeting") is None
        assert rewrite(text, "suffix") is None


# -- the check -------------------------------------------------------------------------------------------


PAIRS = [
    (said(a), said(b))
    for a, b in [
        (ANSWER, "No. Everyone says it is a mistake."),
        ("Someone buys things. Then go.", ANSWER),
        ("- tea\n- milk\n- a quick snack", "Maybe later. It is usually simple."),
        ("Yes.", "Yes."),
        ("Hello! Maybe start late.", "The whole day. Usually quickly!"),
        ("It shows. Well.", "One. Two. Three."),
        ("Therefore big. Therefore quick.", "- x\n- y"),
    ]
]


def test_flips_equal_plain_loops():
    found = perturb(PAIRS, words_as_features, seed=2)

    def reward(conversation):
        return float(words_as_features([conversation]).exact_rewards[0])

    def order(a, b):
        return (a > b) - (a < b)

    wanted, questions = set(), Counter()
    for rule in REWRITES:
        for number, (chosen, rejected) in enumerate(PAIRS):
            new = [rewritten(answer, rule, 2) for answer in (chosen, rejected)]
            for side, left, right in (
                ("both", new[0], new[1]),
                ("chosen", new[0], rejected),
                ("rejected", chosen, new[1]),
            ):
                if left is None or right is None:
                    continue
                questions[rule] += 1
                if order(reward(left), reward(right)) != order(reward(chosen), reward(rejected)):
                    wanted.add((rule, number, side))
    assert len(wanted) > 5
    assert {(f["rule"], f["pair"], f["side"]) for _, f in found.flips.iterrows()} == wanted
    for _, row in found.rules.iterrows():
        count = sum(rule == row["rule"] for rule, _, _ in wanted)
        assert (row["flips"], row["flip_rate"]) == (count, pytest.approx(count / questions[row["rule"]]))


def test_a_rewrite_that_lost_another_part_of_the_prompt_is_in_no_figure():
    """Its reward may change because the prompt did: those answers count as not rewritten, the others as ever."""
    answers = list(dict.fromkeys(answer for pair in PAIRS for answer in pair))
    spoilt = answers[::2]
    cuts = {rewritten(answer, "suffix"): 3 for answer in spoilt if rewritten(answer, "suffix")}
    cuts |= dict.fromkeys(answers[1::2], 5)  # equal cuts of original and rewrite do no harm
    cuts |= {rewritten(answer, "suffix"): 5 for answer in answers[1::2] if rewritten(answer, "suffix")}

    def with_noise(conversations):
        matrix = words_as_features(conversations)
        changed = matrix.csr.toarray()
        for row, conversation in enumerate(conversations):
            changed[row] *= -50 if cuts.get(conversation) == 3 else 1
        return FeatureMatrix(sparse.csr_matrix(changed), HEAD)

    found = perturb(PAIRS, with_noise, rules=["suffix"], cuts=cuts)
    row = found.rules.iloc[0]
    usable = [a for a in answers[1::2] if rewritten(a, "suffix")]
    assert row["answers"] == len(usable) > 2
    assert row["cut"] == sum(rewritten(answer, "suffix") is not None for answer in spoilt) > 2
    assert row["answers"] + row["cut"] + row["not_applicable"] == len(answers)
    for side, places in (("both", (0, 1)), ("chosen", (0,)), ("rejected", (1,))):
        assert row[f"pairs_{side}"] == sum(all(pair[p] in usable for p in places) for pair in PAIRS)
    change = [
        float(words_as_features([rewritten(a, "suffix")]).exact_rewards[0])
        - float(words_as_features([a]).exact_rewards[0])
        for a in usable
    ]
    assert row["mean_change"] == pytest.approx(np.mean(change))


def test_moved_features_account_for_the_change_of_reward():
    found = perturb(PAIRS, words_as_features, top=WIDTH)
    for _, row in found.rules.iterrows():
        mine = found.features[found.features["rule"] == row["rule"]]
        assert mine["mean_change"].sum() == pytest.approx(row["mean_change"], abs=1e-6)
        assert (mine["mean_abs_change"].diff().dropna() <= 1e-12).all()


def test_rates_weigh_pairs_as_copies_of_them():
    words = ["It is maybe big.", "Someone begins here.", "some quick thing", "No, usually.", "A big tent."]
    pairs = [(said(a), said(b)) for a, b in pairwise(words)]
    copies = [1, 3, 2, 1]
    repeated = [pair for pair, n in zip(pairs, copies, strict=True) for _ in range(n)]
    weighted = perturb(pairs, words_as_features, weights=copies).rules.dropna(subset=["flip_rate"])
    copied = perturb(repeated, words_as_features).rules.dropna(subset=["flip_rate"])
    rates = ["flip_rate", *(f"flip_rate_{side}" for side in ("both", "chosen", "rejected")), "weight"]
    pd.testing.assert_frame_equal(weighted[rates], copied[rates])
    plain = perturb(pairs, words_as_features).rules.dropna(subset=["flip_rate"])
    assert plain["flips"].equals(weighted["flips"])
    assert not np.allclose(plain["flip_rate"], weighted["flip_rate"])  # the weights did something here
    with pytest.raises(SarmError, match="weights has 1 numbers for 4 pairs"):
        perturb(pairs, words_as_features, weights=[1])


def test_a_score_that_ignores_the_rewrite_flips_nothing():
    def blind(conversations):
        z = np.array([[len(c.messages[0].content)] for c in conversations], np.float32)
        return FeatureMatrix(sparse.csr_matrix(z), np.ones(1, np.float32))

    found = perturb([(said("Yes. It is.", "long prompt"), said("No. Not.", "short"))], blind)
    assert found.flips.empty
    assert found.features.empty
    assert (found.rules["mean_abs_change"].fillna(0) == 0).all()


def test_rewards_that_are_not_numbers_are_counted_and_in_no_rate():
    def broken(conversations):
        matrix = words_as_features(conversations)
        matrix.csr.data[matrix.csr.indptr[0]] = math.nan
        return matrix

    found = perturb(PAIRS, broken, rules=["suffix"]).rules.iloc[0]
    clean = perturb(PAIRS, words_as_features, rules=["suffix"]).rules.iloc[0]
    asked = sum(clean[f"pairs_{side}"] for side in ("both", "chosen", "rejected"))
    kept = sum(found[f"pairs_{side}"] for side in ("both", "chosen", "rejected"))
    assert found["nan"] > 0
    assert kept + found["nan"] == asked


def test_the_model_runs_once_for_the_originals_and_once_a_rule():
    calls = []

    def counting(conversations):
        calls.append(len(conversations))
        return words_as_features(conversations)

    perturb(PAIRS, counting, rules=["suffix", "greeting"])
    assert len(calls) == 3
    assert calls[0] == len({answer for pair in PAIRS for answer in pair})


def test_bad_questions_are_refused():
    with pytest.raises(SarmError, match="unknown rule 'rhyme'"):
        perturb(PAIRS, words_as_features, rules=["rhyme"])
    with pytest.raises(SarmError, match="at least one pair"):
        perturb([], words_as_features)
    with pytest.raises(SarmError, match="gave 1 answers"):
        perturb(PAIRS, lambda conversations: words_as_features(conversations[:1]))


def test_token_ids_cannot_be_rewritten_and_are_counted():
    ids = (Conversation(input_ids=(1, 2)), Conversation(input_ids=(1, 3)))

    def lengths(conversations):
        z = np.array([[sum(c.input_ids)] for c in conversations], np.float32)
        return FeatureMatrix(sparse.csr_matrix(z), np.ones(1, np.float32))

    found = perturb([ids], lengths, rules=["suffix"])
    assert found.rules["not_applicable"].tolist() == [2]


# -- the bias finder -------------------------------------------------------------------------------------


PROSE = [
    said("It may rain. Take a coat. You might need it."),
    said("**Bold** claim. The *second* one.\n\n# Heading\nMore text here."),
    said("- milk is good\n- tea is fine"),
    said("A plain answer without any doubt. It has two sentences."),
    said("Sorry, no."),
    Conversation(input_ids=(1, 2)),
]


def words(text):
    return re.findall(r"[\w']+", text)


@pytest.mark.parametrize("bias", list(BIASES))
def test_pairs_stay_with_their_prompt_and_every_text_is_accounted_for(bias):
    made = bias_pairs(PROSE, bias)
    assert sorted([*made.origin.tolist(), *made.not_applicable]) == list(range(len(PROSE)))
    for origin, one, two in zip(made.origin, made.with_, made.without, strict=True):
        assert one.messages[:-1] == two.messages[:-1] == PROSE[origin].messages[:-1]
        assert one.answer != two.answer


@pytest.mark.parametrize("bias", ["lists", "markdown"])
def test_form_differs_and_the_words_do_not(bias):
    made = bias_pairs(PROSE, bias)
    for one, two in zip(made.with_, made.without, strict=True):
        assert words(one.answer.removeprefix("## Answer")) == words(two.answer)
    if bias == "lists":
        assert all(line.startswith("- ") for one in made.with_ for line in one.answer.split("\n") if line)
        assert not any("- " in two.answer for two in made.without)
    else:
        assert not any(mark in two.answer for two in made.without for mark in ("**", "#", "*second*"))


@pytest.mark.parametrize("bias", ["length", "refusal wording", "flattery"])
def test_the_answer_is_still_there_in_full(bias):
    made = bias_pairs(PROSE, bias)
    for one, two in zip(made.with_, made.without, strict=True):
        rest = iter(words(one.answer))
        assert all(word in rest for word in words(two.answer))
        assert len(words(one.answer)) > len(words(two.answer))


def test_hedges_become_certain_word_by_word():
    made = bias_pairs(PROSE[:1], "certainty")
    assert made.with_[0].answer == "It will rain. Take a coat. You will need it."
    assert made.without[0].answer == PROSE[0].answer


def test_a_lone_star_or_underscore_is_no_markup():
    text = "Use 2 * 3 * 4 and my_own_name or *args."
    made = bias_pairs([said(text)], "markdown")
    assert made.without[0].answer == text


def test_contrast_finds_the_feature_behind_a_bias():
    """End to end with the word encoder: the compliment's words are the features that stand out."""
    made = bias_pairs([said(f"Answer number {n}. It is {n * 7}.") for n in range(30)], "flattery")
    found = contrast(words_as_features(made.with_), words_as_features(made.without), resamples=0)
    top = found.table.iloc[0]
    added = {
        zlib.crc32(w.encode()) % WIDTH for w in words("What a brilliant question you clearly have sharp mind")
    }
    assert int(top["feature"]) in added
    assert (top["stability"], top["n_differing"]) == (1.0, 30)


def test_texts_that_give_no_pair_are_an_error_not_an_empty_table():
    with pytest.raises(SarmError, match="no pair for 'lists'"):
        bias_pairs([said("Short.")], "lists")
    with pytest.raises(SarmError, match="unknown bias 'height'"):
        bias_pairs(PROSE, "height")


def test_style_pairs_compare_the_same_content_in_two_styles():
    row = {"prompt": "p", "chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"], "domain": "chat"}
    benchmark = RMBench.from_rows([("in", 1, row), ("in", 2, row | {"prompt": "q"})])
    pairs = style_pairs(benchmark, "markdown", "plain")
    texts = [
        (
            benchmark.conversations[a].answer,
            benchmark.conversations[b].answer,
            benchmark.conversations[a].messages[0],
        )
        for a, b, _ in pairs
    ]
    assert [(a, b) for a, b, _ in texts] == [("c2", "c1"), ("c2", "c1"), ("r2", "r1"), ("r2", "r1")]
    assert pairs[:, 2].tolist() == [0, 1, 0, 1]


def test_rewards_that_differ_only_in_rounding_are_a_tie_here_as_in_an_evaluation():
    """Exactly the chosen answer is ahead by 2^-40; as rewards are given out, in float32, the two are equal."""
    pair = (said("One. Two."), said("Three. Four."))

    def score(conversations):
        ahead = [2.0**-40 if conversation == pair[0] else 0.0 for conversation in conversations]
        z = np.array([[1.0, part] for part in ahead], np.float32)
        return FeatureMatrix(sparse.csr_matrix(z), np.ones(2, np.float32))

    before = score(pair)
    assert before.exact_rewards[0] > before.exact_rewards[1] and before.rewards[0] == before.rewards[1]
    found = perturb([pair], score, rules=["whitespace", "greeting"])
    assert found.rules["answers"].sum() > 0 and found.flips.empty
    after = np.full(2, 1.0, np.float32)
    assert collateral(before.rewards, after, [[0, 1]]).n_flipped == 0
    assert collateral(before.exact_rewards, after, [[0, 1]]).n_flipped == 0
