"""A shared comparison as one HTML page: the ranking with live sliders, offline, asking nobody for anything.

The page runs the same scripts as the app (`app/components`); a policy in it lets no other script run and nothing be
fetched. What people wrote is in it as data and reaches the page as text only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from sarm_core.figures import plural, reward, signed
from sarm_core.markup import Markup, clean, cut, data_block, join, script, style_sheet, table, tag
from sarm_core.share.script import app_folder, bundle, component_text
from sarm_core.share.shared import BLOCK, Shared
from sarm_core.share.sliders import from_steering
from sarm_core.version import VERSION

__all__ = ["shared_page"]

RANKING = ("rerank", "steering_panel", "answer_list", "wanted_order")
"""Style sheets of the ranking, in their order."""
LONG = 1_500
"""Characters of a prompt that are shown unfolded"""


def shared_page(shared: Shared) -> str:
    """The page. The same input gives the same bytes. Raises SarmError without scores, or without the app's files."""
    view = _view(shared)
    code = f"\n{bundle(app_folder() / 'components' / 'shared_page' / 'page.js')}"
    css = component_text("shared_page/page.css")
    styles = {
        "ranking": "\n".join(component_text(f"rerank/{name}.css") for name in RANKING),
        "bars": component_text("feature_bars/feature_bars.css"),
    }
    body = tag(
        "body",
        _header(shared),
        tag(
            "main",
            _prompt(shared),
            tag("div", id="ranking"),
            tag("noscript", _without_scripts(shared)),
            tag(
                "section",
                tag("h2", "Which features decide", id="sides-heading"),
                tag("div", id="sides"),
                class_="st-key-sides needs-scripts",
                aria_labelledby="sides-heading",
            ),
            tag("section", id="feature", hidden="hidden", aria_live="polite"),
            _about(shared),
        ),
        tag("footer", f"Made by SARM Explorer {VERSION}. This page asks no server for anything."),
        data_block(BLOCK, shared.to_json()),
        data_block("sarm-view", json.dumps(view, allow_nan=False)),
        data_block("sarm-styles", json.dumps(styles)),
        script(code),
    )
    return f"<!doctype html>\n{tag('html', _head(shared, css, code), body, lang='en')}\n"


def _head(shared: Shared, css: str, code: str) -> Markup:
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_digest(code)}'",
            f"style-src 'sha256-{_digest(chr(10) + css)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"SARM Explorer {VERSION}"),
        tag("link", rel="icon", href="data:,"),
        tag("title", cut(shared.question, 100) or "A comparison"),
        style_sheet(css),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _view(shared: Shared) -> dict[str, Any]:
    """What the script starts from besides the file."""
    state, groups = from_steering(shared.steering)
    return {
        "titles": shared.titles(),
        "sliders": list(shared.sliders),
        "steering": state,
        "groups": groups,
        "compared": list(shared.compared or _first_two(shared)),
    }


def _first_two(shared: Shared) -> tuple[int, ...]:
    """The best answer and the last one, as the app compares them at first."""
    assert shared.matrix is not None
    rewards = shared.steering.apply(shared.matrix).exact_rewards
    order = sorted(range(len(rewards)), key=lambda i: -rewards[i])
    return (order[0], order[-1]) if len(order) > 1 else ()


def _header(shared: Shared) -> Markup:
    facts: list[object] = [
        join([tag("bdi", cut(shared.model_name, 120)), " ", tag("code", shared.fingerprint[:12])]),
        plural(len(shared.answers), "answer"),
    ]
    if shared.made:
        facts.append(tag("bdi", cut(shared.made, 60)))
    return tag(
        "header",
        tag("p", "Compared with SARM Explorer", class_="kicker"),
        tag("h1", "Which answer does the reward model prefer, and why?"),
        tag("p", join(facts, " · "), class_="byline"),
    )


def _prompt(shared: Shared) -> Markup:
    asked = shared.question
    earlier = shared.prompt[:-1]
    box = tag("div", clean(asked), class_="typed", dir="auto")
    if len(asked) > LONG:
        box = tag("details", tag("summary", cut(asked, 200), dir="auto"), box)
    turns: list[object] = []
    if earlier:
        turns = [
            tag(
                "details",
                tag("summary", plural(len(earlier), "earlier turn")),
                *(
                    tag(
                        "div",
                        tag("b", turn.role),
                        tag("div", clean(turn.content), class_="typed", dir="auto"),
                    )
                    for turn in earlier
                ),
            )
        ]
    return tag(
        "section", tag("h2", "Prompt", id="prompt-heading"), box, *turns, aria_labelledby="prompt-heading"
    )


def _without_scripts(shared: Shared) -> Markup:
    """The ranking as it was shared, for whoever runs no scripts (a preview in a mail program)."""
    assert shared.matrix is not None
    rewards = shared.steering.apply(shared.matrix).exact_rewards.tolist()
    order = sorted(range(len(rewards)), key=lambda i: -rewards[i])
    titles = shared.titles()
    rows = [
        (place, titles[i], cut(shared.answers[i].text, 300), signed(rewards[i] - rewards[order[0]]))
        for place, i in enumerate(order, 1)
    ]
    return table(
        ("place", "answer", "text", "behind the best"),
        rows,
        caption="The ranking as it was shared. With scripts allowed there are sliders, and which features decide.",
        text_columns=(1, 2),
    )


def _about(shared: Shared) -> Markup:
    """The model, the steering as shared, and the way back into an installation."""
    changes = [
        tag("li", tag("bdi", _named(shared, i)), f": {words}")
        for i, words in shared.steering.described().items()
    ]
    groups = [
        tag("li", "group ", tag("bdi", cut(name, 60)), f" of {len(group.features)}: × {reward(group.scale)}")
        for name, group in shared.steering.groups.items()
    ]
    steering = (
        [tag("p", "When it was shared, these features were changed:"), tag("ul", *changes, *groups)]
        if changes
        else [tag("p", "When it was shared, nothing was changed: the model as it is.")]
    )
    facts = [(name, value) for name, value in shared.model.items() if value is not None]
    return tag(
        "section",
        tag("h2", "About this page", id="about-heading"),
        *steering,
        tag(
            "p",
            "What you move here stays in this window. A reward only means something beside others for one prompt.",
        ),
        tag("h3", "Open it in an installation"),
        tag(
            "p",
            "This file holds the whole comparison: answers, activations, weights. In SARM Explorer with the same "
            "model, open Compare and steer, press Upload and choose this file. With another model its texts can be "
            "scored anew.",
        ),
        tag(
            "details",
            tag("summary", "The model"),
            table(("fact", "value"), facts, caption="The model", text_columns=(0, 1)),
        ),
        aria_labelledby="about-heading",
        class_="about",
    )


def _named(shared: Shared, feature: int) -> str:
    note = shared.features.get(feature)
    return f"#{feature} {cut(note.name, 80)}" if note and note.name else f"#{feature}"
