"""A run that is watched: its log is read, its new answers are scored once, and its drift is computed anew.

watch = Watch(load_sarm("demo"), "runs/plain")
watch.refresh()                                # a Drift; again, when the run has gone on
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.score.encoded import Progress, encode_once
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader
from sarm_core.text.rows import prompt_of
from sarm_core.watch.agreement import Agreement, agreements
from sarm_core.watch.drift import Answers, Drift, Point, drift_of
from sarm_core.watch.folder import LogFolder, Reading, steps_in_words
from sarm_core.watch.logs import Logged
from sarm_core.watch.trainer_log import TrainerLog, trainer_log

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["Watch"]


@dataclass(frozen=True)
class _Step:
    """A step's answers, scored: those of `logged` that are not empty."""

    logged: tuple[Logged, ...]
    matrix: FeatureMatrix | None
    lengths: tuple[int, ...]


class Watch:
    """The run whose completions are logged in `source`, a folder or file, scored by `scorer` under `steering`.

    `every` scores each so-many-th logged step, and the last; `window` puts so many of them together as one point, for
    runs of few prompts a step. `features` and `also` are those of `drift_of`. `skip_bad` leaves out what cannot be
    read. `cache` and `use_cache` are those of `encode_once`, where every answer is kept: a watch that begins again
    encodes none twice.
    `read` and `kept` count the answers that the model read, and those that were on disk. `waiting` names files that
    are half-written, `bad` holds what was left out.
    Raises SteeringError for a steering of another model.
    """

    def __init__(
        self,
        scorer: Scorer,
        source: str | Path,
        *,
        steering: Steering | None = None,
        every: int = 1,
        window: int = 1,
        features: int = 20,
        also: Sequence[int] = (),
        resamples: int = 1000,
        seed: int = 0,
        reader: Reader | None = None,
        skip_bad: bool = False,
        cache: Path | None = None,
        use_cache: bool = True,
    ) -> None:
        if every < 1 or window < 1:
            raise SarmError("every and window are at least 1")
        self.scorer, self.source, self.steering = scorer, Path(source), steering or Steering()
        self.steering.check(scorer.n_features)
        self.every, self.window, self.features = every, window, features
        self.also, self.resamples, self.seed = tuple(also), resamples, seed
        self._folder = LogFolder(self.source, reader or Reader(), skip_bad)
        self._cache, self._use_cache = cache, use_cache
        self._steps: dict[int, _Step] = {}
        self._before: tuple[object, Drift] | None = None
        self.read = self.kept = 0
        self.waiting: tuple[str, ...] = ()
        self.bad: tuple[RowError, ...] = ()
        self.agreement: tuple[Agreement, ...] = ()

    def refresh(
        self, progress: Progress | None = None, *, note: Callable[[str], object] | None = None
    ) -> Drift | None:
        """Read what is new, score it, and give the drift; None while no step has an answer.

        Memory: the activations of all answers. Raises RowError naming file and row, NothingLogged for a folder without
        a log.
        """
        reading = self._folder.read()
        self.waiting, self.bad = reading.waiting, reading.bad
        log = trainer_log(self.source if self.source.is_dir() else self.source.parent)
        reading = _without_evaluations(reading, log)
        self._score(self._wanted(reading), progress, note)
        state = (
            tuple((step, id(self._steps[step])) for step in self._steps),
            reading.notes,
            tuple(log.kl.items()),
        )
        if self._before is None or self._before[0] != state:
            drift = self._drift(reading, log)
            if drift is None:
                return None
            self._before = (state, drift)
        return self._before[1]

    def _wanted(self, reading: Reading) -> dict[int, tuple[Logged, ...]]:
        steps = [step for step, answers in reading.steps.items() if any(a.conversation for a in answers)]
        if not steps:
            return {}
        chosen = dict.fromkeys([*steps[:: self.every], steps[-1]])
        return {step: reading.steps[step] for step in chosen}

    def _score(
        self,
        wanted: Mapping[int, tuple[Logged, ...]],
        progress: Progress | None,
        note: Callable[[str], object] | None,
    ) -> None:
        """Score the steps that are new or not what they were; forget those that are gone."""
        fresh = [
            step
            for step, logged in wanted.items()
            if step not in self._steps or self._steps[step].logged != logged
        ]
        for gone in self._steps.keys() - wanted.keys():
            del self._steps[gone]
        if fresh:
            rows = [one for step in fresh for one in wanted[step] if one.conversation is not None]
            conversations = [one.conversation for one in rows if one.conversation is not None]
            places = [one.place for one in rows]
            try:
                sequences = self.scorer.tokens(conversations)
            except RowError as error:
                raise error.at(*places[(error.row or 1) - 1]) from None
            encoded = encode_once(
                self.scorer,
                conversations,
                places=places,
                sequences=sequences,
                folder=self._cache,
                use_cache=self._use_cache,
                progress=progress,
            )
            self.kept += encoded.reused
            self.read += len(rows) - encoded.reused
            if note is not None:
                for line in encoded.notes:
                    note(line)
            at = 0
            for step in fresh:
                n = sum(one.conversation is not None for one in wanted[step])
                matrix = FeatureMatrix(encoded.matrix.csr[at : at + n], encoded.matrix.head)
                lengths = tuple(len(sequence) - sequence.answer_start for sequence in sequences[at : at + n])
                self._steps[step] = _Step(wanted[step], matrix, lengths)
                at += n
        self._steps = dict(sorted(self._steps.items()))

    def _drift(self, reading: Reading, log: TrainerLog) -> Drift | None:
        held = list(self._steps.items())
        if not held:
            return None
        points = [held[at : at + self.window] for at in range(0, len(held), self.window)]
        rows = [one for _, step in held for one in step.logged if one.conversation is not None]
        matrix = FeatureMatrix.concatenate([step.matrix for _, step in held if step.matrix is not None])
        numbers: dict[object, int] = {}
        prompts = [
            numbers.setdefault(prompt_of(one.conversation)[0], len(numbers))
            for one in rows
            if one.conversation
        ]
        sizes = [sum(len(step.lengths) for _, step in some) for some in points]
        answers = Answers(
            self.steering.apply(matrix),
            np.repeat(np.arange(len(points)), sizes),
            np.array(prompts, dtype=np.int64),
            np.array([length for _, step in held for length in step.lengths], dtype=np.float64),
            tuple(one.conversation for one in rows if one.conversation is not None),
        )
        drift = drift_of(
            answers,
            [tuple(step for step, _ in some) for some in points],
            features=self.features,
            also=self.also,
            resamples=self.resamples,
            seed=self.seed,
        )
        self.agreement = self._agreement(answers, rows, log)
        drawn = [
            _with_log(point, [s for _, s in some], log)
            for point, some in zip(drift.points, points, strict=True)
        ]
        notes = [*reading.notes, *_doubts(drawn), *(one.in_words for one in self.agreement[:1])]
        return replace(drift, points=tuple(drawn), notes=tuple(_sentence(note) for note in notes))

    def _agreement(self, answers: Answers, rows: Sequence[Logged], log: TrainerLog) -> tuple[Agreement, ...]:
        names = dict.fromkeys(name for one in rows for name in one.figures if name != "kl")
        known = [name for name in names if name in log.rewards] or list(names)
        steps = np.array([one.step for one in rows], dtype=np.int64)
        groups = np.unique(np.stack([steps, answers.prompts]), axis=1, return_inverse=True)[1].ravel()
        return agreements(answers.matrix.rewards, [one.figures for one in rows], groups, known)


