"""What fototeca knows of each site, as data: endpoints, parameters, selectors with ordered fallbacks."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

VERSION = 1
"""The shape of the site files that this program reads."""


class Site(dict[str, Any]):
    """A site file as read. Every one has `version` and `checked`, the month in which the site was seen to be so."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - what a dictionary without it gives
        """FototecaError: what somebody wrote or mended lacks something."""
        raise FototecaError(f"{self.path} has no {name!r}", "add it, as the files that ship have it")


def load_site(workspace: Workspace, name: str) -> Site:
    """The site file of a source: the workspace's own `sites/NAME.toml` if there is one, else the one that ships.

    A site that has changed can so be mended without waiting for a release. FototecaError names what is wrong with a file.
    """
    own, shipped = workspace.root / "sites" / f"{name}.toml", Path(__file__).parent / f"{name}.toml"
    if not own.is_file():
        return _read(shipped)
    site, like = _read(own), _read(shipped) if shipped.is_file() else {}
    for field, value in site.items():
        if _kind(value) is not _kind(like.get(field, value)):
            raise FototecaError(f"{own}: {field} is {value!r}", f"write it as in the file that ships: {like[field]!r}")
    return site


def _kind(value: object) -> type:
    """Of numbers one, with a point or without."""
    return float if type(value) is int else type(value)


def _read(path: Path) -> Site:
    try:
        site = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FototecaError(
            f"{path} cannot be read: {error}", "mend the file, or remove your own to use the one that ships"
        ) from None
    if site.get("version") != VERSION:
        raise FototecaError(f"{path} has version {site.get('version')!r}, not {VERSION}", "write it anew from the one that ships")
    return Site(path, site)
