"""The client against a real server: what is tried again, what ends the run, and where the key goes."""

from __future__ import annotations

import email.utils
import socket
import threading
import time

import pytest

from sarm_core.errors import SarmError
from sarm_core.name.endpoint import MOST_BYTES, Endpoint, checked_url, is_loopback
from sarm_core.name.model import FeatureFailed, Stopped
from tests.sarm_core.name.naming_server import KEY, NamingServer, completion, running

TURNS = [{"role": "user", "content": "You name what\n<<data-000000000000\n{}\ndata-000000000000>>"}]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sarm_core.name.endpoint.FIRST_PAUSE", 0.01)


def endpoint(server: NamingServer, **how) -> Endpoint:
    return Endpoint(server.url, "m", **({"attempts": 4, "timeout": 5} | how))


def ask(of: Endpoint, before=lambda: None):
    return of.ask(TURNS, (), before)


def failing(times: int, fault, then='{"a": 1}'):
    """A fault so many times, and a good reply after."""
    return lambda asked: fault if asked.number <= times else then


def test_a_reply_comes_with_what_it_used():
    with running(lambda _asked: "hello", KEY) as server:
        reply = ask(endpoint(server, key=KEY, extra={"temperature": None, "top_p": 0.5}))
    assert (reply.text, reply.cut, reply.prompt_tokens, reply.reply_tokens) == ("hello", False, 100, 10)
    assert server.seen_keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "fault",
    [
        (429, {}, b""),
        (500, {}, b"oops"),
        (503, {"Retry-After": "0"}, b""),
        b"this is no JSON",
        b"{}",
        b"[1]",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        (200, {"Content-Length": "5000"}, completion("cut off")[:40]),
    ],
    ids=["429", "500", "503", "garbage", "empty", "a list", "no choice", "no text", "broken off"],
)
def test_a_fault_that_passes_is_tried_again(fault):
    requests: list[int] = []
    with running(failing(2, fault)) as server:
        if isinstance(fault, tuple) and fault[0] == 200:
            server.answer = lambda asked: _hang_up(server, asked, fault)
        reply = ask(endpoint(server, timeout=1), lambda: requests.append(1))
    assert reply.text == '{"a": 1}' and len(server.times) == len(requests) == 3


def _hang_up(server: NamingServer, asked, fault):
    if asked.number > 2:
        return '{"a": 1}'
    status, headers, body = fault
    return status, {**headers, "Connection": "close"}, body


def test_a_fault_that_stays_fails_the_feature_in_one_line():
    with running(lambda _asked: (500, {}, b'{"error": {"message": "out\\nof memory"}}')) as server:
        with pytest.raises(FeatureFailed, match=r"answers 500 \(out of memory\); tried 4 times"):
            ask(endpoint(server))
        assert len(server.times) == 4
    with running(lambda _asked: (400, {}, b'{"error": "too long"}')) as server:
        with pytest.raises(FeatureFailed, match=r"answers 400 \(too long\)"):
            ask(endpoint(server))
        assert len(server.times) == 1, "what a server calls wrong is wrong again"


@pytest.mark.slow
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_out(as_date):
    wait = email.utils.formatdate(time.time() + 2.5, usegmt=True) if as_date else "1"
    with running(failing(1, (429, {"Retry-After": wait}, b""))) as server:
        ask(endpoint(server))
    assert server.times[1] - server.times[0] >= 0.95


def test_a_server_that_asks_for_hours_ends_the_run():
    with running(lambda _asked: (429, {"Retry-After": "7200"}, b"")) as server:
        with pytest.raises(Stopped, match="asks to wait 7,200 seconds"):
            ask(endpoint(server))
        assert len(server.times) == 1


