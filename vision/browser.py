"""Find the installed browser and its driver without importing selenium."""

from __future__ import annotations

import os
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """Return the browser binary named by FOTOTECA_CHROME, else the first on PATH, else None."""
    return os.environ.get("FOTOTECA_CHROME") or next((path for name in _NAMES if (path := shutil.which(name))), None)


def find_drivers() -> list[str]:
    """Return the driver binaries in the order of use: FOTOTECA_CHROMEDRIVER, then `chromedriver` on PATH."""
    return list(dict.fromkeys(filter(None, (os.environ.get("FOTOTECA_CHROMEDRIVER"), shutil.which("chromedriver")))))
