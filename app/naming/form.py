"""What is to be named, by which model, within which limits; and the budget, which stands before the start."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import cut, plain
from app.naming.job import Asked, Job, begin, environment
from app.session import session
from app.session.engine import Engine
from feature_db.features.evidence_kinds import NAMED, evidence_kinds
from sarm_core.cli.name import KEY, MODEL, URL
from sarm_core.errors import SarmError
from sarm_core.name.budget import Cost
from sarm_core.name.evidence import AnswerPool
from sarm_core.name.journal import asked_before, journal_path
from sarm_core.name.naming import estimated, evidence_of, header_of, ranked
from sarm_core.name.prompts import read_prompts

__all__ = ["naming_form"]

ENDPOINT, LOCAL = "the endpoint of this server", "a model in a folder here"


def naming_form(engine: Engine) -> Job | None:
    """The form, the budget under it, and the job that was begun, when one was."""
    found = environment()
    _say_endpoint(found.url, found.model, found.has_key)
    kind = st.segmented_control(
        "Model", (ENDPOINT, LOCAL), default=ENDPOINT if found.url else LOCAL, key="naming_kind", required=True
    )
    with st.form("naming"):
        left, right = st.columns(2)
        if kind == LOCAL:
            model = left.text_input(
                "Folder", key="naming_local", placeholder="the folder of a language model",
                help='Or "demo", the embedded one: it is there to try the steps, its names are no good.',
            )  # fmt: skip
        else:
            model = left.text_input("Model at the endpoint", found.model or "", key="naming_model")
        numbers = right.text_input(
            "Features",
            key="naming_features",
            placeholder="those with most of the reward's mass that no person named",
        )
        a, b, c = st.columns(3)
        most = a.number_input("At most so many features", 1, 100_000, 20, key="naming_most")
        pairs = b.number_input("Pairs each name has to tell apart", 3, 200, 10, key="naming_pairs")
        requests = c.number_input(
            "Limit of requests", 1, None, None, key="naming_requests", placeholder="none"
        )
        a, b, c, d = st.columns(4)
        tokens = a.number_input("Limit of tokens", 1, None, None, key="naming_tokens", placeholder="none")
        read = b.number_input(
            "Price of a million read", 0.0, None, None, key="naming_read", placeholder="unknown"
        )
        wrote = c.number_input(
            "Price of a million written", 0.0, None, None, key="naming_wrote", placeholder="unknown"
        )
        money = d.number_input("Limit of money", 0.0, None, None, key="naming_money", placeholder="none")
        looked = st.form_submit_button("What would it cost?", type="primary")
    if looked:
        st.session_state.pop("naming_planned", None)
        try:
            asked = Asked(
                str(engine.store_path),
                "" if kind == LOCAL else model.strip(),
                model.strip() if kind == LOCAL else "",
                _numbers(numbers, engine.scorer.n_features),
                int(most),
                int(pairs),
                requests,
                tokens,
                money,
                read,
                wrote,
            )
            st.session_state["naming_planned"] = (asked, *_planned(engine, asked, found.url))
        except (*session.Errors, OSError) as error:
            st.error(plain(str(error)), icon=":material/error:")
    return _start()


def _say_endpoint(url: str | None, model: str | None, has_key: bool) -> None:
    if url is None:
        st.info(
            f"No endpoint is set. Start the app with `{URL}` (what comes before /chat/completions), `{MODEL}`, and the "
            f"key in `{KEY}`; or choose a folder with a language model.",
            icon=":material/key:",
        )
        return
    key = f"a key is in `{KEY}`" if has_key else f"no key is in `{KEY}`, so none is sent"
    st.caption(
        plain(f"Endpoint: {cut(url, 120)}") + f"; {key}. Both are set where the app is started, not here."
    )


def _numbers(text: str, n_features: int) -> tuple[int, ...]:
    """Feature numbers with commas or spaces between them. Raises SarmError."""
    found = []
    for word in text.replace(",", " ").split():
        digits = word.removeprefix("#")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits) < n_features):
            raise SarmError(
                f"{word[:20]!r} is no feature of this model: they go from 0 to {n_features - 1:,}"
            )
        found.append(int(digits))
    return tuple(dict.fromkeys(found))


def _planned(engine: Engine, asked: Asked, url: str | None) -> tuple[int, Cost]:
    """How many features have enough answers, and what asking about them costs. Raises SarmError."""
    if not asked.local and url is None:
        raise SarmError(f"no endpoint is set: start the app with {URL}, or choose a folder")
    if not (asked.model or asked.local):
        raise SarmError("name the model")
    if asked.most_money is not None and None in (asked.prompt_price, asked.reply_price):
        raise SarmError("a limit of money needs both prices")
    prompts = read_prompts()
    with engine.store() as store, st.spinner("Looking for answers to contrast …"):
        pool = AnswerPool(store, asked.sizes)
        named = {i for i, kind in evidence_kinds(store).items() if kind in NAMED}
        features = list(asked.features) or ranked(pool, store.head(), named)
        tasks = evidence_of(pool, features, max(asked.most, len(asked.features)))
    if not tasks:
        raise SarmError(
            "no feature has enough answers to contrast: three prompts in each part with an answer in which it is "
            "stronger "
            "than in another"
        )
    header = header_of(asked.name, prompts, engine.fingerprint, asked.sizes)
    done = asked_before(journal_path(engine.store_path, header))
    return len(tasks), estimated(tasks, prompts, asked.budget(), done)


def _start() -> Job | None:
    planned = st.session_state.get("naming_planned")
    if planned is None:
        return None
    asked, n, cost = planned
    with st.container(border=True):
        if not cost.requests:
            st.write(
                f"All of it was asked before: the names of {n:,} features go into the store, nothing is sent."
            )
        else:
            limits = [
                f"{value:,} {what}"
                for value, what in (
                    (asked.most_requests, "requests"),
                    (asked.most_tokens, "tokens"),
                    (asked.most_money, "in money"),
                )
                if value is not None
            ]
            st.markdown(f"**About {cost.words}** for {n:,} features, by {plain(cut(asked.name, 80))}.")
            st.caption(
                f"Nothing is sent that could pass {', '.join(limits)}."
                if limits
                else "No limit is set; requests that fail and are sent again come on top."
            )
        if st.button("Start", type="primary", key="naming_start", icon=":material/play_arrow:"):
            try:
                job = begin(asked)
            except (*session.Errors, OSError) as error:
                st.error(plain(str(error)), icon=":material/error:")
            else:
                st.session_state.pop("naming_planned")
                return job
    return None
