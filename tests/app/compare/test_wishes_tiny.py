"""Proposals on a model whose store holds no two answers to one prompt."""

from __future__ import annotations

import numpy as np
import pytest

from app.session.engine import default_choice, load_engine
from tests.app.conftest import Run
from tests.app.demo_pages import checked


@pytest.mark.slow
def test_without_stored_pairs_the_page_says_what_it_does_not_know(run_page: Run) -> None:
    test = run_page("compare.py")
    now = test.session_state["comparison"]
    rewards = load_engine(default_choice()).score(f"comparison:{now.key}", now.conversations()).rewards
    order = [int(i) for i in np.argsort(-rewards, kind="stable")]
    test.session_state["wish_state"].want(now, order, [order[-1], *order[:-1]])
    test = checked(test.run())
    test = checked(test.button("propose").click().run())
    parts = [part.value for part in (*test.markdown, *test.warning)]
    assert any("store holds no two answers to one prompt" in part for part in parts)
    assert "put_0" in {button.key for button in test.button}
