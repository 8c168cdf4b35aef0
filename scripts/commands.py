"""Write docs/commands.md from the commands themselves, so that the page cannot go stale (a test compares them)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))
from fototeca import app

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below `command` with its full name, groups left out."""
    if isinstance(command, click.Group):
        for child, below in sorted(command.commands.items()):
            yield from walk(below, f"{name} {child}")
    else:
        yield name, command


def describe(parameter: click.Parameter) -> str:
    """One line of a parameter's table."""
    assert isinstance(parameter, click.Option | click.Argument)
    name = (
        f"`{', '.join(parameter.opts)}`"
        if isinstance(parameter, click.Option)
        else f"`{parameter.make_metavar(click.Context(click.Command('x')))}`"
    )
    text = getattr(parameter, "help", None) or ""
    plain = parameter.default is not None and not callable(parameter.default) and parameter.default not in (False, [], (), "")
    default = f"`{parameter.default}`" if plain and not parameter.required else ""
    return f"| {name.replace('|', chr(92) + '|')} | {text.replace('|', chr(92) + '|')} | {default} |"


def page() -> str:
    """The whole page."""
    parts = [
        "# Commands",
        "",
        "Made from the commands by `python scripts/commands.py`. `fototeca --workspace DIR …` chooses the workspace.",
        "",
    ]
    for name, command in walk(typer.main.get_command(app), "fototeca"):
        help_text = "\n".join(line.strip() for line in (command.help or "").replace("\b", "").splitlines())
        parts += [f"## {name}", "", help_text.strip(), ""]
        rows = [describe(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts += ["| argument or option | what it is | default |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
