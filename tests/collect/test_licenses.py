"""Licences as they are found, and the SPDX ids that they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from fototeca.collect.ingest.url_list import read_url_list
from fototeca.collect.licenses import allows_commercial, to_spdx
from fototeca.core.workspace import create_workspace

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
def test_what_is_found_becomes_an_id_or_unknown(found: str, spdx: str) -> None:
    """No id that SPDX does not have, and no guess."""
    assert to_spdx(found) == spdx
    assert to_spdx(spdx) == (spdx if not spdx.startswith("LicenseRef-CC") else "unknown")


@pytest.mark.parametrize(
    ("license_id", "allowed"),
    [("CC-BY-SA-4.0", True), ("CC-BY-NC-4.0", False), ("LicenseRef-CC-BY-NC-3.0-ES", False), ("unknown", False)],
)
def test_what_permits_commercial_use(license_id: str, allowed: bool) -> None:
    """Only what is known to."""
    assert allows_commercial(license_id) is allowed


def test_a_list_says_licences_and_several_labels(tmp_path: Path) -> None:
    """A column of a CSV: an id where it can be told, what was found beside it; categories of a multi-label task joined."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], task="multi", target=1)
    file = tmp_path / "urls.csv"
    file.write_text("url,category,license\nhttp://e.org/1,dog|cat,CC BY 4.0\nhttp://e.org/2,,all rights reserved\n")
    first, second = read_url_list(file, "", workspace.settings)
    assert (first.category, first.license, first.license_found) == ("cat|dog", "CC-BY-4.0", "CC BY 4.0")
    assert (second.category, second.license, second.license_found) == ("", "unknown", "all rights reserved")
