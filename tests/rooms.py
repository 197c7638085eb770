"""The rooms of the code and the arrows between them, read from its imports.

A room is what stands at the top of a package: a folder, or a file of its own. An arrow is "uses". The order of the
rooms (`ORDER`) is the one in CONTRIBUTING.md: a room may use what stands on a lower floor, never the other way round.

    python -m tests.rooms [CHECKOUT]    prints rooms, floors, arrows and lines of this checkout, or of another one
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

__all__ = ["DOOR", "ORDER", "PACKAGES", "Arrow", "House", "read_house"]

ORDER: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "sarm_core": (
        ("__main__",),
        ("cli",),
        ("wish", "dictionary"),
        ("train", "find", "report", "share", "watch", "name"),
        ("prove", "ship"),
        ("explain", "harvest", "provenance"),
        ("score",),
        ("demo", "steering"),
        ("model", "text", "search", "features", "bootstrap"),
        ("notebook",),
        ("files", "version", "figures", "markup"),
        ("errors",),
    ),
    "app": (
        ("main",),
        ("app_pages", "serve"),
        ("build", "naming"),
        ("ship", "compare", "prove", "watch"),
        ("find",),
        ("label", "steer", "datasets", "runs", "dictionary"),
        ("features", "explain"),
        ("session",),
        ("components",),
        ("draw",),
    ),
    "feature_db": (
        ("__main__",),
        ("cli",),
        ("exchange",),
        ("label",),
        ("store",),
        ("saved_work", "datasets", "runs"),
        ("features", "harvest", "roles"),
        ("sqlite",),
        ("label_values",),
        ("records",),
        ("errors",),
    ),
}
"""Floors of each package, the top one first. Rooms of one floor do not use each other."""
PACKAGES = {
    "app": ("app", "sarm_core", "feature_db"),
    "sarm_core": ("sarm_core",),
    "feature_db": ("feature_db",),
}
"""Which packages a package may import. `LATE` lists the exception."""
LATE = {("sarm_core", "cli"): ("feature_db",)}
"""A command may open a store, inside the function that does it."""
DOOR = "__init__"
"""The package's own `__init__`: hands on names of any room and is used by whoever wants the whole."""


@dataclass(frozen=True)
class Arrow:
    """One import: module `source`, at `line`, uses `target` (both dotted); `late` when inside a function."""

    source: str
    target: str
    line: int
    late: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} uses {self.target}"


@dataclass(frozen=True)
class House:
    """Everything read from one checkout: modules with their number of lines, and the arrows between them."""

    lines: Mapping[str, int]
    arrows: tuple[Arrow, ...]

    def room(self, module: str) -> tuple[str, str]:
        """Package and room of a dotted module."""
        package, _, rest = module.partition(".")
        return package, rest.partition(".")[0] or DOOR

    def rooms(self, package: str) -> tuple[str, ...]:
        """Names of the rooms of `package`, without its door."""
        found = {self.room(module)[1] for module in self.lines if self.room(module)[0] == package}
        return tuple(sorted(found - {DOOR}))

    def between(self, package: str) -> Mapping[tuple[str, str], tuple[Arrow, ...]]:
        """The arrows between two different rooms of `package`, those of its door left out."""
        found: dict[tuple[str, str], list[Arrow]] = {}
        for arrow in self.arrows:
            (one, above), (other, below) = self.room(arrow.source), self.room(arrow.target)
            if one == other == package and above != below and DOOR not in (above, below):
                found.setdefault((above, below), []).append(arrow)
        return {pair: tuple(arrows) for pair, arrows in found.items()}

    def running_up(self, package: str) -> list[Arrow]:
        """Arrows that do not run to a lower floor of `ORDER`."""
        floor = {name: number for number, names in enumerate(ORDER[package]) for name in names}
        return [
            arrow
            for (above, below), arrows in self.between(package).items()
            if floor.get(below, -1) <= floor.get(above, len(floor))
            for arrow in arrows
        ]

    def floors(self, package: str) -> int | None:
        """Longest way down from room to room, in rooms; None when there is a circle."""
        below: dict[str, set[str]] = {name: set() for name in self.rooms(package)}
        for above, under in self.between(package):
            below[above].add(under)
        height: dict[str, int] = {}
        try:
            for name in TopologicalSorter(below).static_order():
                height[name] = 1 + max((height[other] for other in below[name]), default=0)
        except CycleError:
            return None
        return max(height.values(), default=0)

    def circle(self, package: str) -> list[str]:
        """Modules of `package` that import each other in a circle when they are loaded, or none."""
        below: dict[str, set[str]] = {
            module: set() for module in self.lines if self.room(module)[0] == package
        }
        for arrow in self.arrows:
            if arrow.source in below and arrow.target in below and not arrow.late:
                below[arrow.source].add(arrow.target)
        try:
            TopologicalSorter(below).prepare()
        except CycleError as error:
            return list(error.args[1])
        return []


def read_house(checkout: Path) -> House:
    """Read app, sarm_core and feature_db of a checkout. Nothing of it is run."""
    lines: dict[str, int] = {}
    trees: dict[str, ast.Module] = {}
    for package in ORDER:
        for path in sorted((checkout / package).rglob("*.py")):
            parts = path.relative_to(checkout).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == DOOR else parts)
            text = path.read_text(encoding="utf-8")
            lines[module], trees[module] = text.count("\n"), ast.parse(text)
    arrows = [
        Arrow(module, target, line, late)
        for module, tree in trees.items()
        for target, line, late in _imports(tree, lines)
        if target != module
    ]
    return House(lines, tuple(arrows))


def _imports(tree: ast.Module, known: Mapping[str, int]) -> Iterator[tuple[str, int, bool]]:
    """(module, line, whether inside a function or for the type checker only) of every import of ours."""
    for node, late in _statements(tree, False):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import module` uses the module; any other name, what defines it.
            names = [
                full if (full := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            ]
        else:
            continue
        for name in dict.fromkeys(names):
            if name.partition(".")[0] in ORDER:
                yield name, node.lineno, late


def _statements(outer: ast.AST, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    """The statements inside `outer`, of any depth, and whether each is late. Expressions hold no import."""
    late = late or isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types(outer)
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        inside = getattr(outer, block, ())
        for node in inside if isinstance(inside, list) else ():
            yield node, late
            yield from _statements(node, late)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def main(checkout: str = ".") -> None:
    """Print one line a package."""
    house = read_house(Path(checkout))
    print(
        f"{'':12}{'rooms':>7}{'floors':>8}{'arrows':>8}{'up':>5}{'files':>7}{'lines':>8}{'longest file':>40}"
    )
    for package in ORDER:
        modules = {m: n for m, n in house.lines.items() if house.room(m)[0] == package}
        longest = max(modules, key=lambda name: modules[name])
        declared = {name for names in ORDER[package] for name in names}
        ordered = set(house.rooms(package)) <= declared
        row = (
            len(house.rooms(package)),
            house.floors(package) or "circle",
            len(house.between(package)),
            len(house.running_up(package)) if ordered else "-",
            len(modules),
            sum(modules.values()),
        )
        print(
            f"{package:12}{row[0]:>7}{row[1]:>8}{row[2]:>8}{row[3]:>5}{row[4]:>7}{row[5]:>8}"
            f"{f'{longest} ({modules[longest]})':>40}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
