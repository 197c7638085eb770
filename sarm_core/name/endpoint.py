"""A language model behind an OpenAI-compatible chat-completions endpoint.

The key comes from the environment and goes into one header of requests to the address that was given, to no other:
redirects are refused. It is in no error, file or log; where a server repeats it, it is struck out. Replies are read
up to MOST_BYTES and until a deadline. Tried again, with growing pauses or as long as the server asks (Retry-After): no
connection, a time-out, 408, 425, 429 and 5xx, and bodies that are no chat completion. 401, 403 and 404 end the run.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import random
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from sarm_core.errors import SarmError
from sarm_core.name.model import FeatureFailed, Field, Reply, Stopped

__all__ = ["Endpoint", "checked_url", "is_loopback"]

MOST_BYTES = 2_000_000
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 120.0
"""Seconds a server may ask to wait; one that asks for more gets no further request of this run."""
AGAIN = frozenset([408, 409, 425, 429])
_PATH = "/chat/completions"


@dataclass
class Endpoint:
    """The model `name` at the base URL `url` (what comes before /chat/completions).

    `timeout` seconds for a whole reply; `attempts` for each question; `reply_tokens` the most a reply may have; `extra`
    goes into each request as it is, where None takes a key out.
    """

    url: str
    name: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    attempts: int = 5
    at_once: int = 4
    reply_tokens: int = 400
    extra: Mapping[str, Any] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to end: no pause is waited out then."""

    def __post_init__(self) -> None:
        self.url = checked_url(self.url)
        if self.key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.key):
            raise SarmError("the key in the environment has characters that no header can hold; set it anew")
        handlers: list[Any] = [
            _NoRedirects(),
            urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        ]
        if is_loopback(self.url):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, turns: list[dict[str, str]], form: Sequence[Field], before: Callable[[], None]) -> Reply:
        """See `Asker.ask`."""
        body = {"model": self.name, "messages": turns, "temperature": 0, "max_tokens": self.reply_tokens}
        body |= self.extra
        data = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
        said = ""
        for attempt in range(self.attempts):
            if self.stopping.is_set():
                raise Stopped("stopped")
            before()
            pause: float | None = None
            try:
                return self._once(data)
            except _Refused as refused:
                said, pause = refused.words, refused.pause
                if refused.ends:
                    raise Stopped(f"{self.url}: {said}") from None
                if not refused.again:
                    raise FeatureFailed(said) from None
            if attempt + 1 < self.attempts:
                self._wait(attempt, pause)
        if said.startswith(_NO_CONNECTION):
            raise Stopped(f"{self.url}: {said}; tried {self.attempts} times")
        raise FeatureFailed(f"{said}; tried {self.attempts} times")

    def _wait(self, attempt: int, asked: float | None) -> None:
        if asked is not None and asked > LONGEST_PAUSE:
            raise Stopped(f"{self.url}: asks to wait {asked:,.0f} seconds; go on later with the same command")
        pause = FIRST_PAUSE * 2**attempt * random.uniform(0.75, 1.25)
        self.stopping.wait(min(LONGEST_PAUSE, max(pause, asked or 0.0)))

    def _once(self, data: bytes) -> Reply:
        request = urllib.request.Request(
            self.url + _PATH, data, {"Content-Type": "application/json"}, method="POST"
        )
        if self.key is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self.key}")
        deadline = time.monotonic() + self.timeout
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                found = self._read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise self._status(error, deadline) from None
        except TimeoutError:
            raise _Refused(f"no reply within {self.timeout:g} seconds", again=True) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _Refused(f"no reply within {self.timeout:g} seconds", again=True) from None
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise _Refused(
                    f"its certificate does not hold ({reason.verify_message})", ends=True
                ) from None
            if isinstance(
                error, http.client.IncompleteRead | http.client.RemoteDisconnected | ConnectionResetError
            ):
                raise _Refused("the reply broke off", again=True) from None
            raise _Refused(f"{_NO_CONNECTION} ({self._clean(reason)})", again=True) from None
        return _completion(found)

    def _read(self, response: Any, deadline: float) -> bytes:
        """The body, bounded in size and time: a server may drip."""
        parts, size = [], 0
        while part := response.read1(65_536):
            size += len(part)
            if size > MOST_BYTES:
                raise _Refused(f"the reply has more than {MOST_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise _Refused(f"no reply within {self.timeout:g} seconds", again=True)
            parts.append(part)
        length = response.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and size < int(length):
            raise _Refused("the reply broke off", again=True)
        return b"".join(parts)

    def _status(self, error: urllib.error.HTTPError, deadline: float) -> _Refused:
        code = error.code
        if 300 <= code < 400:
            return _Refused("sends the request on to another address; name that one as --url", ends=True)
        try:
            said = self._clean(_message(self._read(error, deadline)))
        except (_Refused, http.client.HTTPException, OSError):
            said = ""
        words = f"answers {code}{f' ({said})' if said else ''}"
        if code in (401, 403):
            what = "takes no request without a key" if self.key is None else "does not take the key"
            return _Refused(f"{what}: {words}", ends=True)
        if code == 404:
            return _Refused(
                f"{words}: there is no model {self.name!r}, or no {_PATH} below this address", ends=True
            )
        if code in AGAIN or code >= 500:
            return _Refused(words, again=True, pause=_retry_after(error.headers.get("Retry-After")))
        return _Refused(words)

    def _clean(self, text: object) -> str:
        """Words of a server in a line of ours: short, printable, without the key."""
        line = " ".join(str(text).split())
        if self.key:
            line = line.replace(self.key, "***")
        return "".join(c if c.isprintable() else "�" for c in line)[:200]


_NO_CONNECTION = "cannot be reached"


@dataclass
class _Refused(Exception):
    """A request that gave no reply: whether to try again, and after how many seconds; whether it ends the run."""

    words: str
    again: bool = False
    pause: float | None = None
    ends: bool = False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_request: Any, **_more: Any) -> None:
        return None


def checked_url(url: str) -> str:
    """The base URL without what would come after it. Raises SarmError for one that is none, or is not http(s)."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise SarmError(f"--url is no address ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SarmError("--url must begin with http:// or https://, such as https://api.example.org/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SarmError("--url must not hold a name, a password, ? or #: a key comes from the environment")
    return url.strip().rstrip("/").removesuffix(_PATH)


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date [RFC 9110, 10.2.3]."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _message(body: bytes) -> str:
    """What a server says is wrong, where it says it in the usual place."""
    try:
        found = json.loads(body)
        error = found.get("error", found)
        return str(error.get("message", "") if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        return ""


def _completion(body: bytes) -> Reply:
    try:
        found = json.loads(body)
        choice = found["choices"][0]
        text = choice["message"]["content"]
        usage = found.get("usage") or {}
        tokens = [usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _Refused("its reply is no chat completion", again=True) from None
    if not isinstance(text, str):
        raise _Refused("its reply holds no text", again=True)
    known = [value if type(value) is int and 0 <= value < 10**9 else None for value in tokens]
    return Reply(text, choice.get("finish_reason") == "length", *known)
