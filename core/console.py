"""Messages to the user on stderr; stdout carries results only."""

from __future__ import annotations

import sys


def notify(text: str) -> None:
    """Print a line to stderr; stdout is for results."""
    print(text, file=sys.stderr, flush=True)
