"""The house's arrows: who may import whom, read from the source, imports inside functions included."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"vision": 1, "collect": 2, "curate": 3, "train": 4, "analysis": 5, "demo": 6}
CONTRACTS = {"collect.store", "collect.catalog", "curate.manifest", "curate.duplicates", "train.runs"}
ONLY_IN = {"selenium": "collect.browser", "webdriver_manager": "collect.browser", "fiftyone": "curate.review"}
HEAVY = ("torch", "torchvision", "fiftyone", "selenium", "captum", "sklearn", "plotly", "matplotlib", "numba", "scipy")


def sources() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    files = [ROOT / "workspace.py", ROOT / "fototeca.py"]
    for package in FLOORS:
        files += sorted((ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


MODULES = sources()


def imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each imported module with the names taken from it; relative imports are refused."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or "", tuple(alias.name for alias in node.names)


def targets(path: Path) -> set[str]:
    """The project's own modules that a file imports; `from package import module` counts as the module."""
    found = set()
    for module, names in imports(path):
        if module in MODULES:
            inner = {f"{module}.{name}" for name in names} & MODULES.keys()
            found |= inner or {module}
    return found


def commands_call(package: str) -> set[str]:
    """What the commands of a package call: the modules its cli files import."""
    return {target for name, path in MODULES.items() if name.startswith(f"{package}.cli") for target in targets(path)}


def allowed(module: str, target: str) -> bool:
    """Whether the design draws this arrow."""
    home, there = module.split(".")[0], target.split(".")[0]
    if there == "workspace" or home in ("fototeca", there):
        return home != "workspace" or there == "workspace"
    if home not in FLOORS or there not in FLOORS or FLOORS[there] >= FLOORS[home]:
        return False
    if there == "vision" or target in CONTRACTS:
        return True
    return home == "demo" and target in commands_call(there)


def test_arrows_only_go_down_and_only_to_contracts() -> None:
    """A module imports its own package, the ground, vision, and contract modules of lower floors; nothing else."""
    wrong = [f"{name} -> {target}" for name, path in MODULES.items() for target in targets(path) if not allowed(name, target)]
    assert not wrong


def test_the_ground_floor_needs_only_the_standard_library() -> None:
    """workspace.py may be imported by anything for nothing."""
    foreign = {module.split(".")[0] for module, _ in imports(MODULES["workspace"])} - sys.stdlib_module_names
    assert not foreign


def test_no_circles() -> None:
    """No module imports itself by way of others."""
    graph = {name: targets(path) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_browser_and_fiftyone_have_one_door_each() -> None:
    """selenium and webdriver-manager belong to collect/browser.py, fiftyone (which contacts MongoDB) to curate/review.py."""
    wrong = [
        f"{name} imports {module}"
        for name, path in MODULES.items()
        for module, _ in imports(path)
        if ONLY_IN.get(module.split(".")[0], name) != name
    ]
    assert not wrong


def test_help_imports_nothing_heavy() -> None:
    """`fototeca --help`, and importing every command, costs no torch, browser or database."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nimport fototeca\n"
        "assert CliRunner().invoke(fototeca.app, ['--help']).exit_code == 0\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_the_wheel_lists_every_package_and_is_private() -> None:
    """A package that is missing from pyproject.toml would be missing for a user who installs the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(project["tool"]["setuptools"]["packages"]) == packages
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_stay_small(name: str) -> None:
    """A file over some 300 lines has more than one subject."""
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 320
