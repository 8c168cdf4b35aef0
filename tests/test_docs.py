"""The documentation matches the commands."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = runpy.run_path(str(ROOT / "scripts" / "commands.py"))
NAMES = dict(COMMANDS["walk"](COMMANDS["typer"].main.get_command(COMMANDS["app"]), "fototeca"))
TEXTS = [ROOT / "README.md", ROOT / "README.es.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_command_page_is_current() -> None:
    """docs/commands.md is made by scripts/commands.py; run it again after changing a command."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == COMMANDS["page"]()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_command_has_an_example(name: str) -> None:
    """Every help text contains an example."""
    assert f"Example: {name}" in (NAMES[name].help or "")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_argument_and_option_has_help(name: str) -> None:
    """The help appears in `--help` and on the page."""
    assert [row.name for row in NAMES[name].params if not (getattr(row, "help", None) or "").strip()] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_documents_name_only_commands_that_exist(path: Path) -> None:
    """Every `fototeca stage command` in a document exists."""
    written = re.findall(
        r"fototeca ((?:collect|curate|train|analysis) [a-z]+(?:-[a-z]+)*|init|status|doctor|demo)\b",
        path.read_text(encoding="utf-8"),
    )
    unknown = {f"fototeca {name}" for name in written} - NAMES.keys()
    assert not unknown


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_between_documents_resolve(path: Path) -> None:
    """Every relative link in a document names an existing file."""
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
