"""Numbers as a reader meets them: shares in percent, changes in points, and "undefined" where there is none."""

from __future__ import annotations

import math

__all__ = ["count", "interval", "percent", "plural", "points", "points_interval", "reward", "signed", "tick"]

Number = float | int | None


def percent(value: Number, digits: int = 1) -> str:
    """A share as "63.1 %"."""
    return "undefined" if value is None else f"{_minus(f'{100 * value:.{digits}f}')}\u00a0%"


def points(value: Number, digits: int = 1) -> str:
    """A change of a share in percentage points, with its sign: "+8.1"."""
    return "undefined" if value is None else _signed(f"{100 * value:+.{digits}f}")


def interval(low: Number, high: Number, digits: int = 1) -> str:
    """An interval of a share: "55.0 to 70.1 %"."""
    if low is None or high is None:
        return "no interval"
    return f"{_minus(f'{100 * low:.{digits}f}')} to {percent(high, digits)}"


def points_interval(low: Number, high: Number, digits: int = 1) -> str:
    """An interval of a change: "+3.0 to +13.2"."""
    return (
        "no interval" if low is None or high is None else f"{points(low, digits)} to {points(high, digits)}"
    )


def reward(value: Number) -> str:
    """A reward, activation or weight to about three digits."""
    return "undefined" if value is None else _minus(_short(float(value)))


def signed(value: Number) -> str:
    """The same with a sign; nothing is added to 0."""
    if value is None:
        return "undefined"
    text = _short(float(value))
    return _minus(text if text.startswith("-") or float(text) == 0 else f"+{text}")


def count(value: int | None) -> str:
    """A whole number with separators for thousands."""
    return "unknown" if value is None else f"{value:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """ "1 item", "2 items"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def tick(value: float) -> str:
    """A round number, without zeros that say nothing."""
    return _minus(f"{value:.6g}")


def _short(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if 0.0095 <= abs(value) < 999.5:
        text = f"{value:.3f}" if abs(value) < 99.95 else f"{value:.1f}"
        return text
    return f"{value:.3g}"


def _signed(text: str) -> str:
    """No sign on what rounds to 0."""
    return _minus(text.lstrip("+-") if float(text) == 0 else text)


def _minus(text: str) -> str:
    """A real minus sign, except in exponents and before what rounds to 0."""
    if text.startswith("-") and float(text) == 0:
        return text[1:]
    return "\u2212" + text[1:] if text.startswith("-") else text