def _sentence(note: str) -> str:
    return note[0].upper() + note[1:] + ("" if note.endswith("?") else ".")


def _without_evaluations(reading: Reading, log: TrainerLog) -> Reading:
    """Without the steps that hold an evaluation's answers, where there are others."""
    evaluated = [step for step in reading.steps if step in log.evaluated]
    if not reading.log.replaced_by_evaluation or not evaluated or len(evaluated) == len(reading.steps):
        return reading
    kept = {step: answers for step, answers in reading.steps.items() if step not in log.evaluated}
    said = (
        f"{steps_in_words(evaluated)} hold the answers of an evaluation in place of the training's: left out"
    )
    return replace(reading, steps=kept, notes=(*reading.notes, said))


def _with_log(point: Point, steps: Sequence[_Step], log: TrainerLog) -> Point:
    logged = [one for step in steps for one in step.logged]
    kl = [log.kl[step] for step in point.steps if step in log.kl] or [
        one.figures["kl"] for one in logged if "kl" in one.figures
    ]
    names = dict.fromkeys(name for one in logged for name in one.figures)
    figures = {
        name: float(np.mean([one.figures[name] for one in logged if name in one.figures])) for name in names
    }
    return replace(
        point,
        n_empty=sum(one.conversation is None for one in logged),
        kl=float(np.mean(kl)) if kl else np.nan,
        figures=figures,
    )


def _doubts(points: Sequence[Point]) -> list[str]:
    """What to know before the last point is believed."""
    last, found = points[-1], []
    strange = [point.steps[-1] for point in points[:-1] if point.common == 0]
    if strange and max(point.common for point in points[1:]) == 1:
        found.append(
            f"{steps_in_words(strange)} ask none of the first prompts, though others ask all: an evaluation?"
        )
    if len(points) > 1 and last.common < 0.5:
        found.append(
            f"{1 - last.common:.0%} of the prompts of step {last.title} are not asked at step {points[0].title}: part "
            "of a change may be theirs"
        )
    if len(points) > 1 and last.overlap < 0.5:
        found.append(
            f"{1 - last.overlap:.0%} of the last answers are longer or shorter than any of the first: what remains at "
            "equal length is extrapolated"
        )
    empty = sum(point.n_empty for point in points)
    if empty:
        found.append(f"{empty:,} completions say nothing and have no reward")
    return found
