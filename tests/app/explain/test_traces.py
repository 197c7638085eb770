"""Reading a feature at every token: what is said while the model runs, and when nothing need be said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.session import session
from sarm_core.errors import SarmError

ANSWERS = ("short", "long", "longer")
COMPARISON: Any = SimpleNamespace(conversations=lambda: list(ANSWERS))
SCORED: Any = SimpleNamespace(sequences=[range(30), range(2_000), range(3_000)])


class Place:
    """An `st.empty()` that keeps what was drawn in it."""

    def __init__(self) -> None:
        self.drawn: list[str | None] = []

    def progress(self, share: float, text: str) -> None:
        assert 0 <= share < 1
        self.drawn.append(text)

    def empty(self) -> None:
        self.drawn.append(None)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place()
    monkeypatch.setattr(session.st, "empty", lambda: made)
    return made


def engine(rate: float | None = 100.0, known: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(
        tokens_per_second=rate,
        traced=lambda conversation, feature: conversation in known,
        trace=lambda conversation, feature: (conversation, feature),
    )


def test_long_texts_are_counted_in_tokens_with_the_time_at_the_rate_of_scoring(place: Place) -> None:
    assert session.traces(engine(), COMPARISON, SCORED, (2, 1), 7) == [("longer", 7), ("long", 7)]
    assert place.drawn == [
        "Reading the feature: 0 of 5,000 tokens; the rest takes about 50 s",
        "Reading the feature: 3,000 of 5,000 tokens; the rest takes about 20 s",
        None,
    ]


def test_what_was_read_before_is_not_counted_and_an_unknown_rate_gives_no_time(place: Place) -> None:
    session.traces(engine(None, known=("longer",)), COMPARISON, SCORED, (2, 1), 7)
    assert place.drawn == ["Reading the feature: 0 of 2,000 tokens", None]


def test_short_texts_are_read_without_a_bar_that_would_only_flash(place: Place) -> None:
    session.traces(engine(), COMPARISON, SCORED, (0,), 7)
    session.traces(engine(known=ANSWERS), COMPARISON, SCORED, (0, 1, 2), 7)
    assert place.drawn == [None, None]


def test_an_error_takes_the_bar_away_and_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(session.st, "error", lambda text, icon: said.append(text))
    monkeypatch.setattr(session.st, "stop", lambda: pytest.fail("stopped", pytrace=False))
    broken = engine()

    def fail(conversation: str, feature: int) -> None:
        raise SarmError("no such feature")

    broken.trace = fail
    with pytest.raises(pytest.fail.Exception, match="stopped"):
        session.traces(broken, COMPARISON, SCORED, (1,), 7)
    assert said == ["no such feature"] and place.drawn[-1] is None
