"""Tables of the command line, drawn by rich."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from fototeca.core.console import escape_text

MIN_WIDTH = 80
"""Columns of the terminal that every table fits."""


def render_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = (), indent: int = 0, wrap: bool = True
) -> str:
    """Return rows under a line of headings as aligned text, without trailing spaces.

    Wide characters (CJK, emoji) count two columns; control and bidi characters are escaped. Cells that do not fit the terminal,
    or 80 columns where stdout is not a terminal, wrap inside their column; nothing is cut off.

    Args:
        columns: headings.
        rows: one sequence of cells per row, as long as `columns`; cells are converted with `str`.
        right: headings of the columns to align to the right.
        indent: spaces before every line.
        wrap: False for tables of ids to copy, which may then be wider than the terminal.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = shutil.get_terminal_size((MIN_WIDTH, 24)).columns if sys.stdout.isatty() else MIN_WIDTH
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape_text(str(cell))) for cell in row))
    width = max(terminal, MIN_WIDTH) - indent if wrap else 10_000
    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join((" " * indent + line.rstrip()).rstrip() for line in capture.get().rstrip("\n").split("\n"))
