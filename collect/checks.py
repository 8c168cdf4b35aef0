"""What collecting needs on this machine, for `fototeca doctor`."""

from __future__ import annotations

import os
import shutil

from workspace import Check

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def checks() -> list[Check]:
    """The browser and its driver."""
    browser = os.environ.get("FOTOTECA_CHROME") or next((path for name in _BROWSERS if (path := shutil.which(name))), "")
    driver = os.environ.get("FOTOTECA_CHROMEDRIVER") or shutil.which("chromedriver") or ""
    return [
        Check(
            "browser",
            bool(browser),
            browser or "no Chromium or Chrome on PATH",
            "Debian: sudo apt-get install chromium chromium-driver; elsewhere install Chrome, or set FOTOTECA_CHROME",
            needed=True,
        ),
        Check(
            "driver",
            bool(driver),
            driver or "no chromedriver on PATH; Selenium Manager will fetch one when the network is open",
            "install chromium-driver, or set FOTOTECA_CHROMEDRIVER",
        ),
    ]
