"""Checks of `fototeca doctor` for collecting: browser, driver, keys and quotas."""

from __future__ import annotations

import sys

from fototeca.collect.api.credentials import key_checks
from fototeca.collect.api.quotas import read_quotas
from fototeca.collect.sources import list_keys
from fototeca.vision.browser import find_browser, find_drivers
from fototeca.vision.checks import Check


def run_checks() -> list[Check]:
    """Check Python's release, the browser and its driver, the keys of services and hubs, and their last reported quotas."""
    return [python_check(sys.version_info[:3]), *_browser_checks(), *key_checks(list_keys()), *_quota_checks()]


_TARFILE_FIXED = {(3, 11): 14, (3, 12): 12, (3, 13): 6}
"""First patch release of each Python with the fixes of tarfile: CVE-2024-6232, CVE-2025-4517 and its family, CVE-2025-8194.

Source: the change logs of CPython. Python 3.14 has had them from its first release on.
"""


def python_check(version: tuple[int, int, int]) -> Check:
    """Check that a release of Python has the security fixes of tarfile; a Linux distribution may have backported them.

    fototeca checks the headers of archives itself; other programs in the same environment may not.
    """
    fixed = _TARFILE_FIXED.get(version[:2], 0)
    name, series = ".".join(map(str, version)), ".".join(map(str, version[:2]))
    detail = name if version[2] >= fixed else f"{name} lacks security fixes of tarfile (CVE-2025-4517, CVE-2025-8194)"
    return Check("python", version[2] >= fixed, detail, f"install Python {series}.{fixed} or newer")


def _quota_checks() -> list[Check]:
    return [
        Check(
            f"quota {name}",
            quota.remaining != "0",
            f"{quota.remaining} of {quota.limit or '?'} requests left at {quota.time[:16]} UTC",
            "wait until the service resets its quota",
        )
        for name, quota in sorted(read_quotas().items())
    ]


def _browser_checks() -> list[Check]:
    browser, driver = find_browser(), next(iter(find_drivers()), None)
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
            driver or "no chromedriver on PATH; Selenium Manager will download one if the network is available",
            "install chromium-driver, or set FOTOTECA_CHROMEDRIVER",
        ),
    ]
