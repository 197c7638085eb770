"""Which address a link has, and whom it reaches."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app.session import link


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("http://127.0.0.1:8501?a=x", True),
        ("http://localhost:8501", True),
        ("http://[::1]:8501/explain", True),
        ("http://192.168.1.7:8501", False),
        ("https://sarm.example.org/explain?a=x", False),
        ("http://localhost.example.org", False),
    ],
)
def test_an_address_of_this_machine_is_known(address: str, alone: bool) -> None:
    assert link.only_here(address) == alone


@pytest.mark.parametrize(
    ("seen", "stated", "base"),
    [
        ("http://127.0.0.1:8501", "", "http://127.0.0.1:8501"),
        ("https://team.example.org/sarm/explain?x=1", "", "https://team.example.org/sarm/explain"),
        ("http://127.0.0.1:8501/explain", "https://sarm.example.org/", "https://sarm.example.org/explain"),
        ("http://127.0.0.1:8501/anything", "sarm.example.org/app", "https://sarm.example.org/app"),
        ("", "", None),
        ("", "https://sarm.example.org", "https://sarm.example.org"),
    ],
)
def test_a_link_has_the_address_of_the_browser_or_the_one_that_is_stated(
    monkeypatch: pytest.MonkeyPatch, seen: str, stated: str, base: str | None
) -> None:
    monkeypatch.setattr(link.st, "context", SimpleNamespace(url=seen))
    monkeypatch.setattr(link.st, "query_params", {"a": "example:x y"})
    monkeypatch.setenv(link.BASE_URL, stated)
    assert link.link() == (None if base is None else f"{base}?a=example%3Ax%20y")
