"""The command `name`: names of features by a language model, checked on answers that it did not write them from."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_seed_option, count, number

if TYPE_CHECKING:
    from sarm_core.name.budget import Budget
    from sarm_core.name.evidence import AnswerPool
    from sarm_core.name.naming import Naming
    from sarm_core.name.prompts import Prompts

__all__ = ["NameFeatures"]

URL, MODEL, KEY = "SARM_NAME_URL", "SARM_NAME_MODEL", "SARM_NAME_KEY"
SOME_FAILED, ENDED_EARLY = 1, 3


class NameFeatures(Command):
    """A store in, suggestions into it."""

    name = "name"
    help = "name features by a language model, and check the names on other answers"
    description = (
        "A language model writes a name for each feature from whole answers in which it is strong, beside answers "
        "to the "
        "same prompt in which it is silent; then it says of answers to other prompts which of them have it, and "
        "which of "
        "two fits more. The names go into STORE.db as suggestions, with how far they hold. What was asked is kept "
        "beside "
        "the store: the same command goes on where it ended. Exit code 1: some features failed; 3: ended early, by a "
        "limit, the server or Ctrl-C."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("db", type=Path, metavar="STORE.db")
        which = parser.add_argument_group(
            "model", "an OpenAI-compatible endpoint, or a folder on this machine"
        )
        which.add_argument("--url", help=f"what comes before /chat/completions (default: ${URL})")
        which.add_argument("--model", help=f"the endpoint's name for the model (default: ${MODEL})")
        which.add_argument(
            "--key-variable",
            default=KEY,
            metavar="NAME",
            help=f"the environment variable that holds the key (default {KEY}); a key is taken from nowhere else",
        )
        which.add_argument(
            "--local", metavar="FOLDER", help='a language model of Transformers instead, or "demo"'
        )
        which.add_argument("--device", help="of --local: cpu, cuda, cuda:N; default: CUDA when there is one")
        which.add_argument(
            "--extra",
            type=_object,
            default={},
            metavar="JSON",
            help='an object put into each request; null takes a key out, such as {"temperature": null}',
        )
        what = parser.add_argument_group("features and texts")
        what.add_argument(
            "--features", type=int, nargs="+", metavar="N", help="these (default: by their mass)"
        )
        what.add_argument(
            "--most",
            type=count,
            default=50,
            help="features with the largest sum of |w z| that no person named (default 50)",
        )
        what.add_argument("--texts", type=count, default=5, help="prompts a name is written from (default 5)")
        what.add_argument("--detect", type=count, default=10, help="answers it is looked for in (default 10)")
        what.add_argument("--pairs", type=count, default=10, help="pairs it has to tell apart (default 10)")
        what.add_argument("--longest", type=count, default=1500, help="letters of a text (default 1,500)")
        add_seed_option(what)  # type: ignore[arg-type]
        what.add_argument(
            "--prompts", type=Path, metavar="FOLDER", help="label.txt, detect.txt and pair.txt of your own"
        )
        how = parser.add_argument_group("budget", "nothing is sent that could pass a limit")
        how.add_argument(
            "--dry-run", action="store_true", help="print the estimate and the first prompt; ask nothing"
        )
        how.add_argument("--most-requests", type=count, metavar="N")
        how.add_argument("--most-tokens", type=count, metavar="N")
        how.add_argument("--most-money", type=number, metavar="X", help="needs the prices")
        how.add_argument("--prompt-price", type=number, metavar="X", help="of a million tokens read")
        how.add_argument("--reply-price", type=number, metavar="X", help="of a million tokens written")
        how.add_argument("--reply-tokens", type=count, default=400, help="the most a reply has (default 400)")
        how.add_argument("--at-once", type=count, default=4, help="requests at a time (default 4)")
        how.add_argument("--timeout", type=number, default=60, help="seconds for a reply (default 60)")
        how.add_argument("--attempts", type=count, default=5, help="of a request that fails (default 5)")

    def run(self, options: argparse.Namespace) -> int:
        from feature_db import Store
        from sarm_core.cli.stores import store_errors
        from sarm_core.errors import SarmError
        from sarm_core.name.evidence import AnswerPool, Sizes
        from sarm_core.name.naming import evidence_of, header_of
        from sarm_core.name.prompts import read_prompts

        prompts, budget = read_prompts(options.prompts), _budget(options)
        name, url = _model(options)
        sizes = Sizes(options.texts, options.detect, options.pairs, options.longest, options.seed)
        with store_errors(options.db), Store.open(options.db) as store:
            pool = AnswerPool(store, sizes)
            tasks = evidence_of(pool, _features(options, store, pool), options.most)
            if not tasks:
                raise SarmError(
                    f"{options.db}: no feature that was asked for has enough answers: three prompts in each part "
                    "with an "
                    "answer in which it is stronger than in another; harvest several answers a prompt"
                )
            header = header_of(name, prompts, store.model.fingerprint, sizes)
        if options.dry_run:
            return _dry(options, tasks, prompts, budget, name, header)
        return _run(options, tasks, prompts, budget, name, url, header)


def _run(
    options: argparse.Namespace,
    tasks: list[Any],
    prompts: Prompts,
    budget: Budget,
    name: str,
    url: str | None,
    header: dict[str, Any],
) -> int:
    from sarm_core.name.journal import Journal, journal_path
    from sarm_core.name.naming import Naming, estimated

    with Journal(journal_path(options.db, header), header) as journal:
        asker = _asker(options, name, url)
        cost = estimated(tasks, prompts, budget, journal.done)
        print(
            f"{len(tasks):,} features by {name}, prompts {prompts.version}: about {cost.words}",
            file=sys.stderr,
        )
        progress = _Progress(len(tasks), budget)
        naming = Naming(
            tasks, asker, prompts, budget, journal, most_reply_tokens=options.reply_tokens, say=progress.said
        )
        outcome = naming.run()
        stored, holding = _store(options, naming, name)
    print(
        f"{options.db}: {outcome.named:,} of {len(tasks):,} features named by {name} with prompt "
        f"{prompts.version}; of its "
        f"{stored:,} names {holding:,} hold on pairs of answers; {budget.cost.words} used"
    )
    if outcome.stopped is not None:
        print(f"ended early: {outcome.stopped}; the same command goes on from here", file=sys.stderr)
        return ENDED_EARLY
    return SOME_FAILED if outcome.failed else 0


def _store(options: argparse.Namespace, naming: Naming, name: str) -> tuple[int, int]:
    """Put all that is whole into the store; how many names there are now, and how many of them hold."""
    from feature_db import Store
    from sarm_core.cli.stores import store_errors
    from sarm_core.name.naming import merged, method_of

    method = method_of(name, naming.prompts)
    with store_errors(options.db), Store.open(options.db) as store:
        names = merged(naming.journal, store.suggestions(method), name, naming.prompts)
        store.replace_suggestions(method, names)
    return len(names), sum(bool(each.evidence["holds"]) for each in names)


def _dry(
    options: argparse.Namespace,
    tasks: list[Any],
    prompts: Prompts,
    budget: Budget,
    name: str,
    header: dict[str, Any],
) -> int:
    """The estimate and the first prompt; nothing is asked or written."""
    from sarm_core.name.evidence import label_rows
    from sarm_core.name.journal import asked_before, journal_path
    from sarm_core.name.naming import estimated

    cost = estimated(tasks, prompts, budget, asked_before(journal_path(options.db, header)))
    print(
        f"{len(tasks):,} features by {name}, prompts {prompts.version} ({prompts.hash}): about {cost.words}"
    )
    print("the first prompt:\n")
    print(_printable(prompts.filled("label", label_rows(tasks[0]))))
    return 0


def _printable(text: str) -> str:
    """Texts may hold what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _features(options: argparse.Namespace, store: Any, pool: AnswerPool) -> list[int]:
    """Those that were asked for, else all that no person named, those with the largest mass first."""
    from feature_db.features.evidence_kinds import NAMED, evidence_kinds
    from sarm_core.errors import SarmError
    from sarm_core.name.naming import ranked

    if options.features:
        wrong = [i for i in options.features if not 0 <= i < store.model.n_features]
        if wrong:
            raise SarmError(
                f"there is no feature {wrong[0]}: the model has 0 to {store.model.n_features - 1}"
            )
        options.most = max(options.most, len(options.features))
        return list(dict.fromkeys(options.features))
    named = {i for i, kind in evidence_kinds(store).items() if kind in NAMED}
    return ranked(pool, store.head(), named)


