"""The documents say what the commands do."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = runpy.run_path(str(ROOT / "scripts" / "commands.py"))
NAMES = dict(COMMANDS["walk"](COMMANDS["typer"].main.get_command(COMMANDS["app"]), "fototeca"))
TEXTS = [ROOT / "README.md", ROOT / "README.es.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_command_page_is_what_the_commands_say() -> None:
    """docs/commands.md is made by scripts/commands.py; run it again after changing a command."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == COMMANDS["page"]()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_command_has_an_example(name: str) -> None:
    """Help without an example makes a person guess."""
    assert f"Example: {name}" in (NAMES[name].help or "")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_argument_and_option_says_what_it_is(name: str) -> None:
    """In `--help` as on the page."""
    assert [row.name for row in NAMES[name].params if not (getattr(row, "help", None) or "").strip()] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_documents_name_only_commands_that_exist(path: Path) -> None:
    """A `fototeca stage command` in a document is one that can be run."""
    written = re.findall(
        r"fototeca ((?:collect|curate|train|analysis) [a-z]+(?:-[a-z]+)*|init|status|doctor|demo)\b",
        path.read_text(encoding="utf-8"),
    )
    unknown = {f"fototeca {name}" for name in written} - NAMES.keys()
    assert not unknown


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    """A relative link in a document names a file that is there."""
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
