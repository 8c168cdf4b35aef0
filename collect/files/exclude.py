"""Patterns of files to exclude, as in a .gitignore file."""

from __future__ import annotations

from collections.abc import Sequence

from pathspec import PathSpec, Pattern

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError


class Exclude:
    """Matches relative paths against patterns: `*.gif` at any depth, `raw/` a folder, `train/*/old.jpg` from the top, `**`."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile the patterns. FototecaError for one that is invalid or negated."""
        self._specs = {pattern: _compile(pattern) for pattern in patterns}
        self._unused = set(self._specs)

    def __call__(self, name: str) -> bool:
        """Return True if one of the patterns matches the relative path or a folder of it."""
        matching = {pattern for pattern, spec in self._specs.items() if spec.match_file(name)}
        self._unused -= matching
        return bool(matching)

    def report_unused(self) -> None:
        """Name the patterns that have matched nothing so far on standard error."""
        for pattern in sorted(self._unused):
            notify(f"fototeca: --exclude {pattern} matched no file")


def _compile(pattern: str) -> PathSpec[Pattern]:
    hint = "give a pattern such as '*.gif', 'raw/' or 'train/**/old.jpg'"
    if not pattern.strip() or pattern.startswith(("!", "#")):
        raise FototecaError(f"--exclude {pattern!r} is invalid", hint)
    try:
        return PathSpec.from_lines("gitignore", [pattern])
    except ValueError:
        raise FototecaError(f"--exclude {pattern!r} is invalid", hint) from None