def _model(options: argparse.Namespace) -> tuple[str, str | None]:
    """What the model is called, and its address; None for one on this machine. Raises SarmError."""
    from sarm_core.errors import SarmError
    from sarm_core.name.endpoint import checked_url

    if options.local is not None:
        if options.url or options.model:
            raise SarmError("--local names the model: leave --url and --model out")
        own = (
            "SmolLM2-135M-Instruct"
            if options.local == "demo"
            else Path(options.local).expanduser().resolve().name
        )
        return own, None
    url, name = options.url or os.environ.get(URL), options.model or os.environ.get(MODEL)
    if not url or not name:
        raise SarmError(
            f"name the endpoint with --url (or ${URL}) and --model (or ${MODEL}), or a folder with --local"
        )
    return name, checked_url(url)


def _asker(options: argparse.Namespace, name: str, url: str | None) -> Any:
    from sarm_core.name.endpoint import Endpoint, is_loopback
    from sarm_core.name.local import LocalModel

    if url is None:
        return LocalModel(options.local, device=options.device)
    key = os.environ.get(options.key_variable) or None
    if key is None:
        print(f"${options.key_variable} is not set: asking without a key", file=sys.stderr)
    elif url.startswith("http://") and not is_loopback(url):
        print(f"the key goes to {url} unencrypted: use https where the network is not yours", file=sys.stderr)
    return Endpoint(
        url,
        name,
        key,
        timeout=options.timeout,
        attempts=options.attempts,
        at_once=options.at_once,
        reply_tokens=options.reply_tokens,
        extra=options.extra,
    )


