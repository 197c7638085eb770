"""One data set: how many of its labels the model agrees with, and the prompts of a slice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.address import NAMES, SORT_WORDS, VERDICT_WORDS, from_address, in_words, to_address
from app.datasets.counted import counted, forget_counts
from app.datasets.kept import Chosen, is_corpus
from app.datasets.scoring import score
from app.datasets.table import open_clicked, show_table
from app.draw.plain_text import cut, plain
from app.draw.progress import encoding_bar
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from feature_db.datasets.datasets import DataSet, DataSets
from feature_db.datasets.items import Counts, Items
from feature_db.datasets.slices import VERDICTS, Slice
from sarm_core.figures import interval, percent, plural
from sarm_core.prove.agreement import ShareAgreed

__all__ = ["headline", "show_data_set"]

ANY = "any"


def show_data_set(engine: Engine, address: str, me: str, working: DeltaGenerator) -> None:
    """The data set that the address names, filtered, sorted, scored. Raises StoreError when it is not there."""
    with engine.store() as store:
        items = Items(store, address)
        part = _asked(items)
        open_clicked(items, part)
        _head(engine, items.of, me)
        every, _ = counted(engine, items.of, Slice())
        _scoring(engine, items.of, items.n_to_score(engine.scorer.encoding_key), working)
        place = st.container()
        part = _filters(items, every)
        found, share = counted(engine, items.of, part)
        with place:
            st.markdown(headline(found, share, part))
        st.session_state["slice_in_hand"] = (items.of.address, part)
        if not found.items:
            st.info("No prompt is left: widen the filters.", icon=":material/filter_alt_off:")
            return
        show_table(engine, items, part, found.items)
        _onward(engine, Chosen(items.of, part, found.items))


def _head(engine: Engine, of: DataSet, me: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="data_set_head"):
        st.header(plain(cut(of.name, 80)), anchor=False, width="stretch")
        st.button(
            "All data sets",
            icon=":material/arrow_back:",
            on_click=_leave,
            key="data_sets_all",
            type="tertiary",
        )
        with st.popover("About", icon=":material/info:"):
            _about(engine, of, me)
    counts = [plural(of.n_items, "prompt"), plural(of.n_answers, "answer"), plural(of.n_labels, "label")]
    by = f" · brought by {plain(of.owner)}" if of.owner else ""
    when = datetime.fromtimestamp(of.added / 1e6).strftime("%Y-%m-%d")
    st.caption(f"{counts[0]} with {counts[1]} and {counts[2]}{by} · kept since {when}")


def _leave() -> None:
    """Callback: back to the list."""
    for name in ("d", "d_page", *NAMES.values()):
        st.query_params.pop(name, None)
    st.session_state.pop("d_page", None)


def _about(engine: Engine, of: DataSet, me: str) -> None:
    if of.said:
        st.caption(plain(". ".join(line[0].upper() + line[1:] for line in of.said) + "."))
    if of.reading:
        st.caption("Read with: " + plain("; ".join(f"{key}: {value}" for key, value in of.reading.items())))
    for file in of.files:
        st.caption(f"{plain(cut(str(file['name']), 80))}, {file['bytes']:,} bytes")
        st.code(f"sha256 {file['sha256']}", language=None, wrap_lines=True)
    with engine.store() as store:
        may = DataSets(store).may_change(of, me) and not is_corpus(of)
    if not may:
        return
    name = st.text_input("Name", of.name, max_chars=200, key=f"d_name_{of.address}")

    def rename() -> None:
        def act() -> None:
            with engine.store() as store:
                DataSets(store).rename(of.address, st.session_state[f"d_name_{of.address}"], me)

        session.guarded(act)

    def delete() -> None:
        def act() -> None:
            with engine.store() as store:
                DataSets(store).delete(of.address, me)
            _leave()
            st.session_state.pop("slice_in_hand", None)
            session.say(f"{plain(of.name)} was deleted.", "success")

        session.guarded(act)

    st.button("Rename", on_click=rename, disabled=name.strip() in ("", of.name), key="d_rename")
    sure = st.checkbox("Delete it for everybody, with its scores", key=f"d_sure_{of.address}")
    st.button("Delete", on_click=delete, disabled=not sure, icon=":material/delete:", key="d_delete")


def _scoring(engine: Engine, of: DataSet, left: int, working: DeltaGenerator) -> None:
    """What is still to be scored, and the button for it."""
    if not left:
        return
    with engine.store() as store:
        if store.looks_only:
            st.caption(
                f"{left:,} prompts with labels are not scored yet; a visitor's scores would not be kept."
            )
            return
    with st.container(horizontal=True, vertical_alignment="center"):
        go = st.button(
            "Score them" if left == of.n_items else "Score the rest",
            type="primary",
            icon=":material/play_arrow:",
            key="d_score",
        )
        st.caption(
            f"{left:,} of {of.n_items:,} prompts with labels are not scored by this model yet. It reads each answer "
            "once; Stop keeps what is done."
        )
    if go:
        try:
            with encoding_bar(working, unit="prompts") as progress:
                session.guarded(score, engine, of.address, progress)
        finally:  # after a Stop, too
            forget_counts()
        st.rerun()


def headline(found: Counts, share: ShareAgreed | None, part: Slice) -> str:
    """How many labels the model agrees with, as Markdown."""
    where = f" in this slice: {in_words(part)}" if not part.is_all else ""
    if part.verdict or not found.items:
        return f"**{plural(found.items, 'prompt')}{where}.**"
    if not found.labels:
        return f"**{plural(found.items, 'prompt')}{where}.** No row says which answer is better."
    if share is None:
        return f"**{plural(found.labels, 'label')}{where}, none of them scored yet.**"
    lost = found.labels_scored - found.labels_won - found.labels_tied
    several = found.labels_scored > sum(found.verdicts[kind] for kind in ("agrees", "disagrees", "ties"))
    where = f", {in_words(part)}" if where else ""
    text = (
        f"**The model agrees with {percent(share.share)} of {plural(found.labels_scored, 'label')}{where}.** "
    )
    if share.low == share.low:
        text += f"95 % interval {interval(share.low, share.high)} over {share.prompts:,} prompts; it"
    else:
        text += f"{plural(share.prompts, 'prompt is', 'prompts are')} too few for an interval; it"
    text += f" agrees with {found.labels_won:,}, disagrees with {lost:,}"
    text += f" and gives equal rewards in {found.labels_tied:,}." if found.labels_tied else "."
    if several:
        text += " The orders of one prompt weigh one together."
    if found.labels > found.labels_scored:
        text += f" {found.labels - found.labels_scored:,} more are not scored yet."
    return text


def _asked(items: Items) -> Slice:
    """The slice of the address, put into the boxes where the address is news."""
    asked = from_address(st.query_params.to_dict())
    known = (items.of.address, asked)
    if st.session_state.get("d_known") != known:
        st.session_state["d_known"] = known
        st.session_state.update(
            d_words=asked.words,
            d_verdict=asked.verdict or ANY,
            d_subset=asked.subset,
            d_column=asked.column if asked.column in items.of.columns else None,
            d_value=asked.value,
            d_sort=asked.sort,
        )
    return asked


def _filters(items: Items, every: Counts) -> Slice:
    """The boxes, and the slice they make; the address follows them."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="d_filters"):
        kinds = [kind for kind in VERDICTS if every.verdicts[kind]]
        held = st.session_state.get("d_verdict")
        options = [ANY, *kinds, *([held] if held not in (ANY, None, *kinds) else [])]
        verdict = st.selectbox(
            "What the model says",
            options,
            format_func=lambda kind: (
                f"everything ({every.items:,})"
                if kind == ANY
                else f"{VERDICT_WORDS[kind]} ({every.verdicts[kind]:,})"
            ),
            key="d_verdict",
            width=240,
        )
        subsets = items.subsets()
        subset = None
        if len(subsets) > 1 or subsets[0][0]:
            subset = _subset_box(items, subsets)
        words = st.text_input(
            "Words in the prompt",
            key="d_words",
            width=220,
            help="As they stand there; of a long prompt the first 300 characters count",
        )
        column, value = _own_boxes(items) if items.of.columns else ("", "")
        sorts = [*SORT_WORDS, *(f"{sign}own:{name}" for name in items.of.columns for sign in ("", "-"))]
        if st.session_state.get("d_sort") not in sorts:
            st.session_state["d_sort"] = "file"
        sort = st.selectbox("Order", sorts, format_func=_sort_words, key="d_sort", width=260)
    part = Slice(words, "" if verdict in (ANY, None) else str(verdict), subset, column, value, str(sort))
    _follow(items.of, part)
    return part


