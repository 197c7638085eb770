"""The app's own scripts and styles, for a page that is no Streamlit page: several ES modules as one script."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from sarm_core.errors import SarmError

__all__ = ["app_folder", "bundle", "component_text"]

_IMPORT = re.compile(r'^import (?:\{([^}]*)\}|(\w+)) from "(\.{1,2}/[\w./]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (default )?((?:async )?function|const|class) (\w+)", re.MULTILINE)


def app_folder() -> Path:
    """The app's files, of the checkout or where the wheel puts them. Raises SarmError when they are in neither."""
    root = Path(__file__).parents[2]
    for place in (root / "sarm_explorer" / "app", root / "app"):
        if (place / "main.py").is_file() and (place / "app_pages").is_dir():
            return place
    raise SarmError(f"{root}: the app is not beside the engine; install sarm-explorer anew")


def component_text(name: str) -> str:
    """A file below the app's components. Raises SarmError when it is not there."""
    path = app_folder() / "components" / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror}); install sarm-explorer anew") from None


@lru_cache(maxsize=8)
def bundle(entry: Path) -> str:
    """One script of a module and all it imports, each in a scope of its own: two may use one name.

    Of modules as this project writes them: `import {a, b} from "./x.js"`, `import a from "./x.js"`, and `export` before
    what it exports.
    """
    names: dict[Path, str] = {}
    parts: list[str] = []

    def add(path: Path) -> str:
        path = path.resolve()
        if path in names:
            return names[path]

        def imported(found: re.Match[str]) -> str:
            several, default, place = found.groups()
            of = add(path.parent / place)
            return f"const {{{several}}} = {of};\n" if several else f"const {default} = {of}.default;\n"

        body = _IMPORT.sub(imported, path.read_text(encoding="utf-8"))
        given = [f"default: {name}" if default else name for default, _, name in _EXPORT.findall(body)]
        body = _EXPORT.sub(r"\2 \3", body)
        names[path] = f"module{len(names)}"
        parts.append(f"const {names[path]} = (() => {{\n{body}\nreturn {{ {', '.join(given)} }};\n}})();\n")
        return names[path]

    add(entry)
    return '"use strict";\n' + "\n".join(parts)
