"""What a figure of agreement says, in words."""

from __future__ import annotations

from feature_db.label.agreement import Agreement

__all__ = ["in_words"]

STRENGTHS = (
    (0.2, "slightly"),
    (0.4, "fairly"),
    (0.6, "moderately"),
    (0.8, "substantially"),
    (2.0, "almost fully"),
)
"""Upper ends, and the words of Landis and Koch (1977) for them"""


def in_words(figure: Agreement) -> str:
    """One sentence on a figure in which 0 is what chance gives and 1 full agreement (alpha, kappa).

    Where it is undefined it says so and why; no figure stands in its place.
    """
    if figure.value is None:
        return f"Undefined: {figure.reason}."
    on = f"on {figure.n_features:,} feature{'' if figure.n_features == 1 else 's'}"
    strength = next(word for most, word in STRENGTHS if figure.value <= most)
    if figure.low is None or figure.high is None:
        if figure.value <= 0:
            return f"People agree no more than chance would, {on}: too few to tell from chance."
        return f"People agree {strength}, {on}: too few to tell it from chance."
    if figure.low > 0:
        return f"People agree more than chance would, {strength}, {on}."
    if figure.high < 0:
        return f"People agree less than chance would, {on}: they mean different things by the same values."
    return f"It cannot be told from chance, {on}, whether people agree."
