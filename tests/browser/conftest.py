"""A real Streamlit server and a real Chromium for the browser tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from feature_db import FeatureFilter, Store
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.store_builder import store_for
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SETTLE_MS = 210
"""Streamlit may still be about to start a run this long after an action."""

ROW_HEIGHT = 35
"""Of a dataframe, in pixels."""
OPEN_TABLE = "[data-testid=stTabs] [role=tabpanel]:not([hidden]) [data-testid=stDataFrame]"
"""The table in the open tab"""

AppServer = Callable[..., str]


@contextlib.contextmanager
def running_app(script: str | Path, folder: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """Run `streamlit run script` on a free loopback port and give its address.

    `folder` receives the server's output; a server that does not come up raises with the end of it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = Path(folder) / f"streamlit-{port}.log"
    options = {
        "server.address": "127.0.0.1",
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(script),
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_healthy(f"http://127.0.0.1:{port}/_stcore/health", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _wait_healthy(address: str, server: subprocess.Popen[bytes], log: Path, patience: float = 60.0) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"the Streamlit server did not come up ({address}):\n{tail}")


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """`app_server(script_path, env=None)` gives the address of a server for that script, one per script."""
    with contextlib.ExitStack() as servers:
        addresses: dict[tuple[Any, ...], str] = {}

        def start(script: str | Path, env: dict[str, str] | None = None) -> str:
            key = (str(script), *sorted((env or {}).items()))
            if key not in addresses:
                folder = tmp_path_factory.mktemp("server")
                addresses[key] = servers.enter_context(running_app(script, folder, env))
            return addresses[key]

        yield start


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium through Playwright; skips where either is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if not CHROMIUM.exists():
        pytest.skip(
            f"no Chromium at {CHROMIUM}: install it (Debian: apt-get install chromium) or set CHROMIUM"
        )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


def _ends_a_whole_run(payload: bytes) -> bool:
    """Whether a frame of the server says that the script ran to its end, neither a fragment nor a rerun's start."""
    message = ForwardMsg()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        return False
    return message.WhichOneof("type") == "script_finished" and message.script_finished in (
        ForwardMsg.FINISHED_SUCCESSFULLY,
        ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
    )


@dataclass
class AppPage:
    """A browser page with what these tests watch: frames sent to the server, errors in the console."""

    page: Any
    sent: list[bytes | str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unanswered: bool = False
    drawn: bool = False
    """Since the document was loaded the script has run to its end once: before its first run nothing runs either."""

    def __post_init__(self) -> None:
        self.page.on("domcontentloaded", lambda _: setattr(self, "drawn", False))
        self.page.on("websocket", self._watch)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def _watch(self, socket: Any) -> None:
        def sent(payload: bytes | str) -> None:
            self.sent.append(payload)
            self.unanswered = True

        def received(payload: bytes | str) -> None:
            self.unanswered = False
            if isinstance(payload, bytes):
                self.drawn = self.drawn or _ends_a_whole_run(payload)

        socket.on("framesent", sent)
        socket.on("framereceived", received)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.settled()

    def _wait_until_drawn(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.drawn:
            assert time.monotonic() < deadline, f"{self.page.url} was not drawn within {seconds:.0f} s"
            self.page.wait_for_timeout(20)

    def settled(self) -> None:
        """Wait until the server has answered what was done so far; a loaded machine takes its time."""
        self._wait_until_drawn(60)
        self.page.wait_for_timeout(SETTLE_MS)
        deadline = time.monotonic() + 20
        while self.unanswered and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        self.page.wait_for_selector(
            "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]",
            timeout=30_000,
        )

    def finished(self) -> None:
        """As `settled`, for a run that loads a model or draws the bootstrap: long when others compute too."""
        self._wait_until_drawn(240)
        self.page.wait_for_timeout(SETTLE_MS)
        self.page.wait_for_selector(
            "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]",
            timeout=240_000,
        )
        self.settled()

    def tick(self, table: str, row: int) -> None:
        """Click the box of a row, counted from 1, of the first dataframe that the selector `table` finds."""
        box = self.page.locator(f"{table} canvas").first.bounding_box()
        self.page.mouse.click(box["x"] + 18, box["y"] + ROW_HEIGHT * row + ROW_HEIGHT / 2)
        self.finished()


@pytest.fixture(scope="session")
def contexts(browser: Any) -> Iterator[dict[str, Any]]:
    """Browser contexts by their options: shared, so that Streamlit's own files are fetched once."""
    made: dict[str, Any] = {}
    yield made
    for context in made.values():
        context.close()


@pytest.fixture
def new_page(browser: Any, contexts: dict[str, Any]) -> Iterator[Callable[..., AppPage]]:
    """`new_page(width=1280, height=900, dark=False, **context options)` gives an AppPage; closed after the test."""
    pages = []

    def make(width: int = 1280, height: int = 900, dark: bool = False, **options: Any) -> AppPage:
        options |= {
            "viewport": {"width": width, "height": height},
            "color_scheme": "dark" if dark else "light",
        }
        key = repr(sorted(options.items()))
        if key not in contexts:
            contexts[key] = browser.new_context(**options)
        app = AppPage(contexts[key].new_page())
        pages.append(app.page)
        return app

    yield make
    for page in pages:
        page.close()
    for context in contexts.values():
        context.clear_cookies()  # the name of one test is not known in the next


@pytest.fixture(scope="module")
def label_app(tmp_path_factory: pytest.TempPathFactory, app_server: AppServer) -> tuple[str, Path, int]:
    """The app's address, its store and a queue, on a tiny real model."""
    folder = tmp_path_factory.mktemp("labelling")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    path = store_for(checkpoint, folder / "data")
    with Store.open(path) as store:
        People(store).set_role(None, "chief", "admin")
        queue = Queues(store, "chief").make(
            "all", FeatureFilter(labelled=False, min_firing_count=5), limit=40
        )
    env = {"SARM_MODEL": str(checkpoint), "SARM_DATA": str(folder / "data")}
    return app_server(ROOT / "app" / "main.py", env), path, queue


@pytest.fixture
def enter(label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]) -> Callable[[str], AppPage]:
    """`enter(name)` opens the page in a browser context of that person's own and types the name."""

    from tests.browser.label_app import sign

    def open_it(name: str) -> AppPage:
        app = new_page(width=1280 + len(name))  # another size is another context
        app.open(f"{label_app[0]}/label?queue={label_app[2]}")  # other tests make queues too
        sign(app, name)
        return app

    return open_it
