"""Who is at the keyboard: the signed-in person where sign-in is configured, else whoever a typed name says.

The one place that knows. Every page that writes something in a person's name asks here, so that it is the same
person on all of them, and nobody is shown a box for a name that would not count.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from urllib.parse import urlsplit

import streamlit as st
from streamlit.errors import StreamlitAuthError

from app.components.known_name import known_name, remember_name
from app.draw.plain_text import cut, plain
from feature_db import StoreError
from feature_db.roles import EVERYONE, check_name

__all__ = ["ask_who", "person", "sign_in_configured", "whoever"]

ADDRESS = re.compile(r"[^\s@()]+@[^\s@()]+")
"""What may pass for an e-mail address: no space and no bracket, so that it is never some other person's subject."""
NEEDED = ("authlib", "httpx")
"""What Streamlit imports only when somebody signs in."""


def sign_in_configured() -> bool:
    """Whether Streamlit's secrets name an OpenID provider: then a name is proven, and none can be typed."""
    return "is_logged_in" in st.user


def whoever() -> str:
    """The name of the person at the keyboard, "" while unknown. Draws nothing."""
    try:
        return _signed_in() if sign_in_configured() else _typed(st.session_state.get("person") or "")
    except StoreError:
        return ""


def person() -> str:
    """`whoever`, with the sidebar's name box, or the sign-in and sign-out buttons. Call it once a run."""
    with st.sidebar:
        try:
            if sign_in_configured():
                return _sign_in_box()
            if "person" not in st.session_state:
                st.session_state["person"] = known_name()
            typed = st.text_input(
                "Your name",
                key="person",
                max_chars=100,
                placeholder="for what you keep",
                help="Written beside your bookmarks, lists and labels, and remembered in this browser. Anyone can type "
                "any name: it is no proof of identity.",
                persist_state="session",
            )
            remember_name(typed.strip())
            return _typed(typed)
        except StoreError as error:
            st.error(plain(str(error)))
            return ""


def _typed(name: str) -> str:
    if not name.strip():
        return ""
    name = check_name(name)
    if name == EVERYONE:
        raise StoreError(f"{EVERYONE!r} stands for everyone; give a name")
    return name


def _signed_in() -> str:
    """An address that the provider checked, else its subject with the provider's host, as `77 (login.example.org)`.

    Nothing else is proof: most providers let people change their user name and display name, and an address they
    did not check may be anybody's. A subject is unique within its issuer only [OpenID Connect Core 1.0, 2 and 5.7].
    Raises StoreError when neither can be a name.
    """
    if not st.user.get("is_logged_in"):
        return ""
    address, subject, host = st.user.get("email"), st.user.get("sub"), _issuer()
    if st.user.get("email_verified") is True and isinstance(address, str) and ADDRESS.fullmatch(address):
        name = address
    elif isinstance(subject, str) and subject.strip() and host:
        name = f"{subject.strip()} ({host})"
    else:
        raise StoreError(
            "signed in, but without a usable name: the provider gives no address that it has checked, nor a subject "
            "with its issuer"
        )
    try:
        return _typed(name)
    except StoreError as error:
        raise StoreError(f"signed in, but without a usable name: {error}") from None


def _issuer() -> str:
    """Host, and port where it has one, of who signed the person in; "" when not told."""
    try:
        return urlsplit(str(st.user.get("iss") or "")).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _sign_in_box() -> str:
    if st.user.get("is_logged_in"):
        try:
            name = _signed_in()
            st.caption(f"Signed in as **{plain(cut(name, 100))}**")
            if name.endswith(")"):
                called = st.user.get("preferred_username") or st.user.get("name") or st.user.get("email")
                st.caption(
                    (f"Your provider calls you {plain(cut(str(called), 60))}. " if called else "")
                    + "It has checked no address of yours, so you have this name here. Had you a role under another "
                    "one? An admin gives it to this."
                )
            return name
        finally:
            st.button("Sign out", on_click=st.logout, icon=":material/logout:", key="sign_out")
    _sign_in_buttons("")
    return ""


def _sign_in_buttons(place: str) -> None:
    """One for each provider, or why there is none; `place` keeps the keys apart."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        st.error(
            f"Sign-in is configured, but {' and '.join(missing)} cannot be imported: run `pip install "
            "'streamlit[auth]'` and start the app again.",
            icon=":material/error:",
        )
        return
    for provider in _providers():
        st.button(
            f"Sign in with {plain(provider)}" if provider else "Sign in",
            on_click=_sign_in,
            args=(provider,),
            type="primary",
            icon=":material/login:",
            key=f"sign_in{place}_{provider}" if provider else f"sign_in{place}",
        )
    if failed := st.session_state.get("sign_in_error"):
        st.error(plain(failed), icon=":material/error:")


def ask_who() -> None:
    """Ask in the middle of a page that can do nothing without a name: on a small screen the sidebar is folded away."""
    if sign_in_configured():
        st.info("Sign in to label: what you do is written down in your name.", icon=":material/badge:")
        if not st.user.get("is_logged_in"):
            _sign_in_buttons("_here")
        return
    st.info(
        "Type your name first: it is written beside what you label, and remembered in this browser.",
        icon=":material/badge:",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Your name", key="person_here", max_chars=100, width=320, on_change=_name_here)
        st.button("Go on", key="person_here_go", type="primary")  # leaving the box for it hands the name over
    try:
        _typed(st.session_state.get("person") or "")
    except StoreError as error:
        st.error(plain(str(error)), icon=":material/error:")


def _name_here() -> None:
    """Callback: the same name as in the sidebar's box.

    Of a box that has left the page the browser may report the empty text once more, which then counts as changed.
    """
    if name := st.session_state["person_here"].strip():
        st.session_state["person"] = name


def _providers() -> list[str | None]:
    """Names of the sections [auth.NAME] of the secrets; [None] where [auth] itself is the provider."""
    try:
        section = st.secrets.get("auth", {})
    except FileNotFoundError:  # a host that signs people in by itself
        return [None]
    if "client_id" in section:
        return [None]
    return [str(name) for name, value in section.items() if hasattr(value, "items")] or [None]


def _sign_in(provider: str | None) -> None:
    """Callback. What is wrong with the secrets is said in one line, without what they hold."""
    st.session_state.pop("sign_in_error", None)
    try:
        st.login(provider)
    except StreamlitAuthError as error:
        st.session_state["sign_in_error"] = (
            f"Sign-in is not configured rightly: {' '.join(str(error).split())}"
        )
