"""The command `app`: the app in the browser, served by Streamlit."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec

from sarm_core.cli.command import Command
from sarm_core.errors import SarmError
from sarm_core.share.script import app_folder

__all__ = ["App"]


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
        script = app_folder() / "main.py"
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
