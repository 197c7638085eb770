"""The wheel, used without the checkout: the engine alone, the app with its packages; and what it declares."""

from __future__ import annotations

import ast
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import venv
import zipfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sarm_core.version import VERSION

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENGINE = ("sarm_core", "feature_db")
APP_ONLY = ("streamlit", "plotly")
PINNED = {
    "requirements.txt": ("", "app"),
    "requirements-dev.txt": ("dev", "auth"),
    "requirements-docs.txt": ("docs",),
    "requirements-auth.txt": ("auth",),
    "requirements-train.txt": ("train",),
    "requirements-ray.txt": ("ray",),
}
"""Which of the ranges in pyproject.toml a file of pins stands for; "" are those of the engine."""

built = pytest.mark.skipif(
    find_spec("hatchling") is None, reason="hatchling is not installed (make setup-dev)"
)


def ranges(*extras: str) -> dict[str, Requirement]:
    lines = []
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


# -- what is declared ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", PINNED)
def test_every_pin_lies_in_its_range_and_nothing_is_in_one_list_only(file):
    pins = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        found = Requirement(line)
        pins[canonicalize_name(found.name)] = found
    wanted = ranges(*PINNED[file])
    assert set(pins) == set(wanted)
    for name, pin in pins.items():
        (stated,) = pin.specifier
        assert stated.operator == "==" and wanted[name].specifier.contains(stated.version), (
            pin,
            wanted[name],
        )
        assert pin.extras == wanted[name].extras
        assert any(part.operator in (">=", "~=") for part in wanted[name].specifier), wanted[name]


def imported(folder: str) -> set[str]:
    """Top-level names of all imports under `folder`, those inside functions too."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {*ENGINE, "app"}


packages_of_modules = functools.cache(metadata.packages_distributions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "extras"),
    [("sarm_core", ("", "ray", "train")), ("feature_db", ("",)), ("app", ("", "app", "auth"))],
)
def test_what_is_imported_is_declared(folder, extras):
    """A package that comes along with another today, as pyarrow with Streamlit, may not come along for everybody."""
    declared = set(ranges(*extras))
    providers = packages_of_modules()
    for name in imported(folder):
        packages = {canonicalize_name(found) for found in providers.get(name, [name])}
        assert packages & declared, f"{folder} imports {name}: name it in pyproject.toml and requirements.txt"


def changes_the_path(path: Path) -> bool:
    """Whether a module calls `sys.path.insert` or its like, or assigns to a part of `sys.path`."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)) if "sys" in source and "path" in source else ():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func]
        if any(ast.unparse(target).startswith(("sys.path.", "sys.path[")) for target in targets):
            return True
    return False


@pytest.mark.slow
def test_only_the_app_looks_for_the_packages_by_its_place():
    """Everything else runs where the project is installed, as `make setup` does; Streamlit may be called without."""
    folders = ("app", "sarm_core", "feature_db", "benchmarks", "examples", "docs")
    found = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    assert len(found) > 250
    assert [path for path in found if changes_the_path(path)] == [ROOT / "app" / "main.py"]


# -- the wheel -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    done = subprocess.run([*command, "-w", str(folder), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


@built
@pytest.mark.package
def test_the_wheel_has_every_file_of_the_three_packages(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *ENGINE, "app"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    wanted = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {re.sub("^app/", "sarm_explorer/app/", name) for name in wanted}


class Place:
    """A fresh environment with the wheel in it, outside the checkout; `packages` says what else it finds."""

    def __init__(self, folder: Path, wheel: Path, packages: Path):
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
        } | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        venv.create(folder / "env", symlinks=True)
        self.bin = folder / "env" / "bin"
        (site,) = (folder / "env" / "lib").glob("python*/site-packages")
        (site / "packages.pth").write_text(f"{packages}\n")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--python", str(self.bin / "python")),
                *("install", "--quiet", "--no-deps", "--no-index", str(wheel)),
            ],
            capture_output=True,
            text=True,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )


