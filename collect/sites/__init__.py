"""What fototeca knows of each site, as data: endpoints, parameters, selectors with ordered fallbacks."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workspace import FototecaError, Workspace

VERSION = 1
"""The shape of the site files that this program reads."""

Site = Mapping[str, Any]
"""A site file as read. Every one has `version` and `checked`, the month in which the site was seen to be so."""


def load_site(workspace: Workspace, name: str) -> Site:
    """The site file of a source: the workspace's own `sites/NAME.toml` if there is one, else the one that ships.

    A site that has changed can so be mended without waiting for a release. FototecaError names what is wrong with a file.
    """
    own = workspace.root / "sites" / f"{name}.toml"
    path = own if own.is_file() else Path(__file__).parent / f"{name}.toml"
    try:
        site = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FototecaError(
            f"{path} cannot be read: {error}", "mend the file, or remove your own to use the one that ships"
        ) from None
    if site.get("version") != VERSION:
        raise FototecaError(f"{path} has version {site.get('version')!r}, not {VERSION}", "write it anew from the one that ships")
    return site
