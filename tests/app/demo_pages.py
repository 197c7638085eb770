"""Whole pages on the embedded model, for tests: the real engine, a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.session.engine import load_engine
from sarm_core.score.scorer import Scorer

MAIN = Path(__file__).parents[2] / "app" / "main.py"
PATIENCE = 180
"""Seconds: the first page of a run loads the model, on a machine that may be busy."""

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def demo_env(tmp_path_factory: pytest.TempPathFactory, load_once: Callable[..., Scorer]) -> Iterator[Path]:
    """The embedded model with a data folder of its own; gives the folder."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sarm_core.score.scorer.load_sarm", load_once)
        patch.setenv("SARM_MODEL", "demo")
        patch.setenv("SARM_DATA", str(folder))
        load_engine.clear()
        yield folder
        load_engine.clear()


@pytest.fixture
def open_page(demo_env: Path) -> Open:
    """`open_page("compare.py", a="example:...")` runs a page with that address in a new session."""

    def run(page: str, **query: str) -> AppTest:
        test = AppTest.from_file(str(MAIN), default_timeout=PATIENCE)
        test.switch_page(f"app_pages/{page}")
        for name, value in query.items():
            test.query_params[name] = value
        return checked(test.run())

    return run


def checked(test: AppTest) -> AppTest:
    """The page as it is, after making sure that it shows no traceback."""
    assert not test.exception, [error.value for error in test.exception]
    return test


def address(test: AppTest) -> dict[str, str]:
    """The page's query parameters, as `open_page` takes them."""
    return {name: value[0] if isinstance(value, list) else value for name, value in test.query_params.items()}


def submit(test: AppTest, form: str, label: str) -> AppTest:
    """Press a form's button."""
    return checked(test.button(f"FormSubmitter:{form}-{label}").click().run())
