"""Write docs/commands.md from the commands themselves, so that the page cannot go stale (a test compares them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import typer

from fototeca.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below `command` with its full name, in the order of `--help`, groups left out."""
    if isinstance(command, click.Group):
        for child, below in command.commands.items():
            yield from walk(below, f"{name} {child}")
    else:
        yield name, command


def describe(parameter: click.Parameter) -> str:
    """One line of a parameter's table: its names and choices, what it is, and its default or that it must be given."""
    assert isinstance(parameter, click.Option | click.Argument)
    if isinstance(parameter, click.Option):
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        choices = "|".join(map(str, parameter.type.choices)) if isinstance(parameter.type, click.Choice) else parameter.metavar
        name = f"`{names} {choices}`" if choices else f"`{names}`"
    else:
        name = f"`{parameter.make_metavar(click.Context(click.Command('x')))}`"
    return f"| {_cell(name)} | {_cell(getattr(parameter, 'help', None) or '')} | {_default(parameter)} |"


def _cell(text: str) -> str:
    return text.replace("|", chr(92) + "|")


def _default(parameter: click.Option | click.Argument) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    if isinstance(default, bool):
        return f"`{(parameter.opts if default else parameter.secondary_opts)[0]}`" if parameter.secondary_opts else ""
    plain = default is not None and not callable(default) and default not in ([], (), "")
    return f"`{default}`" if plain else ""


def contents(names: Sequence[str]) -> list[str]:
    """A line of links for each stage."""
    stages: dict[str, list[str]] = {}
    for name in names:
        _, *stage, command = name.split()
        stages.setdefault(stage[0] if stage else "fototeca", []).append(f"[{command}](#{name.replace(' ', '-')})")
    return [f"- {stage}: {', '.join(links)}" for stage, links in stages.items()]


def page() -> str:
    """The whole page."""
    commands = dict(walk(typer.main.get_command(app), "fototeca"))
    parts = [
        "# Commands",
        "",
        "Made from the commands by `python scripts/commands.py`. `fototeca --workspace DIR …` chooses the workspace.",
        "",
        *contents(list(commands)),
        "",
    ]
    for name, command in commands.items():
        help_text = "\n".join(line.strip() for line in (command.help or "").replace("\b", "").splitlines())
        parts += [f"## {name}", "", help_text.strip(), ""]
        rows = [describe(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts += ["| argument or option | what it is | default |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