def _subset_box(items: Items, subsets: Sequence[tuple[str, int]]) -> str | None:
    sizes = dict(subsets)
    held = st.session_state.get("d_subset")
    if held is not None and held not in sizes:  # one of too many to list, or none of them
        if n := items.count(Slice(subset=held)):
            sizes[held] = n
        else:
            st.session_state["d_subset"] = None
    return st.selectbox(
        "Subset",
        list(sizes),
        index=None,
        placeholder="any",
        format_func=lambda name: f"{cut(name, 60) or 'without one'} ({sizes[name]:,})",
        key="d_subset",
        width=200,
    )


def _own_boxes(items: Items) -> tuple[str, str]:
    column = st.selectbox(
        "A column of yours", list(items.of.columns), index=None, placeholder="any", key="d_column", width=180
    )
    if column is None:
        return "", ""
    value = st.text_input(
        f"{plain(cut(column, 40))} is",
        key="d_value",
        width=180,
        placeholder=", ".join(cut(str(value), 20) for value, _ in items.values(column, 3) if value != ""),
    )
    return column, value.strip()


def _sort_words(sort: str) -> str:
    if sort in SORT_WORDS:
        return SORT_WORDS[sort]
    name = cut(sort.removeprefix("-").removeprefix("own:"), 40)
    return f"{name}, largest first" if sort.startswith("-") else f"{name}, smallest first"


def _follow(of: DataSet, part: Slice) -> None:
    """Write the slice into the address, and begin at the first page of another one."""
    if st.session_state["d_known"] == (of.address, part):
        return
    st.session_state["d_known"] = (of.address, part)
    wanted = to_address(part)
    for name in NAMES.values():
        if name not in wanted and name in st.query_params:
            del st.query_params[name]
    st.query_params.update(wanted)
    st.session_state["d_page"] = 1


def _onward(engine: Engine, chosen: Chosen) -> None:
    """What may be done with the slice."""
    address = {"d": chosen.data_set.address, **to_address(chosen.slice)}
    what = "these prompts" if not chosen.slice.is_all else "it"
    with st.container(horizontal=True, vertical_alignment="center", key="d_onward"):
        for page, label in (
            (Page.FIND, f"Find features in {what}"),
            (Page.EVALUATE, f"Evaluate on {what}"),
            (Page.LEARN, f"Learn from {what}"),
        ):
            st.page_link(page.path, label=label, icon=page.icon, query_params=address)
        name = f"d_file_{chosen.title}"
        st.download_button(
            f"{plural(chosen.n_items, 'prompt')} as JSONL",
            lambda: chosen.file(engine)[1],
            file_name="slice.jsonl",
            mime="application/x-ndjson",
            icon=":material/download:",
            on_click="ignore",
            key=name,
        )
