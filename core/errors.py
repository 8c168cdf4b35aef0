"""Errors that a user can fix, and the exit codes of the command line."""

from __future__ import annotations

EXIT_DONE, EXIT_BUG, EXIT_USAGE, EXIT_SHORT, EXIT_OUTSIDE = 0, 1, 2, 3, 4
"""Exit codes: done; a bug; wrong use or input; done but short of what was asked; something outside failed."""


class FototecaError(Exception):
    """What a person can mend: one line that says what is wrong, and a hint that says what to do next.

    Nothing else is shown without a traceback. `exit_code` is one of EXIT_USAGE (wrong use or input),
    EXIT_SHORT (done, but short of what was asked) and EXIT_OUTSIDE (a site, a database, a missing key).
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message
