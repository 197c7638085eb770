"""The head of each page: ended once, in pages only, whatever the server sends it in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from app.serve.first_paint import FirstPaint, head

PAGE = b"<!DOCTYPE html><html><head><title>T</title></head><body></head></body></html>"
HTML = [(b"accept", b"text/html,*/*"), (b"if-none-match", b'"old"'), (b"accept-encoding", b"gzip")]


def asked(path: str, headers: list[tuple[bytes, bytes]], kind: bytes, *parts: bytes) -> Any:
    """(what the app was asked, status, headers, body) of a GET through the middleware."""
    scopes: list[Mapping[str, Any]] = []
    sent: list[Mapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        length = str(sum(map(len, parts))).encode()
        about = [(b"content-type", kind), (b"content-length", length), (b"etag", b'"old"')]
        await send({"type": "http.response.start", "status": 200, "headers": about})
        for i, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": i + 1 < len(parts)})

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": headers}
    asyncio.run(FirstPaint(app)(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return scopes[0], sent[0]["status"], dict(sent[0]["headers"]), body


@pytest.mark.parametrize("parts", [(PAGE,), (PAGE[:30], PAGE[30:45], PAGE[45:])])
def test_a_page_gets_the_style_once_and_its_new_length(parts: tuple[bytes, ...]) -> None:
    scope, status, headers, body = asked("/explain", HTML, b"text/html; charset=utf-8", *parts)
    assert status == 200
    before, after = PAGE.split(b"</head>", 1)
    assert body.startswith(before + b"<style>") and body.endswith(b"</head>" + after)
    assert body.count(b"<style>") == 1 and b"--sidebar: 230px" in body
    assert headers[b"content-length"] == str(len(body)).encode()
    assert b"etag" not in headers
    assert [name for name, _ in scope["headers"]] == [b"accept"]


def test_what_is_no_page_passes_as_it_is() -> None:
    scope, _, headers, body = asked("/x.json", HTML, b"application/json", b'{"a": "</head>"}')
    assert body == b'{"a": "</head>"}' and headers[b"etag"] == b'"old"'
    scope, _, _, body = asked("/static/js/a.js", [(b"accept", b"*/*"), HTML[1]], b"text/html", PAGE)
    assert body == PAGE and len(scope["headers"]) == 2


def test_code_is_asked_for_by_streamlits_own_file_names() -> None:
    made = head(["Html.abc.js", "HtmlOther.js", "Html.abc.css", 'Button."><x.js', "Snow.1.js"])
    assert 'href="./static/js/Html.abc.js"' in made and "HtmlOther" not in made and "Snow" not in made
    assert "<x" not in made