@pytest.mark.slow
def test_a_slow_server_is_left_after_the_timeout_and_a_dripping_one_too():
    def drip() -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.05)

    with running(lambda _asked: time.sleep(5) or "late") as server:
        started = time.monotonic()
        with pytest.raises(FeatureFailed, match=r"no reply within 0.2 seconds; tried 2 times"):
            ask(endpoint(server, timeout=0.2, attempts=2))
        assert time.monotonic() - started < 4
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=drip, daemon=True).start()
        of = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", "m", timeout=0.3, attempts=1)
        started = time.monotonic()
        with pytest.raises(FeatureFailed, match="no reply within"):
            ask(of)
        assert time.monotonic() - started < 4


def test_a_wrong_key_ends_the_run_at_once_and_is_in_no_word():
    with running(lambda _asked: "hello", "another") as server:
        of = endpoint(server, key=KEY)
        with pytest.raises(Stopped, match="does not take the key: answers 401") as refused:
            ask(of)
        assert KEY not in str(refused.value) and "***" in str(refused.value)
        assert KEY not in repr(of) and len(server.times) == 1
        with pytest.raises(Stopped, match="takes no request without a key"):
            ask(endpoint(server))


def test_an_unknown_model_ends_the_run():
    said = r"answers 404 \(no model\): there is no model 'm'"
    with (
        running(lambda _asked: (404, {}, b'{"error": {"message": "no model"}}')) as server,
        pytest.raises(Stopped, match=said),
    ):
        ask(endpoint(server))


def test_nobody_there_ends_the_run():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    of = Endpoint(f"http://127.0.0.1:{port}/v1", "m", attempts=2)
    with pytest.raises(Stopped, match=r"cannot be reached \(.*refused.*\); tried 2 times"):
        ask(of)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_the_key_goes_nowhere(code):
    with running(lambda _asked: "stolen") as thief:
        place = f"{thief.url}/chat/completions"
        with (
            running(lambda _asked: (code, {"Location": place}, b""), KEY) as server,
            pytest.raises(Stopped, match="sends the request on to another address"),
        ):
            ask(endpoint(server, key=KEY))
        assert not thief.times


def test_a_reply_without_end_is_left():
    with (
        running(lambda _asked: completion("x" * (MOST_BYTES + 1))) as server,
        pytest.raises(FeatureFailed, match="more than 2,000,000 bytes"),
    ):
        ask(endpoint(server))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "must begin with http"),
        ("ftp://example.org", "must begin with http"),
        ("example.org/v1", "must begin with http"),
        ("https://", "must begin with http"),
        ("https://me:secret@example.org", "must not hold"),
        ("https://example.org/?key=secret", "must not hold"),
        ("https://[::1", "is no address"),
        ("http://a:b:c", "is no address"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url, said):
    with pytest.raises(SarmError, match=said) as refused:
        checked_url(url)
    assert "secret" not in str(refused.value)


def test_the_address_is_taken_as_people_paste_it():
    assert checked_url(" https://a.example/v1/ ") == "https://a.example/v1"
    assert checked_url("https://a.example/v1/chat/completions") == "https://a.example/v1"


def test_what_is_on_this_machine_is_known():
    for url in ("http://127.0.0.1:1/v1", "http://localhost", "http://[::1]:8000/v1"):
        assert is_loopback(url)
    for url in ("http://127.0.0.1.example.org", "http://10.0.0.1", "https://localhost.example.org"):
        assert not is_loopback(url)


def test_a_key_that_no_header_holds_is_refused_without_repeating_it():
    with pytest.raises(SarmError, match="characters that no header can hold") as refused:
        Endpoint("http://127.0.0.1", "m", "sk-1\r\nX-More: 1")
    assert "sk-1" not in str(refused.value)


def test_stop_is_not_kept_waiting_by_a_pause():
    with running(lambda _asked: (429, {"Retry-After": "100"}, b"")) as server:
        of = endpoint(server)
        threading.Timer(0.2, of.stopping.set).start()
        started = time.monotonic()
        with pytest.raises(Stopped):
            ask(of)
        assert time.monotonic() - started < 3