def _budget(options: argparse.Namespace) -> Budget:
    from sarm_core.errors import SarmError
    from sarm_core.name.budget import Budget, Limits, Prices

    for value, what in (
        (options.most_money, "--most-money"),
        (options.prompt_price, "--prompt-price"),
        (options.reply_price, "--reply-price"),
    ):
        if value is not None and value < 0:
            raise SarmError(f"{what} is {value:g}, which is below 0")
    if options.timeout <= 0:
        raise SarmError(f"--timeout is {options.timeout:g} seconds; give more than 0")
    prices = Prices(options.prompt_price, options.reply_price)
    if options.most_money is not None and None in (prices.prompt, prices.reply):
        raise SarmError("--most-money needs --prompt-price and --reply-price: what a million tokens cost")
    return Budget(Limits(options.most_requests, options.most_tokens, options.most_money), prices)


def _object(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a JSON object")
    return found


class _Progress:
    """A line each feature that fails, and every few seconds how far it is and what it cost."""

    EVERY = 2.0

    def __init__(self, total: int, budget: Budget):
        self._total, self._budget, self._n = total, budget, 0
        self._last = time.monotonic()

    def said(self, feature: int, failure: str | None) -> None:
        self._n += 1
        if failure is not None:
            print(f"#{feature} failed: {_printable(failure)}", file=sys.stderr, flush=True)
        now = time.monotonic()
        if now - self._last >= self.EVERY or self._n == self._total:
            self._last = now
            print(
                f"{self._n:,} of {self._total:,} features, {self._budget.cost.words} used",
                file=sys.stderr,
                flush=True,
            )
