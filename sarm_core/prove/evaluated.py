"""One experiment: a benchmark, other answers beside it, one model; every steering is then arithmetic.

experiment = Experiment.of_files("pairs", ["items.jsonl"], complement=corpus_complement())     # read and checked
of = experiment.encode(load_sarm("demo"))                                                    # the model runs here
of.outcome(steering).comparison.scores
of.report(steering)                                                    # what the command `evaluate` writes
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.registry import benchmark_of
from sarm_core.prove.benchmarks.scores import Ids
from sarm_core.prove.complement import Complement, ComplementAnswers
from sarm_core.prove.corpus import CORPUS_SETS, corpus_complement, encoded_corpus, positions
from sarm_core.prove.evaluation_report import evaluation_report
from sarm_core.prove.outcome import Outcome, outcome
from sarm_core.provenance import file_facts, model_facts, versions
from sarm_core.score.encoded import encode_once
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["Evaluated", "Experiment"]


@dataclass(frozen=True)
class Experiment:
    """What is to be evaluated, read and checked before a model runs.

    `files` are name and sha256 of what holds the items; `asked` is how the command line names the same (kind, then
    files or set). `corpus_rows` are the rows of the project's corpus that are the benchmark's and the complement's,
    where both come from it.
    """

    title: str
    benchmark: Benchmark
    complement: ComplementAnswers | None
    files: tuple[dict[str, str], ...]
    asked: tuple[str, ...]
    skip_bad: bool = False
    corpus_rows: tuple[Ids, Ids] | None = None
    reading: tuple[str, ...] = ()
    """The options by which rows were read, as the command line has them"""

    @classmethod
    def of_files(
        cls,
        kind: str,
        paths: Iterable[Path],
        *,
        skip_bad: bool = False,
        complement: ComplementAnswers | None = None,
        names: Mapping[str, str] | None = None,
        reader: Reader | None = None,
    ) -> Experiment:
        """Files as one benchmark of `kind`; `names` maps paths to what people know the files by (uploads).

        Raises RowError naming file and row, SarmError.
        """
        paths = list(paths)
        called = {str(path): (names or {}).get(str(path), str(path)) for path in paths}
        reader = reader or Reader()
        benchmark = benchmark_of(kind).read(paths, skip_bad=skip_bad, reader=reader)
        facts = [{**file_facts(path), "name": Path(called[str(path)]).name} for path in paths]
        if names is not None:
            benchmark = benchmark.under_names(called)
            facts = [{**fact, "name": name} for fact, name in zip(facts, called.values(), strict=True)]
        asked = (kind, *called.values())
        words = tuple(reader.words())
        title = ", ".join(called.values())
        return cls(title, benchmark, complement, tuple(facts), asked, skip_bad, reading=words)

    @classmethod
    def of_corpus(cls, name: str) -> Experiment:
        """Pairs of the project's corpus (a name in `CORPUS_SETS`); its other answers are the complement.

        Raises SarmError for another name.
        """
        if name not in CORPUS_SETS:
            raise SarmError(f"evaluate corpus {name}: name one of {', '.join(CORPUS_SETS)}")
        benchmark = CORPUS_SETS[name].pairs()
        everything = corpus_complement()
        own = positions(benchmark.conversations)
        rest = np.setdiff1d(np.arange(len(everything.answers)), own)
        others = corpus_complement(rest.tolist(), "the corpus's other answers") if rest.size else None
        return cls(
            CORPUS_SETS[name].title,
            benchmark,
            others,
            (everything.file,),
            ("corpus", name),
            corpus_rows=(own, rest),
        )

    def encode(self, scorer: Scorer, **how: Any) -> Evaluated:
        """Run the model, where it did not before (see `encode_once` for `how`). Raises RowError, SarmError."""
        if self.corpus_rows is not None:
            # The whole corpus, as every other question about it asks for, so that one encoding serves all.
            own, rest = self.corpus_rows
            encoded = [encoded_corpus(scorer, **how)]
            matrix, n_cut = encoded[0].matrix.select(own), encoded[0].n_cut[own]
            beside = encoded[0].matrix.select(rest)
        else:
            encoded = [encode_once(scorer, self.benchmark.conversations, places=self.benchmark.places, **how)]
            matrix, n_cut = encoded[0].matrix, encoded[0].n_cut
            if self.complement is not None:
                answers = self.complement.answers
                encoded.append(encode_once(scorer, answers.conversations, places=answers.places, **how))
            beside = encoded[-1].matrix
        return Evaluated(
            self,
            matrix,
            None if self.complement is None else self.complement.encoded(beside),
            int((n_cut > 0).sum()),
            sum(len(part.matrix) for part in encoded),
            sum(part.reused for part in encoded),
            tuple(note for part in encoded for note in part.notes),
            model_facts(scorer),
        )


@dataclass(frozen=True, eq=False)
class Evaluated:
    """An experiment with its activations: all that is needed to evaluate any steering.

    `matrix` holds the benchmark's conversations, `n_cut` of which were cut on the left. `n_answers` were asked for in
    all, and `n_reused` of them read from the cache; `notes` says what was odd. `model` says what ran (`model_facts`).
    """

    experiment: Experiment
    matrix: FeatureMatrix
    complement: Complement | None
    n_cut: int
    n_answers: int
    n_reused: int
    notes: tuple[str, ...]
    model: dict[str, Any]

    @property
    def title(self) -> str:
        """What people call the items."""
        return self.experiment.title

    @property
    def benchmark(self) -> Benchmark:
        """The items and what they score."""
        return self.experiment.benchmark

    @property
    def fingerprint(self) -> str:
        """Of the model that encoded the answers."""
        return str(self.model["fingerprint"])

    def outcome(self, steering: Steering | None = None, **drawn: Any) -> Outcome:
        """Before and after a steering (see `outcome` for `drawn`). Raises SteeringError for one of another model."""
        return outcome(self.benchmark, self.matrix, steering, self.complement, **drawn)

    def facts(self) -> dict[str, Any]:
        """What the figures were made from: model, files, cut answers, notes of the encoding, versions."""
        return {
            "model": self.model,
            "files": list(self.experiment.files),
            "cut_answers": self.n_cut,
            "encoding_notes": list(self.notes),
            "versions": versions(),
        }

    def report(self, steering: Steering | None = None, **drawn: Any) -> dict[str, Any]:
        """All of it as plain data for JSON: `evaluation_report` (which takes `drawn`) with the facts."""
        report = evaluation_report(self.benchmark, self.matrix, steering, complement=self.complement, **drawn)
        if self.complement is not None and self.complement.file is not None:
            report["complement"]["file"] = self.complement.file
        return report | self.facts()

    def command(self, model: str, report: Mapping[str, Any], out: str, **options: object) -> str:
        """The command that gives the figures of `report` again.

        `options` are further ones that have a value (`steering`, `device`, `max_length`); None leaves one out.
        """
        words = ["sarm", "evaluate", *self.experiment.asked]
        words += ["--model", model, "--dtype", str(self.model["dtype"])]
        for name in ("device", "max_length", "date", "steering"):
            if options.get(name) is not None:
                words += [f"--{name.replace('_', '-')}", str(options[name])]
        if self.experiment.complement is not None and self.experiment.corpus_rows is None:
            words += ["--complement", self.experiment.complement.asked]
        words += self.experiment.reading
        if self.experiment.skip_bad:
            words.append("--skip-bad")
        drawn = report["bootstrap"]
        words += ["--resamples", str(drawn["resamples"]), "--seed", str(drawn["seed"]), "--out", out]
        return shlex.join(words)
