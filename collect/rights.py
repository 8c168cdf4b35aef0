"""Source, license and author that a person states for material of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fototeca.collect.licenses import UNKNOWN, to_spdx
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError

_SOURCE = re.compile(r"\w[\w.-]{0,63}")
_LICENSE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Rights:
    """Rights of images, as places of images record them."""

    source: str
    """Name of the source in manifests and in the attribution file."""

    license: str = UNKNOWN
    """SPDX id, or `unknown`."""

    license_found: str = ""
    """License as the person wrote it."""

    author: str = ""


def state_rights(default_source: str, *, source_name: str = "", license: str = "", author: str = "") -> Rights:
    """Return the rights that a person states for images.

    A license that is not recognized is recorded as `unknown`, with a message; its text stays in the attribution file.
    `LicenseRef-NAME` names a license of one's own (SPDX specification 3.0, annex "License expressions").

    Args:
        default_source: source where `source_name` is empty.
        source_name: one word of letters, digits, `.`, `_` and `-`.
        license: SPDX id, common name or URL of the license.
        author: name of the author.

    Raises:
        FototecaError: `source_name` is not one word.
    """
    if source_name and not _SOURCE.fullmatch(source_name):
        hint = "give one word of letters, digits, '.', '_' and '-', such as field-trip-2024"
        raise FototecaError(f"{source_name!r} is not a valid name of a source", hint)
    text = license.strip()
    spdx = text if _LICENSE_REF.fullmatch(text) else to_spdx(text)
    if text and spdx == UNKNOWN:
        notify(
            f"fototeca: license {text!r} is recorded as unknown, because it is no SPDX id (spdx.org/licenses);"
            " LicenseRef-NAME names a license of your own"
        )
    return Rights(source_name or default_source, spdx, text, " ".join(author.split()))
