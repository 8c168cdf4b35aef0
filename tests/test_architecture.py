"""Import rules between floors and packages, read from the source, including imports inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"core": 0, "vision": 1, "collect": 2, "curate": 3, "train": 4, "analysis": 5, "demo": 6}
OPEN_FLOORS = ("core", "vision")
"""Floors of which every module may be imported from above."""
CONTRACTS = {
    "fototeca.collect.catalog",
    "fototeca.collect.store",
    "fototeca.curate.duplicates",
    "fototeca.curate.manifest",
    "fototeca.train.runs",
}
"""What higher floors may import of the others: a module, or what a package's `__init__` exports."""
ONLY_IN = {
    "distributed": "fototeca.core.pool",
    "fiftyone": "fototeca.curate.review",
    "hypercorn": "fototeca.core.web",
    "selenium": "fototeca.collect.browser",
    "webbrowser": "fototeca.core.web",
    "webdriver_manager": "fototeca.collect.browser",
}
HEAVY = (
    "torch",
    "torchvision",
    "fiftyone",
    "selenium",
    "captum",
    "sklearn",
    "matplotlib",
    "numba",
    "scipy",
    "timm",
    "distributed",
    "hypercorn",
    "starlette",
)


def sources() -> dict[str, Path]:
    """Every module of the package by its import name."""
    found = {}
    for folder in ("fototeca", *FLOORS):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts if folder == "fototeca" else ("fototeca", *parts))
            found[name.removesuffix(".__init__")] = path
    return dict(sorted(found.items()))


MODULES = sources()


def imports(path: Path, *, functions: bool = True) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each imported module and its imported names; imports must be absolute."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if functions else tree.body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or "", tuple(alias.name for alias in node.names)


def targets(path: Path) -> set[str]:
    """Return the own modules that a file imports; `from package import module` counts as the module."""
    found = set()
    for module, names in imports(path):
        if module in MODULES:
            inner = {f"{module}.{name}" for name in names} & MODULES.keys()
            found |= inner or {module}
    return found


def floor(module: str) -> str:
    """The top-level folder of a module; "" for the roof."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in FLOORS else ""


def folder(module: str) -> str:
    """The package of a module: its room; for a file directly on a floor, the file itself."""
    is_package = MODULES[module].name == "__init__.py"
    parent = module if is_package else module.rpartition(".")[0]
    return parent if parent.count(".") > 1 else module


def called_by_commands(package: str) -> set[str]:
    """The modules that the commands of a floor call."""
    own = (f"fototeca.{package}.cli", f"fototeca.{package}.cli.")
    return {target for name, path in MODULES.items() if name == own[0] or name.startswith(own[1]) for target in targets(path)}


def allowed(module: str, target: str) -> bool:
    """Return True if the design permits the import."""
    home, there = floor(module), floor(target)
    if not home or home == there:
        return True
    if not there:
        return False
    if FLOORS[there] >= FLOORS[home]:
        return False
    return there in OPEN_FLOORS or target in CONTRACTS or (home == "demo" and target in called_by_commands(there))


def test_arrows_only_go_down_and_only_to_contracts() -> None:
    """A module imports its own floor, core, vision, and the contracts of lower floors; nothing else."""
    wrong = [f"{name} -> {target}" for name, path in MODULES.items() for target in targets(path) if not allowed(name, target)]
    assert not wrong


def test_core_imports_only_the_standard_library() -> None:
    """Everything imports core, so core costs nothing."""
    foreign = {
        module.split(".")[0]
        for name, path in MODULES.items()
        if floor(name) == "core"
        for module, _ in imports(path, functions=False)
    } - sys.stdlib_module_names
    assert foreign <= {"fototeca"}


@pytest.mark.parametrize("level", ["file", "folder"])
def test_no_circles(level: str) -> None:
    """No module, and no folder, imports itself by way of others."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        home = name if level == "file" else folder(name)
        graph[home] |= {target if level == "file" else folder(target) for target in targets(path)} - {home}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_heavy_clients_are_imported_in_one_place() -> None:
    """selenium and webdriver-manager belong to collect/browser, fiftyone to curate/review, the others to core."""
    wrong = [
        f"{name} imports {module}"
        for name, path in MODULES.items()
        for module, _ in imports(path)
        if not f"{name}.".startswith(ONLY_IN.get(module.split(".")[0], name) + ".")
    ]
    assert not wrong


def test_help_imports_nothing_heavy() -> None:
    """`fototeca --help` imports every command and none of the heavy libraries."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nimport fototeca.cli\n"
        "assert CliRunner().invoke(fototeca.cli.app, ['--help']).exit_code == 0\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_pyproject_lists_every_package() -> None:
    """A package missing from pyproject.toml would be missing from the wheel."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {name: path.parent.relative_to(ROOT).as_posix() for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(setuptools["packages"]) == packages.keys()
    assert setuptools["package-dir"] == packages


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_stay_small(name: str) -> None:
    """A file of more than about 300 lines has more than one subject."""
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 320
