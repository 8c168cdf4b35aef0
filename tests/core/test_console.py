"""Texts of other people change neither the terminal nor the order of what is read, by any door."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from fototeca.analysis.templates import macro
from fototeca.core.console import echo, escape_markdown, escape_text, escape_values, notify, plain_line
from fototeca.core.errors import FototecaError
from fototeca.core.files import csv_bytes
from fototeca.core.settings import check_name
from fototeca.core.tables import render_table

HOSTILE = "a\x1b[2J\x9b31m\u202egnp.exe\u2066\u200b\r\ud800\U000e0041z"
SAFE = r"a\u001b[2J\u009b31m\u202egnp.exe\u2066\u200b\u000d\ud800\udb40\udc41z"
ROOT = Path(__file__).parents[2]


def test_escape_text() -> None:
    """Codes of JSON for what acts; letters of every script, emoji and their joiners stay."""
    assert escape_text(HOSTILE) == SAFE
    assert escape_text("a\nb\tc") == r"a\u000ab\u0009c" and escape_text("a\nb\tc", lines=True) == "a\nb\tc"
    for text in ("ñandú", "نمی\u200cخواهم", "क्\u200dष", "👩\u200d👩\u200d👧", "日本\u3000語", "a\u00a0b", "e\u0301"):
        assert escape_text(text) == text
    assert json.loads(escape_text(json.dumps({"name": HOSTILE[:8]}, ensure_ascii=False))) == {"name": HOSTILE[:8]}
    assert escape_values({"a\x1b": [HOSTILE, 1, None]}) == {r"a\u001b": [SAFE, 1, None]}
    assert plain_line("Ana\u202e\nde\u2028la\x1b Cruz  ") == "Ana de la Cruz"


def test_every_door(capsys: pytest.CaptureFixture[str]) -> None:
    """Results, messages, errors, tables, CSV files and pages."""
    echo(HOSTILE)
    notify(HOSTILE)
    out, err = capsys.readouterr()
    assert (out, err) == (SAFE + "\n", SAFE + "\n")
    error = FototecaError(f"{HOSTILE} is wrong\nfototeca: all is well", HOSTILE)
    assert str(error) == rf"{SAFE} is wrong\u000afototeca: all is well; {SAFE}"
    assert SAFE.split("[")[0] in render_table(("name",), [(HOSTILE,)]) and "\x1b" not in render_table(("name",), [(HOSTILE,)])
    assert len(render_table(("a", "b"), [("x\ny", 1)]).splitlines()) == 2
    assert csv_bytes(("a",), [(HOSTILE,)]).decode() == f"a\n{SAFE}\n"
    html = macro("components.html.j2", "paragraph")(f"<b>{HOSTILE}", "")
    assert rf"&lt;b&gt;{SAFE}" in html


@pytest.mark.parametrize("name", ["a\u202eb", "a\x9bb", "a\u200b"])
def test_names_of_categories(name: str) -> None:
    """No category, dataset or run has such a name."""
    with pytest.raises(FototecaError, match="is invalid"):
        check_name(name, "category")


def test_markdown() -> None:
    """A source's name is text in a card: no image, link, HTML, table cell or heading."""
    text = "![x](https://e.org) <img src=x onerror=1> | `a` *b*\n# c"
    escaped = escape_markdown(text)
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").enable(["table"]).render(f"| name |\n| --- |\n| {escaped} |")
    assert html.count("<td>") == 1
    assert not any(tag in html for tag in ("<img", "<a ", "<code", "<em", "<h1"))


def test_only_the_console_prints() -> None:
    """Every command prints through `echo` and `notify`."""
    for folder in ("core", "vision", "collect", "curate", "train", "analysis", "demo", "fototeca"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == ROOT / "core" / "console.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func)
                    assert name not in ("print", "typer.echo", "click.echo", "sys.stdout.write", "sys.stderr.write"), path
