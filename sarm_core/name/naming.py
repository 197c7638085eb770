"""Naming features: one model writes each name, then says of texts it has not seen which have it; both are kept.

For each feature three steps: a name from the labelling prompts; which of the checking answers have it (detection);
which of two answers to one prompt fits it more (the pairwise test, a question a pair). What a step gave is in the
journal before the next is asked.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sarm_core.errors import SarmError
from sarm_core.name.budget import Budget, Cost, tokens_in
from sarm_core.name.evidence import AnswerPool, FeatureEvidence, Sizes, detect_rows, label_rows, pair_row
from sarm_core.name.journal import Journal
from sarm_core.name.model import FORMS, Asker, FeatureFailed, Reply, Stopped
from sarm_core.name.prompts import Prompts
from sarm_core.name.replies import BadReply, Label, read_detect, read_label, read_pair
from sarm_core.name.scores import balanced_accuracy, holding, pairwise

__all__ = [
    "METHOD_PREFIX",
    "Named",
    "Naming",
    "Outcome",
    "estimated",
    "evidence_of",
    "header_of",
    "merged",
    "method_of",
    "ranked",
]

METHOD_PREFIX = "llm: "
"""Of the methods under which these suggestions are stored, one a model and version of the prompts"""
READINGS = 3
"""Times a question is asked whose reply is not what was asked for"""
REPLY_TOKENS = {"label": 90, "detect": 30, "pair": 10}
"""What replies have, about; for the estimate"""
GRACE = 10.0
"""Seconds that replies which are under way get after a Stop"""
T = TypeVar("T")


def method_of(model: str, prompts: Prompts) -> str:
    """Under which method names are stored: a model and a version of the prompts, never put together with another."""
    return f"{METHOD_PREFIX}{' '.join(model.split())[:120]}, prompt {prompts.version}"


def evidence_of(pool: AnswerPool, features: Iterable[int], most: int) -> list[FeatureEvidence]:
    """What the first `most` of `features` are named from; those with too few answers to contrast are passed over."""
    found: list[FeatureEvidence] = []
    for feature in features:
        if len(found) == most:
            break
        made = pool.of(feature)
        if made is not None:
            found.append(made)
    return found


def ranked(pool: AnswerPool, head: npt.ArrayLike, without: Collection[int]) -> list[int]:
    """Features with any mass (the sum of |w z|), the largest first, but for those `without`."""
    mass = pool.mass * np.abs(np.nan_to_num(np.asarray(head, dtype=np.float64)))
    return [int(i) for i in np.argsort(-mass, kind="stable") if mass[i] > 0 and int(i) not in without]


def header_of(model: str, prompts: Prompts, fingerprint: str, sizes: Sizes) -> dict[str, Any]:
    """What makes two namings the same one, to go on with: model, prompts, the store's model, texts."""
    return {
        "model": model,
        "prompts": prompts.version,
        "prompt_hash": prompts.hash,
        "fingerprint": fingerprint,
        **vars(sizes),
    }


@dataclass(frozen=True)
class Named:
    """A feature's name; see `feature_db.SuggestionRecord`."""

    feature: int
    text: str
    evidence: dict[str, Any]


@dataclass
class Outcome:
    """How a run ended: `failed` features with the reason; `stopped`, why it ended before its end; None otherwise."""

    named: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    stopped: str | None = None
    interrupt: KeyboardInterrupt | None = None
    """Kept, as one that dies unseen is raised again (`cli.interrupts`)"""


