"""Messages to the user on stderr; stdout carries results only."""

from __future__ import annotations

import sys


def notify(text: str) -> None:
    """Print a line to stderr; stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def escape_text(text: str) -> str:
    """Return `text` with escape codes for control, bidi and other invisible characters, which a terminal would act upon."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
