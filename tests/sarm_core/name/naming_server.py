"""A small real HTTP server that speaks chat completions, with every fault that one may have."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["NamingServer", "good", "running"]

KEY = "sk-test-0123456789"
Answer = Callable[["Asked"], "bytes | str | dict[str, Any] | tuple[int, dict[str, str], bytes]"]


class Asked:
    """One request: which step its prompt belongs to, and the rows of data in it."""

    def __init__(self, body: dict[str, Any], number: int, headers: Any):
        self.body, self.number, self.headers = body, number, headers
        self.prompt = str(body["messages"][0]["content"])
        self.step = (
            "label"
            if "You name what" in self.prompt
            else "detect"
            if "Which of the answers" in self.prompt
            else "pair"
        )
        found = re.search(r"<<(data-[0-9a-f]{12})\n(.*)\n\1>>", self.prompt, re.DOTALL)
        assert found, "the data stands between its marks"
        self.rows = [json.loads(line) for line in found[2].split("\n")]
        self.mark = hashlib.sha256(re.sub(r"\n\n\(The last reply.*", "", self.prompt).encode()).hexdigest()


def good(asked: Asked, property_of: Callable[[str], bool] = lambda text: "sorry" in text) -> dict[str, Any]:
    """What a model that reads would say: the property is one that it looks for in the text."""
    if asked.step == "label":
        return {
            "name": f"apologises ({asked.mark[:4]})",
            "explanation": "The strong answers say sorry.",
            "score": 4,
        }
    if asked.step == "detect":
        return {"has": [row["number"] for row in asked.rows if property_of(row["answer"])]}
    a, b = (property_of(asked.rows[0][side]) for side in "AB")
    return {"fits": "equal" if a == b else "A" if a else "B"}


class NamingServer(ThreadingHTTPServer):
    """`answer` makes each reply: an object (as the model's text), a text, bytes (as the body), or (status, headers,
    body). `asked` counts prompts, whatever came back."""

    daemon_threads = True

    def __init__(self, answer: Answer, key: str | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.key = answer, key
        self.asked: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.times: list[float] = []
        self.errors: list[BaseException | None] = []
        self.seen_keys: set[str | None] = set()
        self.out = self.most_out = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_request: Any) -> None:
        """A client that went away is part of these tests; what is wrong in a test's own answer is not."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: NamingServer

    def log_message(self, *_words: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(405, {}, b"")

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.times.append(time.monotonic())
            server.seen_keys.add(self.headers.get("Authorization"))
            server.out += 1
            server.most_out = max(server.most_out, server.out)
            asked = Asked(body, len(server.times), self.headers)
            server.asked[asked.mark] += 1
            server.steps[asked.step] += 1
        try:
            if self.path != "/v1/chat/completions":
                return self._send(404, {}, b'{"error": {"message": "no such path"}}')
            if server.key is not None and self.headers.get("Authorization") != f"Bearer {server.key}":
                shown = self.headers.get("Authorization")
                return self._send(401, {}, json.dumps({"error": {"message": f"bad key {shown}"}}).encode())
            made = server.answer(asked)
            if isinstance(made, tuple):
                return self._send(*made)
            if isinstance(made, bytes):
                return self._send(200, {}, made)
            text = made if isinstance(made, str) else json.dumps(made)
            self._send(200, {}, completion(text))
        finally:
            with server.lock:
                server.out -= 1

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def completion(text: str, finish: str = "stop") -> bytes:
    """The body of a chat completion."""
    return json.dumps(
        {
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }
    ).encode()


@contextmanager
def running(answer: Answer, key: str | None = None) -> Iterator[NamingServer]:
    """The server while the block runs."""
    server = NamingServer(answer, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not server.errors, server.errors
