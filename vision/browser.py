"""Where the browser and its driver lie on this machine, to fetch pages or to print them; asking costs no import."""

from __future__ import annotations

import os
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The browser binary: named by FOTOTECA_CHROME, else on PATH; None where there is neither."""
    return os.environ.get("FOTOTECA_CHROME") or next((path for name in _NAMES if (path := shutil.which(name))), None)


def find_drivers() -> list[str]:
    """The driver binaries in the order in which they are tried: named by FOTOTECA_CHROMEDRIVER, then on PATH."""
    return list(dict.fromkeys(filter(None, (os.environ.get("FOTOTECA_CHROMEDRIVER"), shutil.which("chromedriver")))))
