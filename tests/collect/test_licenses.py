"""SPDX ids of licenses as sources write them."""

from __future__ import annotations

import pytest

from fototeca.collect.licenses import allows_commercial, to_spdx

CC = "https://creativecommons.org/licenses"


@pytest.mark.parametrize(
    ("found", "spdx"),
    [
        (f"{CC}/by/4.0/", "CC-BY-4.0"),
        (f"{CC}/by/2.0/deed.de", "CC-BY-2.0"),
        (f"{CC}/by-sa/3.0/de/", "CC-BY-SA-3.0-DE"),
        (f"{CC}/by-sa/3.0/es/deed.es", "LicenseRef-CC-BY-SA-3.0-ES"),
        (f"{CC}/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0"),
        (f"{CC}/devnations/2.0/", "unknown"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("CC BY-SA 3.0 de", "CC-BY-SA-3.0-DE"),
        ("cc by nc 2", "CC-BY-NC-2.0"),
        ("CC BY", "unknown"),
        ("cc0", "CC0-1.0"),
        ("odbl-1.0", "ODbL-1.0"),
        ("GFDL", "unknown"),
        ("GFDL-1.2-or-later", "GFDL-1.2-or-later"),
        ("Apache 2.0", "Apache-2.0"),
        ("All rights reserved", "unknown"),
        ("", "unknown"),
    ],
)
def test_to_spdx(found: str, spdx: str) -> None:
    """Only ids that SPDX lists, without guessing."""
    assert to_spdx(found) == spdx
    assert to_spdx(spdx) == (spdx if not spdx.startswith("LicenseRef-CC") else "unknown")


@pytest.mark.parametrize(
    ("license_id", "allowed"),
    [("CC-BY-SA-4.0", True), ("CC-BY-NC-4.0", False), ("LicenseRef-CC-BY-NC-3.0-ES", False), ("unknown", False)],
)
def test_allows_commercial(license_id: str, allowed: bool) -> None:
    """Only known licenses without NC."""
    assert allows_commercial(license_id) is allowed
