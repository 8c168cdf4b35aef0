"""Generate docs/commands.md from the commands of the program; a test compares the two."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import typer

from fototeca.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below `command` with its full name, in the order of `--help`; groups are not yielded."""
    if isinstance(command, click.Group):
        for child, subcommand in command.commands.items():
            yield from walk(subcommand, f"{name} {child}")
    else:
        yield name, command


def list_commands() -> dict[str, click.Command]:
    """Return every command of fototeca by its full name, such as `fototeca curate freeze`."""
    return dict(walk(typer.main.get_command(app), "fototeca"))


def format_parameter(parameter: click.Parameter) -> str:
    """Return a table row: names and choices, help text, and the default or "required"."""
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
    is_shown = default is not None and not callable(default) and default not in ([], (), "")
    return f"`{default}`" if is_shown else ""


def format_contents(names: Sequence[str]) -> list[str]:
    """Return one line of links per stage."""
    stages: dict[str, list[str]] = {}
    for name in names:
        _, *stage, command = name.split()
        stages.setdefault(stage[0] if stage else "fototeca", []).append(f"[{command}](#{name.replace(' ', '-')})")
    return [f"- {stage}: {', '.join(links)}" for stage, links in stages.items()]


def render_page() -> str:
    """Return the text of docs/commands.md."""
    commands = list_commands()
    parts = [
        "# Commands",
        "",
        "Generated from the program by `python scripts/commands.py`. `fototeca --workspace DIR …` selects the workspace.",
        "",
        *format_contents(list(commands)),
        "",
    ]
    for name, command in commands.items():
        lines = [line.strip() for line in (command.help or "").replace("\b", "").strip().splitlines()]
        help_text = "\n".join(re.sub(r"^Example: (.+)$", r"\nExample: `\1`", line) for line in lines)
        help_text = re.sub(r"\n{3,}", "\n\n", help_text)
        parts += [f"## {name}", "", help_text, ""]
        rows = [format_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts += ["| argument or option | description | default |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
