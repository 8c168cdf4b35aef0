"""Normalize licenses as sources write them to SPDX ids (https://spdx.org/licenses)."""

from __future__ import annotations

import re

UNKNOWN = "unknown"

_CC_URL = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/([1-4]\.\d)(?:/([a-z]{2,3})(?![a-z.]))?|publicdomain/(zero|mark)/1\.0)",
    re.IGNORECASE,
)
_CC_TEXT = re.compile(r"^cc[\s_-]*(by(?:[\s_-]*(?:nc|sa|nd))*)[\s_-]*v?([1-4](?:\.\d)?)(?:[\s_-]+([a-z]{2,3}))?$", re.IGNORECASE)
_CC = ("BY", "BY-NC", "BY-NC-ND", "BY-NC-SA", "BY-ND", "BY-SA")
_PORTED = {
    "BY": "2.5-AU 3.0-AT 3.0-AU 3.0-DE 3.0-IGO 3.0-NL 3.0-US",
    "BY-NC": "3.0-DE",
    "BY-NC-ND": "3.0-DE 3.0-IGO",
    "BY-NC-SA": "2.0-DE 2.0-FR 2.0-UK 3.0-DE 3.0-IGO",
    "BY-ND": "3.0-DE",
    "BY-SA": "2.0-UK 2.1-JP 3.0-AT 3.0-DE 3.0-IGO",
}
"""Ported versions, for a jurisdiction or organization, that SPDX lists."""

_OTHER_IDS = (
    *("CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "CC-SA-1.0", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0", "LAL-1.2", "LAL-1.3", "OGL-UK-3.0"),
    *("CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"),
    *("Unlicense", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "AGPL-3.0-or-later"),
    *(f"GFDL-{version}-{later}" for version in ("1.1", "1.2", "1.3") for later in ("only", "or-later")),
    *("LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MPL-2.0", "LicenseRef-PublicDomain"),
)
_IDS = {
    name.lower(): name
    for name in (
        *(f"CC-{kind}-{version}" for kind in _CC for version in ("1.0", "2.0", "2.5", "3.0", "4.0")),
        *(f"CC-{kind}-{port}" for kind, ports in _PORTED.items() for port in ports.split()),
        *_OTHER_IDS,
    )
}
_COMMON_NAMES = {
    "apache 2.0": "Apache-2.0",
    "public domain mark": "CC-PDM-1.0",
    "public domain": "LicenseRef-PublicDomain",
    "united states government work": "LicenseRef-PublicDomain",
}


def to_spdx(text: str) -> str:
    """Return the SPDX id of a license given as URL, id or common name; `unknown` if it is ambiguous or not recognized.

    A ported Creative Commons license that SPDX does not list becomes a LicenseRef of the same form.
    """
    cleaned = text.strip()
    url = _CC_URL.search(cleaned)
    if url and url[4]:
        return "CC0-1.0" if url[4].lower() == "zero" else "CC-PDM-1.0"
    if url:
        return _creative_commons_id(url[1], url[2], url[3])
    if cleaned.lower() in _IDS:
        return _IDS[cleaned.lower()]
    if re.fullmatch(r"cc[\s_-]*(0|zero)([\s_-]*1\.0)?", cleaned, re.IGNORECASE):
        return "CC0-1.0"
    if name := _CC_TEXT.match(cleaned):
        return _creative_commons_id(name[1], name[2] if "." in name[2] else f"{name[2]}.0", name[3])
    return _COMMON_NAMES.get(cleaned.lower(), UNKNOWN)


def _creative_commons_id(kind: str, version: str, port: str | None) -> str:
    """Return the id for license elements in any order; `unknown` if Creative Commons has no such license."""
    parts = set(re.split(r"[\s_-]+", kind.upper()))
    name = "-".join(part for part in ("BY", "NC", "ND", "SA") if part in parts)
    if set(name.split("-")) != parts:
        return UNKNOWN
    full = f"CC-{name}-{version}{f'-{port.upper()}' if port else ''}"
    unlisted = f"LicenseRef-{full}" if port and name in _CC else UNKNOWN
    return _IDS.get(full.lower(), unlisted)


def allows_commercial(license_id: str) -> bool:
    """Return True if the license is known and has no NC (non-commercial) element."""
    return license_id != UNKNOWN and "-NC" not in license_id
