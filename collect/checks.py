"""Checks of `fototeca doctor` for collecting: browser, driver, keys and quotas."""

from __future__ import annotations

from fototeca.collect.api.credentials import key_checks
from fototeca.collect.api.quotas import read_quotas
from fototeca.collect.sources import list_keys
from fototeca.vision.browser import find_browser, find_drivers
from fototeca.vision.checks import Check


def run_checks() -> list[Check]:
    """Check the browser and its driver, the keys of services and hubs, and the quotas that services last reported."""
    return [*_browser_checks(), *key_checks(list_keys()), *_quota_checks()]


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