class Naming:
    """One run over `tasks`. `say` is told of each feature that is done or failed, from any thread, one at a time."""

    def __init__(
        self,
        tasks: Sequence[FeatureEvidence],
        asker: Asker,
        prompts: Prompts,
        budget: Budget,
        journal: Journal,
        *,
        most_reply_tokens: int,
        say: Callable[[int, str | None], object] = lambda _feature, _failure: None,
    ):
        self.tasks, self.asker, self.prompts, self.budget = tasks, asker, prompts, budget
        self.journal, self._most, self._say = journal, most_reply_tokens, say
        self.outcome = Outcome()
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> Outcome:
        """Ask what is not in the journal. Ctrl-C, a spent budget and a refused key end it with what is done kept."""
        waiting: queue.SimpleQueue[FeatureEvidence] = queue.SimpleQueue()
        for task in self.tasks:
            waiting.put(task)
        # Events, not joins: a join that Ctrl-C interrupts takes its thread for ended.
        ends = [threading.Event() for _ in range(max(1, min(self.asker.at_once, len(self.tasks))))]
        for end in ends:
            threading.Thread(target=self._work, args=(waiting, end), daemon=True).start()
        try:
            for end in ends:
                while not end.wait(0.2):
                    pass
        except KeyboardInterrupt as interrupt:
            self.outcome.interrupt = interrupt
            self._end("stopped")
            latest = time.monotonic() + GRACE
            for end in ends:
                end.wait(max(0.0, latest - time.monotonic()))
        return self.outcome

    def _work(self, waiting: queue.SimpleQueue[FeatureEvidence], end: threading.Event) -> None:
        try:
            while not self.stop.is_set():
                self._one(waiting.get_nowait())
        except queue.Empty:
            pass
        finally:
            end.set()

    def _one(self, task: FeatureEvidence) -> None:
        try:
            self._name(task)
        except FeatureFailed as failed:
            self._done(task.feature, str(failed))
        except SarmError as stopped:
            self._end(str(stopped))
        except Exception as error:  # a thread that dies silently would look like a run that ended well
            self._end(f"feature {task.feature}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
        else:
            self._done(task.feature, None)

    def _done(self, feature: int, failure: str | None) -> None:
        with self._lock:
            if failure is None:
                self.outcome.named += 1
            else:
                self.outcome.failed[feature] = failure
            self._say(feature, failure)

    def _end(self, why: str) -> None:
        with self._lock:
            if self.outcome.stopped is None:
                self.outcome.stopped = why
        self.stop.set()
        self.asker.stopping.set()

    # -- one feature ---------------------------------------------------------------------------------------------

    def _name(self, task: FeatureEvidence) -> None:
        label = self.journal.done.get((task.feature, "label"))
        if label is None:
            prompt = self.prompts.filled("label", label_rows(task))
            made, raw = self._asked("label", prompt, read_label)
            label = _label_kept(made, raw, task)
            self.journal.add(task.feature, "label", label)
        name = str(label["name"])
        if (task.feature, "detect") not in self.journal.done:
            rows = detect_rows(task)
            found, _ = self._asked(
                "detect", self.prompts.filled("detect", rows, name), lambda text: read_detect(text, len(rows))
            )
            said = [number in found for number in range(1, len(rows) + 1)]
            self.journal.add(task.feature, "detect", {"said": said, "true": [has for _, has in task.detect]})
        for number, (contrast, first) in enumerate(task.pairs):
            step = f"pair {number}"
            if (task.feature, step) not in self.journal.done:
                prompt = self.prompts.filled("pair", [pair_row(contrast, first)], name)
                fits, _ = self._asked("pair", prompt, read_pair)
                self.journal.add(task.feature, step, {"fits": fits, "strong": "A" if first else "B"})

    def _asked(self, step: str, prompt: str, read: Callable[[str], T]) -> tuple[T, str]:
        """What a reply says, and the reply; asked again, a few times, where it is not what was asked for."""
        why = ""
        for reading in range(READINGS):
            again = (
                ""
                if not reading
                else f"\n\n(The last reply could not be used: {why}. Reply with the JSON object alone.)"
            )
            reply = self._reply([{"role": "user", "content": prompt + again}], step)
            if reply.cut:
                why = "it is cut off"
                continue
            try:
                return read(reply.text), reply.text
            except BadReply as bad:
                why = str(bad)
        raise FeatureFailed(f"no reply to the {step} prompt could be used ({why}); asked {READINGS} times")

    def _reply(self, turns: list[dict[str, str]], step: str) -> Reply:
        if self.stop.is_set():
            raise Stopped("stopped")
        meter = _Meter(self.budget, tokens_in(turns[0]["content"]), self._most)
        reply = None
        try:
            reply = self.asker.ask(turns, FORMS[step], meter.before)
        finally:
            meter.end(reply)
        return reply


class _Meter:
    """One question on the budget: each of its requests is reserved before it goes out and settled after."""

    def __init__(self, budget: Budget, prompt_tokens: int, most_reply_tokens: int):
        self._budget, self._size = budget, (prompt_tokens, most_reply_tokens)
        self._open = False

    def before(self) -> None:
        self.end(None)
        self._budget.reserve(*self._size)
        self._open = True

    def end(self, reply: Reply | None) -> None:
        if self._open:
            self._budget.settle(*self._size, reply)
            self._open = False


def _label_kept(made: Label, raw: str, task: FeatureEvidence) -> dict[str, Any]:
    return {
        "name": made.name,
        "explanation": made.explanation,
        "score": made.score,
        "response": raw[:4000],
        "contexts": [pair.strong.answer for pair in task.label],
        "texts": [[pair.strong.text, pair.weak.text] for pair in task.label],
        "silent": task.silent,
        "pairs": len(task.pairs),
    }


# -- before and after --------------------------------------------------------------------------------------------


def estimated(
    tasks: Sequence[FeatureEvidence], prompts: Prompts, budget: Budget, done: Collection[tuple[int, str]] = ()
) -> Cost:
    """What asking all that is not `done` (feature, step) costs, about: each question once, replies of usual length."""
    sizes, replies = [], 0
    name = "a name of about this many words and letters"
    for task in tasks:
        asks = [("label", "label", label_rows(task)), ("detect", "detect", detect_rows(task))]
        asks += [(f"pair {i}", "pair", [pair_row(*pair)]) for i, pair in enumerate(task.pairs)]
        for key, step, rows in asks:
            if (task.feature, key) not in done:
                sizes.append(tokens_in(prompts.filled(step, rows, name)))
                replies += REPLY_TOKENS[step]
    cost = budget.estimate(sizes, 0)
    return Cost(cost.requests, cost.prompt_tokens, replies, budget._money(cost.prompt_tokens, replies))


def merged(journal: Journal, before: Iterable[Any], model: str, prompts: Prompts) -> list[Named]:
    """The names of a method: those that were there and those that the journal has whole, by feature.

    Which of them hold is said anew of all together: each is one test of many.
    """
    found = {each.feature: Named(each.feature, each.text, dict(each.evidence)) for each in before}
    for feature in {feature for feature, _ in journal.done}:
        made = _whole(journal, feature)
        if made is not None:
            made.evidence.update(model=model, prompt_version=prompts.version, prompt_hash=prompts.hash)
            found[feature] = made
    names = [found[feature] for feature in sorted(found)]
    counts = [_counted(name.evidence) for name in names]
    for name, holds in zip(names, holding(counts), strict=True):
        name.evidence.update(holds=holds, tried=len(names))
    return names


def _counted(evidence: dict[str, Any]) -> tuple[int, int]:
    """(right, decided) pairs of a name."""
    pairs, ties, auc = (evidence.get(key) for key in ("pairs", "ties", "auc"))
    if type(pairs) is not int or type(ties) is not int or not isinstance(auc, float):
        return 0, 0
    return round(auc * pairs - ties / 2), pairs - ties


def _whole(journal: Journal, feature: int) -> Named | None:
    """A feature's name with its checks; None while some are missing."""
    label, detect = (journal.done.get((feature, step)) for step in ("label", "detect"))
    if label is None or detect is None:
        return None
    pairs = [journal.done.get((feature, f"pair {number}")) for number in range(label["pairs"])]
    if None in pairs:
        return None
    fits = [(pair["fits"], pair["strong"]) for pair in pairs if pair is not None]
    ties = sum(said == "equal" for said, _ in fits)
    right = sum(said == strong for said, strong in fits)
    return Named(
        feature,
        label["name"],
        {
            "description": label["explanation"],
            **{key: label[key] for key in ("score", "contexts", "response", "silent", "texts")},
            "detection": balanced_accuracy(detect["said"], detect["true"]),
            **pairwise(right, ties, len(fits)),
        },
    )
