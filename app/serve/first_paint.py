"""Makes the first picture stand still: what Streamlit's page is told before its scripts run.

Streamlit fetches the code of most elements when the first of a kind arrives, and `st.html` is among them: a style that
a script sends applies 0.1 to 3 s after the content it is for (measured with Streamlit 1.67). So the head of its
page gets the style, and asks for the code of the elements that most pages of ours have.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit
from starlette.middleware import Middleware

from app.session.pages import SIDEBAR_PX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scope = dict[str, Any]
    Message = Mapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["FirstPaint", "first_paint", "head"]

ELEMENTS = (
    "BidiComponent",
    "Button",
    "ButtonGroup",
    "DataFrame",
    "Html",
    "LinkButton",
    "PageLink",
    "Selectbox",
    "TextInput",
)
"""Whose code is fetched with the page, in Streamlit's own names of its files"""

STYLE = Path(__file__).with_name("first_paint.css").read_text(encoding="utf-8")


def head(files: Iterable[str]) -> str:
    """What goes to the end of the page's head; `files` are the names in Streamlit's folder of scripts."""
    found = sorted(name for name in files if name.endswith(".js") and name.split(".", 1)[0] in ELEMENTS)
    links = (
        f'<link rel="modulepreload" crossorigin href="./static/js/{html.escape(name, quote=True)}">'
        for name in found
    )
    return f"<style>:root {{ --sidebar: {SIDEBAR_PX}px }}\n{STYLE}</style>{''.join(links)}"


def _scripts() -> list[str]:
    folder = Path(streamlit.__file__).parent / "static" / "static" / "js"
    return [path.name for path in folder.glob("*.js")]


def first_paint() -> Middleware:
    """What `streamlit.App` takes."""
    return Middleware(FirstPaint)


class FirstPaint:
    """Middleware that ends the head of each page with `head`; all else passes as it is.

    The two 404s of a link to a page stay: Streamlit asks for its server below the page's address first, and opens its
    connection there where it gets an answer.
    """

    def __init__(self, app: Asgi) -> None:
        self.app = app
        self.head = head(_scripts()).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        if "text/html" in _header(scope["headers"], b"accept"):
            # A page that a browser has kept from another version of ours would be taken for this one.
            kept = (b"if-none-match", b"if-modified-since", b"accept-encoding")
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() not in kept]}
            send = _Page(self.head, send)
        await self.app(scope, receive, send)


class _Page:
    """What is sent, with `head` put into it where it is a page."""

    def __init__(self, head: bytes, send: Send) -> None:
        self.head, self.send = head, send
        self.start: dict[str, Any] | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and "text/html" in _header(
            message["headers"], b"content-type"
        ):
            self.start = dict(message)
        elif self.start is None or message["type"] != "http.response.body":
            await self.send(message)
        else:
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self.start)

    async def _finish(self, start: dict[str, Any]) -> None:
        body = self.body.replace(b"</head>", self.head + b"</head>", 1)
        dropped = (b"content-length", b"etag", b"last-modified")
        headers = [pair for pair in start["headers"] if pair[0].lower() not in dropped]
        headers.append((b"content-length", str(len(body)).encode()))
        await self.send({**start, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")
