"""Licences as sources write them, brought to SPDX ids."""

from __future__ import annotations

import re

UNKNOWN = "unknown"

_CC_URL = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)/([\d.]+)|publicdomain/(zero|mark)/([\d.]+))", re.IGNORECASE)
_CC_TEXT = re.compile(r"^cc[\s_-]*(by(?:[\s_-]*(?:nc|sa|nd))*)[\s_-]*v?([1-4](?:\.\d)?)?$", re.IGNORECASE)
_PLAIN = {
    "mit": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "gfdl": "GFDL-1.3-or-later",
    "public domain mark": "CC-PDM-1.0",
    "public domain": "LicenseRef-PublicDomain",
    "united states government work": "LicenseRef-PublicDomain",
}


def to_spdx(text: str) -> str:
    """The SPDX id of a licence given as a URL, an id or a common name; `unknown` when it cannot be told for sure."""
    found = _CC_URL.search(text)
    if found:
        kind, version, domain, domain_version = found.groups()
        if kind:
            return f"CC-{kind.upper()}-{version}"
        return f"CC0-{domain_version}" if domain.lower() == "zero" else "CC-PDM-1.0"
    cleaned = text.strip()
    if re.fullmatch(r"cc[\s_-]*(0|zero)([\s_-]*1\.0)?", cleaned, re.IGNORECASE):
        return "CC0-1.0"
    named = _CC_TEXT.match(cleaned)
    if named and named[2]:
        parts = re.sub(r"[\s_]+", "-", named[1].upper())
        return f"CC-{parts}-{named[2] if '.' in named[2] else named[2] + '.0'}"
    return _PLAIN.get(cleaned.lower(), UNKNOWN)


def allows_commercial(license_id: str) -> bool:
    """Whether a licence is known and permits commercial use (no NC part)."""
    return license_id != UNKNOWN and "-NC" not in license_id
