"""A kept data set, or the slice a person came from, in place of an upload."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from app.datasets.address import NAMES, VERDICT_WORDS, from_address, to_address
from app.datasets.kept import Chosen, keep_corpus
from app.draw.plain_text import cut
from app.session import session
from app.session.engine import Engine
from feature_db import Store, StoreError
from feature_db.datasets.datasets import DataSet, DataSets
from feature_db.datasets.items import Items
from feature_db.datasets.slices import Slice

__all__ = ["IN_DATA_SET", "choose_data_set", "follow_address", "warn_of_choice"]

IN_DATA_SET = "A data set"


def follow_address(source: str, otherwise: str) -> None:
    """What the widget `source`, where answers are taken from, says before it is drawn: a data set where the address
    names one, else what it said, at first `otherwise`. An address whose data set was left for something else goes.
    """
    asked, now = _asked(), st.session_state.get(source)
    if asked and (now is None or st.session_state.get(f"{source}_asked") != asked):
        st.session_state[source] = IN_DATA_SET
        st.session_state[f"{source}_asked"] = asked
    elif now is None:
        st.session_state[source] = otherwise
    elif asked and now != IN_DATA_SET:
        for name in ("d", *NAMES.values()):
            st.query_params.pop(name, None)
        st.session_state.pop(f"{source}_asked", None)


def choose_data_set(engine: Engine, source: str) -> Chosen | None:
    """A menu of the data sets, and of the slice that the address or the table named last; the address follows it."""
    session.guarded(keep_corpus, engine)
    with engine.store() as store:
        options = _options(store)
    if not options:
        return None
    key, asked = f"{source}_data_set", _asked()
    if asked in options and st.session_state.get(f"{key}_asked") != asked:
        st.session_state[key] = st.session_state[f"{key}_asked"] = asked
    elif st.session_state.get(key) not in options:
        st.session_state[key] = next(iter(options))
    picked = st.selectbox(
        "Data set",
        list(options),
        format_func=lambda name: _title(options[name]),
        key=key,
        width=420,
    )
    if picked != asked:
        _write(options[picked])
        st.session_state[f"{key}_asked"] = st.session_state[f"{source}_asked"] = picked
    return options[picked]


def warn_of_choice(chosen: Chosen | None) -> None:
    """Say so where a slice was chosen by the model's own verdict: what is counted in it is decided beforehand."""
    if chosen is not None and chosen.slice.verdict in ("agrees", "disagrees", "ties"):
        st.warning(
            f"These prompts were chosen because {VERDICT_WORDS[chosen.slice.verdict]}: whatever moves rewards moves "
            "that share, by chance as well. Whether a steering is better, prompts tell that were not chosen so.",
            icon=":material/filter_alt:",
        )


def _options(store: Store) -> dict[str, Chosen]:
    """By their addresses: what was asked for, the slice seen last, every data set as a whole."""
    every = {of.address: of for of in DataSets(store).all()}
    found: dict[str, Chosen] = {}
    given = st.query_params.to_dict()
    for address, part in (
        (given.get("d", ""), from_address(given)),
        st.session_state.get("slice_in_hand", ("", Slice())),
        *((address, Slice()) for address in every),
    ):
        if address not in every:
            continue
        try:
            n = every[address].n_items if part.is_all else Items(store, address).count(part)
        except StoreError:
            continue
        found.setdefault(_name(every[address], part), Chosen(every[address], part, n))
    return found


def _title(of: Chosen) -> str:
    words = of.words.replace("\\", "")
    part = (
        f": {cut(words, 60)} ({of.n_items:,} of {of.data_set.n_items:,})" if words else f" ({of.n_items:,})"
    )
    return cut(of.data_set.name, 60) + part


def _name(of: DataSet, part: Slice) -> str:
    asked = {name: value for name, value in to_address(part).items() if name != NAMES["sort"]}
    return urlencode({"d": of.address, **dict(sorted(asked.items()))})


def _asked() -> str:
    given = st.query_params.to_dict()
    if "d" not in given:
        return ""
    part = to_address(from_address(given))
    part.pop(NAMES["sort"], None)
    return urlencode({"d": given["d"], **dict(sorted(part.items()))})


def _write(of: Chosen) -> None:
    wanted = {"d": of.data_set.address, **to_address(of.slice)}
    for name in NAMES.values():
        if name not in wanted:
            st.query_params.pop(name, None)
    st.query_params.update(wanted)
