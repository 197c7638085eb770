"""The name that the browser remembers, as a cookie tells it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app.components import known_name as module


@pytest.mark.parametrize(
    ("url", "cookies", "name"),
    [
        ("http://127.0.0.1:8501/label", {"sarm_name_8501": "J%C3%BCrgen%20A."}, "Jürgen A."),
        ("http://127.0.0.1:8502/label", {"sarm_name_8501": "ann"}, ""),  # another app on the same host
        ("https://sarm.example.org", {"sarm_name_": "ann"}, "ann"),
        ("http://127.0.0.1:8501", {}, ""),
        (None, {}, ""),
        ("http://[broken", {"sarm_name_": "ann"}, ""),
        ("http://127.0.0.1:8501", {"sarm_name_8501": "a%0Ab"}, ""),
        ("http://127.0.0.1:8501", {"sarm_name_8501": "x" * 5_000}, "x" * 100),
    ],
)
def test_the_cookie_of_this_address_gives_the_name_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, url: str | None, cookies: dict[str, str], name: str
) -> None:
    monkeypatch.setattr(module.st, "context", SimpleNamespace(url=url, cookies=cookies))
    assert module.known_name() == name
