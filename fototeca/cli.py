"""Command line: one group of commands per stage; the only place where errors become exit codes."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from fototeca.analysis.cli import app as analysis_app
from fototeca.collect.cli.main import app as collect_app
from fototeca.core.console import echo, escape_text, notify
from fototeca.core.errors import EXIT_DONE, EXIT_OUTSIDE, EXIT_USAGE, FototecaError
from fototeca.core.mirror_hint import mirror_hint
from fototeca.core.settings import MIN_TARGET, Language, Task
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.cli.main import app as curate_app
from fototeca.train.cli import app as train_app
from fototeca.vision.checks import Check

if "OMP_WAIT_POLICY" not in os.environ:
    # Waiting OpenMP threads sleep early instead of spinning (docs/experiments.md); libgomp reads this when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

_DISK_ERRORS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
)
"""Errors of the file system that a user can fix."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite errors of a truncated or overwritten catalog."""

app = typer.Typer(
    name="fototeca",
    help="Build reviewed image datasets and train classifiers on them.\n\n"
    "Example: fototeca init perros --category beagle --category pug",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(collect_app, name="collect")
app.add_typer(curate_app, name="curate")
app.add_typer(train_app, name="train")
app.add_typer(analysis_app, name="analysis")


@app.callback()
def choose(
    workspace: Annotated[
        Path | None, typer.Option(help="Folder of the workspace; default: FOTOTECA_WORKSPACE, else the nearest parent.")
    ] = None,
) -> None:
    """Choose the workspace of all commands."""
    if workspace is not None:
        os.environ["FOTOTECA_WORKSPACE"] = str(workspace)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new workspace.")],
    category: Annotated[list[str], typer.Option(help="A category; repeat the option for each one.")],
    task: Annotated[Task, typer.Option(help="single: one label per image; multi: zero or more.")] = "single",
    target: Annotated[int, typer.Option(help="Accepted images wanted per category.")] = 150,
    contact: Annotated[str, typer.Option(help="Your e-mail address, sent in the User-Agent.")] = "",
    lang: Annotated[Language | None, typer.Option(help="Language of the report. Default: the system's, else en.")] = None,
) -> None:
    """Create a workspace, the folder of one classification task.

    Example: fototeca init perros --category beagle --category pug --contact me@example.org
    """
    workspace = create_workspace(folder, category, task=task, target=target, contact=contact, language=lang)
    if contact and "@" not in contact:
        notify(f"warning: {contact!r} is not an e-mail address; sites cannot contact you")
    if target < MIN_TARGET:
        notify(f"warning: a target of {target} images per category is small; {MIN_TARGET} or more are recommended")
    if hint := mirror_hint(workspace.settings.names):
        notify(f"note: {hint}")
    echo(f"workspace ready: {workspace.root}")
    echo(
        f"next: edit {workspace.config.name} (queries) and {workspace.report_text.name} (your text);"
        " then run: fototeca collect --help"
    )


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count the images of each category: found, fetched, accepted, rejected, duplicates, reviewed, target.

    Example: fototeca status --json
    """
    from fototeca.collect.status import status_table, workspace_status

    result = workspace_status(Workspace.find())
    echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2) if as_json else status_table(result))


@app.command(name="next")
def show_next(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the steps from an empty folder to a report, those that are done, and the command of the next one.

    Example: fototeca next
    """
    from fototeca.next_steps import list_steps, steps_text

    steps = list_steps(Workspace.find())
    echo(json.dumps([step.to_json() for step in steps], ensure_ascii=False, indent=2) if as_json else steps_text(steps))


@app.command()
def trust(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what in a workspace of another person reaches servers, other folders or runs code, and trust it as it is now.

    Until then it has no effect: site files, tables that name machines, links out of the workspace, source of models. What changes
    later must be trusted again. In a terminal the command asks before it records.

    Example: fototeca trust
    """
    from fototeca.core.trust import list_trusted_things, list_untrusted, record_trust

    root = Workspace.locate().root
    things = list_trusted_things(root)
    new = list_untrusted(root, things)
    if as_json:
        echo(json.dumps([thing.to_json() for thing in things], indent=2))
    else:
        for thing in new:
            echo(f"{thing.kind} {escape_text(thing.name)}, SHA-256 {thing.digest[:16]}")
            echo("".join(f"    {escape_text(line)}\n" for line in thing.content.splitlines()))
    if new and sys.stdin.isatty() and not typer.confirm("Trust what is shown?", err=True):
        raise FototecaError("nothing was trusted", "edit or delete these files, or run: fototeca trust")
    record_trust(root, things)
    notify(f"{root}: {len(new)} trusted, {len(things) - len(new)} trusted before")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check browser, driver, MongoDB, torch, weights, API keys and quotas, and print how to fix what is missing.

    Example: fototeca doctor
    """
    from fototeca.collect.checks import run_checks as collect_checks
    from fototeca.curate.review.doctor import checks as curate_checks
    from fototeca.vision.checks import checks as vision_checks

    results = [*collect_checks(), *curate_checks(), *vision_checks(), *_mirror_checks()]
    if as_json:
        echo(json.dumps([check.__dict__ for check in results], ensure_ascii=False, indent=2))
    else:
        for check in results:
            echo(
                f"{'ok     ' if check.ok else 'missing'}  {check.name}: {check.detail}"
                + ("" if check.ok else f"\n         fix: {check.fix}")
            )
    if not all(check.ok for check in results if check.needed):
        raise typer.Exit(EXIT_OUTSIDE)


def _mirror_checks() -> list[Check]:
    """Return a check of the workspace's `mirror` for its categories; none outside of a workspace."""
    try:
        settings = Workspace.find().settings
    except FototecaError:
        return []
    hint = mirror_hint(settings.names) if settings.mirror else ""
    detail, _, fix = hint.partition(": ")
    return [Check("mirror", not hint, detail or "as the categories need it", fix)]


@app.command()
def demo(folder: Annotated[Path, typer.Argument(help="Folder of the demo workspace.")] = Path("data/demo")) -> None:
    """Run the whole pipeline on drawn images with known labels, from an empty folder to a report, without network.

    Example: fototeca demo data/demo
    """
    from fototeca.demo.pipeline import run_demo

    run_demo(folder)


def _unwind_when_terminated() -> None:
    """Turn SIGTERM into SystemExit, so that browsers and servers are closed; a second SIGTERM kills the process."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    if hasattr(os, "register_at_fork"):  # workers must not run the cleanup of their parent
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def _command_name(words: list[str]) -> str:
    """Return the full name of the command in the arguments, as far as it exists."""
    command, names = typer.main.get_command(app), ["fototeca"]
    for word in words:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
            names.append(word)
    return " ".join(names)


def main() -> None:
    """Run the command line; errors that a user can fix become one line and an exit code."""
    _unwind_when_terminated()
    try:
        code = app(standalone_mode=False)
    except FototecaError as error:
        notify(f"fototeca: {error}")
        code = error.exit_code
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        notify(f"fototeca: {where}{os.strerror(error.errno)}; free some space, or choose another folder")
        code = EXIT_OUTSIDE
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            raise
        hint = "restore a copy, or move the file away and run: fototeca curate recover"
        notify(f"fototeca: data/catalog.sqlite is damaged: {error}; {hint}")
        code = EXIT_USAGE
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        notify("fototeca: interrupted; run the same command again to resume")
        code = 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        notify(f"fototeca: {error.format_message().rstrip('.')}; see: {_command_name(sys.argv[1:])} --help")
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else EXIT_DONE)


if __name__ == "__main__":
    main()
