"""The command `app`: the app in the browser, served by Streamlit."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.errors import SarmError

__all__ = ["App", "main_script"]


class App(Command):
    """`streamlit run` on the app's main script, wherever that was installed."""

    name = "app"
    help = "start the app in the browser"
    description = (
        "Start the app in the browser. Arguments that follow are Streamlit's: `sarm app --server.port 8502`; what "
        "can be given is listed by `streamlit run --help`. The model is that of $SARM_MODEL, else the embedded one."
    )
    takes_rest = True

    def add(self, parser: argparse.ArgumentParser) -> None:
        """No option of its own."""

    def run(self, options: argparse.Namespace) -> int:
        script = main_script()
        for package in ("streamlit", "plotly"):
            if find_spec(package) is None:
                raise SarmError(
                    f'the app needs {package}, which is not installed: pip install "sarm-explorer[app]"'
                )
        # By name: nothing here may need Streamlit in order to be imported. It brings click along.
        streamlit, click = import_module("streamlit.web.cli"), import_module("click")
        try:
            streamlit.main(["run", str(script), *options.rest], standalone_mode=False)
        except click.ClickException as error:
            raise SarmError(
                f"{error.format_message()}; `streamlit run --help` lists what can be given"
            ) from None
        except click.Abort:
            raise KeyboardInterrupt from None
        return 0


def main_script() -> Path:
    """`app/main.py`, of the checkout or where the wheel puts it. Raises SarmError when it is in neither place."""
    root = Path(__file__).parents[2]
    for place in (root / "sarm_explorer" / "app", root / "app"):
        if (place / "main.py").is_file() and (place / "app_pages").is_dir():
            return place / "main.py"
    raise SarmError(f"{root}: the app is not beside the engine; install sarm-explorer anew")
