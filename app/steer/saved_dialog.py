"""Saved steerings: keep the one in force under a name, open, compare and compose versions. A dialog."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.person import sign_in_configured, whoever
from app.steer.saved import (
    composition_table,
    difference_table,
    groups_table,
    mentioned,
    read_version,
    summary,
    version_title,
    versions_table,
)
from feature_db.roles import check_name
from feature_db.saved_work import SteeringVersion
from sarm_core.errors import SteeringError
from sarm_core.steering import Steering

__all__ = ["steerings_button"]

OPEN = "steerings_open"
SAID, REFUSED = "steerings_said", "steerings_refused"
LAST_NAME, LAST_AUTHOR = "steerings_last_name", "steerings_last_author"
IN_FORCE, PLAIN = 0, -1
"""What a version can be compared with besides another version (those are 1, 2, ...)."""
LONGEST_NAME = 80


def steerings_button(current: Engine) -> None:
    """The button, and the dialog while it is open."""
    st.button(
        "Steerings",
        on_click=_open,
        icon=":material/bookmarks:",
        key="steerings_button",
        help="Save this one under a name; open, compare and compose saved versions",
    )
    if st.session_state.get(OPEN):
        _dialog(current)


def _open() -> None:
    st.session_state[OPEN] = True
    for name in (SAID, REFUSED):
        st.session_state.pop(name, None)


def _close() -> None:
    st.session_state[OPEN] = False


@st.dialog("Steerings", width="medium", icon=":material/bookmarks:", on_dismiss=_close)
def _dialog(current: Engine) -> None:
    if not st.session_state.get(OPEN):
        st.rerun()  # a callback in here is done: the page shows what it did
    try:
        _body(current)
    except session.Errors as error:
        st.error(plain(str(error)), icon=":material/error:")


def _body(current: Engine) -> None:
    with current.store() as store:
        newest = store.steerings()
    save, saved = st.tabs(["Save this one", "Saved"], default="Saved" if _nothing_to_save(newest) else None)
    with save:
        _save(current, newest)
    with saved:
        _saved(current, newest)


def _nothing_to_save(newest: list[SteeringVersion]) -> bool:
    return bool(newest) and not session.steering().current


# -- saving ----------------------------------------------------------------------------------------------


def _save(current: Engine, newest: list[SteeringVersion]) -> None:
    held = session.steering()
    if not held.current:
        st.info(
            "Nothing is changed yet, so there is nothing to save: move a slider first.",
            icon=":material/tune:",
        )
        return

    st.caption(f"In force: {summary(held.current)}.")
    proven = whoever() if sign_in_configured() else ""

    def keep() -> None:
        try:
            name, note = st.session_state["steering_name"].strip(), st.session_state["steering_note"].strip()
            typed = st.session_state.get("steering_author", "")
            author = proven or (check_name(typed) if typed.strip() else "")
            with current.store() as store:
                version, new = store.keep_steering(name, held.current.to_json(), note=note, author=author)
        except session.Errors as error:
            st.session_state[SAID] = ("error", plain(str(error)))
            return
        st.session_state[LAST_NAME], st.session_state[LAST_AUTHOR] = name, typed
        title = f"version {version} of *{plain(cut(name, 60))}*"
        if new:
            st.session_state[SAID] = ("success", f"Saved as {title}.")
            st.session_state["steering_note"] = ""
        else:
            st.session_state[SAID] = (
                "info",
                f"Nothing new to save: {title} is exactly this steering already.",
            )
        st.session_state["steerings_name"], st.session_state["steerings_version"] = name, version

    st.session_state.setdefault("steering_name", st.session_state.get(LAST_NAME, ""))
    if not proven:
        st.session_state.setdefault("steering_author", whoever() or st.session_state.get(LAST_AUTHOR, ""))
    with st.form("keep_steering", border=False):
        st.text_input(
            "Name",
            key="steering_name",
            max_chars=LONGEST_NAME,
            placeholder="a name that says what it is for",
            help="A name that is in use gets a new version; nothing is ever overwritten.",
        )
        st.text_input("Note", key="steering_note", max_chars=500, placeholder="what changed, and why")
        if proven:
            st.caption(f"Saved in the name of {plain(cut(proven, 60))}.")
        else:
            st.text_input("Your name", key="steering_author", max_chars=100, placeholder="may stay empty")
        st.form_submit_button("Save", type="primary", icon=":material/save:", on_click=keep)
    _show(SAID)
    if newest:
        names = ", ".join(f"{plain(cut(v.name, 40))} ({v.version})" for v in newest[:12])
        st.caption(f"In use, with their newest version: {names}{' …' if len(newest) > 12 else ''}")


def _show(what: str) -> None:
    if what in st.session_state:
        kind, text = st.session_state[what]
        getattr(st, kind)(text, icon=session.ICONS[kind])


# -- what was saved --------------------------------------------------------------------------------------


def _saved(current: Engine, newest: list[SteeringVersion]) -> None:
    if not newest:
        st.info(
            "No steering is saved in this store yet. Change something, then save it in the first tab: every save "
            "is a version that can be opened, compared and composed again.",
            icon=":material/bookmarks:",
        )
        return
    names = [version.name for version in newest]
    if st.session_state.get("steerings_name") not in names:
        st.session_state["steerings_name"] = names[0]
    name = st.selectbox(
        "Steering", names, format_func=lambda name: cut(name, LONGEST_NAME), key="steerings_name"
    )
    with current.store() as store:
        versions = {version.version: version for version in store.steerings(name)}
    table = versions_table(list(versions.values()))
    st.dataframe(
        table,
        hide_index=True,
        height=min(180, 38 + 35 * len(table)),
        key="steerings_table",
        column_config={
            "version": st.column_config.NumberColumn(width=60),
            "changes": st.column_config.TextColumn(width=150),
            "saved (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", width=130),
            "author": st.column_config.TextColumn(width=90),
        },
    )
    if st.session_state.get("steerings_version") not in versions:
        st.session_state["steerings_version"] = max(versions)
    left, right = st.columns(2)
    chosen = left.selectbox(
        "Version", list(versions), format_func=lambda v: version_title(versions[v]), key="steerings_version"
    )
    try:
        steering = read_version(versions[chosen])
        steering.check(current.scorer.n_features)
    except SteeringError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    what = right.segmented_control(
        "Show", ["Difference", "Composed"], default="Difference", required=True, key="steerings_show"
    )
    title = f"{cut(name, 40)} version {chosen}"
    if what == "Composed":
        _composed(current, steering, title)
    else:
        _difference(current, steering, versions, chosen, title)
    _show(REFUSED)


def _difference(
    current: Engine, steering: Steering, versions: dict[int, SteeringVersion], chosen: int, title: str
) -> None:
    others = [IN_FORCE, PLAIN, *(v for v in versions if v != chosen)]
    if st.session_state.get("steerings_against") not in others:
        st.session_state["steerings_against"] = IN_FORCE
    fixed = {IN_FORCE: "the steering in force", PLAIN: "the plain model"}
    against = st.selectbox(
        "Compared with",
        others,
        format_func=lambda v: fixed.get(v) or version_title(versions[v]),
        key="steerings_against",
    )
    held = session.steering().current
    before = held if against == IN_FORCE else Steering()
    if against not in fixed:
        try:
            before = read_version(versions[against])
        except SteeringError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
    named = fixed.get(against, f"version {against}")
    _difference_tables(current, before, steering, f"before: {named} · after: {plain(title)}")
    st.button(
        f"Open version {chosen}",
        type="primary",
        icon=":material/file_open:",
        on_click=_take,
        args=(steering, f"{plain(title)} is in force; Undo brings back what was.", versions[chosen].name),
        disabled=steering == held,
        help="It is in force already"
        if steering == held
        else "Takes the place of the steering in force; can be undone",
        key="steerings_take",
    )


def _composed(current: Engine, steering: Steering, title: str) -> None:
    held = session.steering().current
    st.caption(
        "Applied after the steering in force: multipliers multiply (also what was set or offset before), a *set* "
        "wins over what was there, offsets add."
    )
    try:
        together = held.then(steering)
    except SteeringError as error:
        st.error(f"These two cannot be composed. {plain(str(error))}.", icon=":material/error:")
        return
    table = composition_table(held, steering, together, current.notes(mentioned(held, steering)))
    both = len(set(held.described()) & set(steering.described()))
    st.caption(
        f"{len(table)} feature{'s' if len(table) != 1 else ''} of {plain(title)}, {both or 'none'} of them changed by "
        "the steering in force as well."
    )
    if len(table):
        _feature_table(table, "steerings_composed")
    _groups(held, together)
    st.button(
        "Compose onto the one in force",
        type="primary",
        icon=":material/merge:",
        on_click=_take,
        args=(together, f"{plain(title)} was composed onto the steering; Undo brings back what was."),
        disabled=together == held,
        help="It would change nothing" if together == held else "Can be undone",
        key="steerings_compose",
    )


def _difference_tables(current: Engine, before: Steering, after: Steering, legend: str) -> None:
    table = difference_table(before, after, current.notes(mentioned(before, after)))
    if len(table):
        st.caption(legend)
        _feature_table(table, "steerings_diff")
    elif before.diff_groups(after):
        st.caption("Every feature is treated alike; only the groups differ.")
    else:
        st.caption("No difference: both treat every feature alike.")
    _groups(before, after)


def _groups(before: Steering, after: Steering) -> None:
    groups = groups_table(before, after)
    if len(groups):
        st.dataframe(groups, hide_index=True, key="steerings_groups", height=min(180, 38 + 35 * len(groups)))


def _feature_table(table: pd.DataFrame, key: str) -> None:
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        height=min(213, 38 + 35 * len(table)),
        # The name comes last: in a narrow window what changes must be seen.
        column_order=[column for column in table.columns if column != "name"] + ["name"],
        column_config={"feature": st.column_config.NumberColumn(format="#%d", width=70)},
    )


def _take(steering: Steering, done: str, name: str = "") -> None:
    """Callback: a step like any other, so it can be undone. A refusal stays in the dialog."""
    try:
        session.steering().load(steering)
    except SteeringError as error:
        st.session_state[REFUSED] = ("error", plain(str(error)))
    else:
        if name:
            st.session_state[LAST_NAME] = name
        _close()
        session.say(done, "success")
