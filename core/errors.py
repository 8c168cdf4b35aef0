"""Errors that a user can fix, and the exit codes of the command line."""

from __future__ import annotations

from fototeca.core.console import escape_text
from fototeca.core.public_url import redact_urls

EXIT_DONE, EXIT_BUG, EXIT_USAGE, EXIT_SHORT, EXIT_OUTSIDE = 0, 1, 2, 3, 4
"""Exit codes: done; a bug; wrong use or input; done but short of what was asked; something outside failed."""


class FototecaError(Exception):
    """An error that a user can fix: one line that says what is wrong, and a hint that says what to do.

    URLs in both lose user names, passwords and signatures; control and bidi characters are escaped.

    The command line prints it without a traceback and exits with `exit_code`. The tree:

        FototecaError                 wrong use or invalid input; exit code 2
        ├── ShortfallError            done, but short of what was asked; exit code 3
        ├── ExternalError             a site, service, database or disk failed; exit code 4
        │   ├── RequestFailedError    a request to a service API failed (collect.api)
        │   └── SourceStoppedError    no valid key, exhausted quota or CAPTCHA: no more requests (collect.api)
        ├── DamagedArchiveError       an archive cannot be unpacked (collect.files)
        ├── StaleError                an image was decided on after it was shown (curate.review)
        └── TrainingAborted           a run ended without a result and cannot be resumed (train)
            └── TrialPruned           a hyperparameter search stopped a trial (train.sweep)

    Attributes:
        message: what is wrong.
        hint: what to do; may be empty.
        exit_code: exit code of the command line.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = escape_text(redact_urls(message)), escape_text(redact_urls(hint))
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ShortfallError(FototecaError):
    """A command did its work, but short of what was asked, for example a target that was not reached."""

    exit_code = EXIT_SHORT


class ExternalError(FototecaError):
    """Something outside fototeca failed: a site, a service, a database, the network or the disk."""

    exit_code = EXIT_OUTSIDE