def installed(folder: Path, without: tuple[str, ...]) -> Path:
    """A folder with links to what is installed here, but this project and `without`."""
    folder.mkdir()
    hidden = {"sarm_core", "feature_db", "app", "sarm_explorer", *without}
    for site in dict.fromkeys(entry for entry in sys.path if Path(entry).name == "site-packages"):
        for path in Path(site).iterdir():
            name = re.split(r"[-.]", path.name)[0].lstrip("_")
            if name not in hidden and path.suffix != ".pth" and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def engine_only(wheel, tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("engine")
    return Place(folder, wheel, installed(folder / "site-packages", APP_ONLY))


@pytest.fixture(scope="module")
def with_the_app(wheel, tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("app")
    return Place(folder, wheel, installed(folder / "site-packages", ()))


@built
@pytest.mark.package
def test_the_engine_scores_without_the_apps_packages(engine_only):
    from tests.sarm_core.tiny_models import reference_checkpoint

    reference_checkpoint(engine_only.folder / "tiny")
    (engine_only.folder / "in.jsonl").write_text('{"input_ids": [5, 6, 7, 8], "id": "a"}\n')
    done = engine_only.run("sarm", "score", "in.jsonl", "--model", "tiny", "--out", "out.jsonl")
    assert done.returncode == 0 and done.stderr.endswith("1 rows written to out.jsonl\n"), done.stderr
    code = (
        "import sys, sarm_core, feature_db, importlib.util as u;"
        f"print(*(u.find_spec(name) for name in {APP_ONLY!r}), sarm_core.__version__, sarm_core.__file__)"
    )
    done = engine_only.run("python", "-c", code)
    assert done.stdout.startswith(f"None None {VERSION} {engine_only.folder}"), done


@built
@pytest.mark.package
def test_without_the_extra_the_app_names_the_remedy(engine_only):
    done = engine_only.run("sarm", "app")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and 'pip install "sarm-explorer[app]"' in done.stderr


@built
@pytest.mark.package
def test_a_type_checker_sees_the_types(wheel, tmp_path):
    """Nothing else is installed there, so that it reads these packages alone."""
    (tmp_path / "none").mkdir()
    place = Place(tmp_path, wheel, tmp_path / "none")
    (tmp_path / "uses.py").write_text(
        "from feature_db.errors import StoreError\n"
        "from sarm_core.errors import RowError\n"
        "reveal_type(RowError('bad', source='in.jsonl', row=3).row)\n"
        "StoreError() + 1\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--python-executable", str(place.bin / "python")),
            *(
                "--no-incremental",
                "--follow-imports=silent",
                "--disable-error-code=import-not-found",
                "uses.py",
            ),
        ],
        cwd=tmp_path,
        env=place.environment,
        capture_output=True,
        text=True,
    )
    assert "py.typed" not in done.stdout and '"int | None"' in done.stdout, done.stdout + done.stderr
    assert 'left operand type ("StoreError")' in done.stdout or "Unsupported operand" in done.stdout, (
        done.stdout
    )


@built
@pytest.mark.package
@pytest.mark.skipif(find_spec("streamlit") is None, reason="the app's packages are not installed")
def test_with_the_extra_all_modules_of_the_app_import_and_find_their_files(with_the_app):
    code = (
        "import importlib, pkgutil, sys; from sarm_core.share.script import app_folder\n"
        "sys.path.insert(0, str(app_folder().parent)); import app, sarm_core.demo\n"
        "for found in pkgutil.walk_packages(app.__path__, 'app.'):\n"
        "    if found.name != 'app.main': importlib.import_module(found.name)\n"
        "print(sarm_core.demo.STORE.is_file(), sarm_core.demo.CORPUS.is_file(), app.__file__)"
    )
    done = with_the_app.run("python", "-c", code)
    (site,) = (with_the_app.folder / "env" / "lib").glob("python*/site-packages")
    assert done.stdout == f"True True {site / 'sarm_explorer' / 'app' / '__init__.py'}\n", done.stderr


@built
@pytest.mark.package
@pytest.mark.skipif(find_spec("streamlit") is None, reason="the app's packages are not installed")
def test_with_the_extra_the_app_answers_and_on_this_machine_only(with_the_app):
    place = with_the_app
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = place.folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(place.bin / "sarm"), "app", "--server.headless", "true", f"--server.port={port}"],
            cwd=place.folder,
            env=place.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health") as answer:
                        assert answer.read() == b"ok"
                        break
                except OSError:
                    assert server.poll() is None, log.read_text()
                    time.sleep(0.1)
            else:
                pytest.fail(log.read_text())
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=20)
    assert f"http://127.0.0.1:{port}" in log.read_text() and "Network URL" not in log.read_text()
