"""The documents agree with the program, link to each other correctly, and build into a site."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "commands.py"))
COMMANDS: dict[str, click.Command] = SCRIPT["list_commands"]()
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "README.es.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def document_id(path: Path) -> str:
    """Return a document's path in the repository, for test names."""
    return path.relative_to(ROOT).as_posix()


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each command line in `text`: lines of code blocks and code spans that begin with `fototeca`."""
    for line in re.findall(r"^(?:    |\$ )?(?:[A-Z_]+=\S+ )?(fototeca [^|\n]*)$|`(fototeca [^`\n]*)`", text, re.MULTILINE):
        command = re.split(r"\s#\s|\s&&\s|…|\$\(", "".join(line))[0]
        yield shlex.split(command)


def find_command(words: list[str]) -> str | None:
    """Return the name of the command that a command line calls, or None if there is none."""
    return next((name for name in (" ".join(words[:3]), " ".join(words[:2])) if name in COMMANDS), None)


def test_command_reference_is_up_to_date() -> None:
    """docs/commands.md equals what scripts/commands.py generates; run it after changing a command."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == SCRIPT["render_page"]()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_an_example(name: str) -> None:
    """The help of each command contains an example of it."""
    assert f"Example: {name}" in (COMMANDS[name].help or "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_parameter_has_help(name: str) -> None:
    """Arguments and options have a help text."""
    assert [row.name for row in COMMANDS[name].params if not (getattr(row, "help", None) or "").strip()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=document_id)
def test_documents_use_existing_commands_and_options(path: Path) -> None:
    """Each command line in a document names a command of the program and options of that command."""
    text = path.read_text(encoding="utf-8")
    mentioned = re.findall(r"fototeca ((?:collect|curate|train|analysis) [a-z]+(?:-[a-z]+)*|init|status|doctor|demo)\b", text)
    assert {f"fototeca {name}" for name in mentioned} <= COMMANDS.keys()
    for words in command_lines(text):
        name = find_command(words)
        if name is None:
            continue
        options = {option for row in COMMANDS[name].params for option in (*row.opts, *row.secondary_opts)} | {"--help"}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options, f"{name}: {used - options}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=document_id)
def test_relative_links_exist(path: Path) -> None:
    """Each relative link of a document leads to a file of the repository."""
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=document_id)
def test_named_source_files_exist(path: Path) -> None:
    """Each path of the source tree in a code span exists; placeholders in capitals are excluded."""
    pattern = r"`((?:core|vision|collect|curate|train|analysis|demo|fototeca|tests|bench|scripts|examples)/[\w/.-]*)`"
    names = [name for name in re.findall(pattern, path.read_text(encoding="utf-8")) if not re.search(r"[A-Z]{3}", name)]
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_readme_mentions_every_page() -> None:
    """README.md links to every English page, and README.es.md to every Spanish one."""
    for readme, folder in (("README.md", "docs"), ("README.es.md", "docs/es")):
        text = (ROOT / readme).read_text(encoding="utf-8")
        pages = {f"{folder}/{path.name}" for path in (ROOT / folder).glob("*.md")} - {f"{folder}/index.md"}
        assert [page for page in sorted(pages) if f"({page})" not in text] == []


class ExternalResources(HTMLParser):
    """Collects the addresses that a page loads from other hosts; links that a reader may follow are not loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record `src` of any tag and `href` of `<link>`."""
        for name, value in attrs:
            is_loaded = name in ("src", "srcset") or (name == "href" and tag == "link")
            if is_loaded and re.match(r"(?:https?:)?//", value or ""):
                self.urls.append(value or "")


def test_documentation_site_builds_strictly(tmp_path: Path) -> None:
    """`mkdocs build --strict` has no warnings about pages, links or anchors, and no page loads remote resources."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        parser = ExternalResources()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.urls == [], page
    assert not [path for path in (tmp_path / "site").rglob("*.css") if re.search(r"url\(['\"]?(?:https?:)?//", path.read_text())]


def test_security_page_names_tests_that_exist() -> None:
    """Each promise names a file of tests, or a test in it."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 25
    for file, test in named:
        assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), (file, test)
