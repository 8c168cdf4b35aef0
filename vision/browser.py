"""Where the browser lies on this machine, for what fetches pages and for what prints them; asking costs no import."""

from __future__ import annotations

import os
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The browser binary: named by FOTOTECA_CHROME, else on PATH; None where there is neither."""
    return os.environ.get("FOTOTECA_CHROME") or next((path for name in _NAMES if (path := shutil.which(name))), None)
