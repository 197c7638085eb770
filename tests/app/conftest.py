"""A tiny real SARM with a store that was filled for it; the app runs on them as it does on real ones."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from app.session.engine import Choice, Engine, load_engine
from sarm_core.score.scorer import Scorer, load_sarm
from tests.app.store_builder import store_for
from tests.sarm_core.tiny_models import chatml, reference_checkpoint, text_checkpoint

MAIN = Path(__file__).parents[2] / "app" / "main.py"
N_FEATURES = 64

Run = Callable[..., AppTest]

# Each AppTest reads the metadata of every installed package, in search of components: most of a small page's time.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 features, k = 6, a ChatML tokenizer."""
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "tiny", n_features=N_FEATURES, k=6, tokenizer=chatml()
    )


@pytest.fixture(scope="session")
def store_template(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled store: copied, never written."""
    return store_for(checkpoint, tmp_path_factory.mktemp("template"))


@pytest.fixture
def store_path(store_template: Path, tmp_path: Path) -> Path:
    """A copy of the store where the app looks for it."""
    path = tmp_path / store_template.name
    shutil.copy(store_template, path)
    return path


@pytest.fixture(scope="session")
def load_once(checkpoint: Path) -> Callable[..., Scorer]:
    """`load_sarm` that loads the two models no test writes to, `checkpoint` and the embedded one, once a process."""
    kept = functools.cache(load_sarm)

    def load(source: str | Path, **how: str) -> Scorer:
        return (kept if str(source) in ("demo", str(checkpoint)) else load_sarm)(str(source), **how)

    return load


@pytest.fixture
def app_env(
    checkpoint: Path, load_once: Callable[..., Scorer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The app's model and data folder; the engine cached for another test's folder is dropped."""
    monkeypatch.setattr("sarm_core.score.scorer.load_sarm", load_once)
    monkeypatch.setenv("SARM_MODEL", str(checkpoint))
    monkeypatch.setenv("SARM_DATA", str(tmp_path))
    load_engine.clear()
    yield
    load_engine.clear()


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny checkpoint that reads text, as the app's default model, with its own store.

    What it encoded is kept in the cache of the whole run: five files ask for its reading of the corpus.
    """
    root = tmp_path_factory.mktemp("app")
    folder = text_checkpoint(root / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SARM_MODEL", str(folder))
        patch.setenv("SARM_DATA", str(root / "data"))
        yield folder


@pytest.fixture(scope="module")
def engine(text_model: Path) -> Engine:
    """The engine of `text_model`."""
    return load_engine(Choice(str(text_model)))


@pytest.fixture
def run_page(app_env: None) -> Run:
    """`run_page("features.py", f_sort="density")` opens a page with that address; raises on any exception."""

    def run(page: str, **query: str) -> AppTest:
        test = AppTest.from_file(str(MAIN), default_timeout=60)
        test.switch_page(f"app_pages/{page}")
        for name, value in query.items():
            test.query_params[name] = value
        test.run()
        assert not test.exception, test.exception[0].value
        return test

    return run
