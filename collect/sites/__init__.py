"""Site files: endpoints, parameters and selectors of each source and hub, with ordered fallbacks, as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fototeca.collect.http.urls import host_key
from fototeca.core.errors import FototecaError
from fototeca.core.trust import read_trusted
from fototeca.core.workspace import Workspace

VERSION = 1
"""Version of the format of site files."""


class Site(dict[str, Any]):
    """The fields of a site file, among them `version`, and `checked`: the month in which it was last compared with the site."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - the signature of dict
        """Raise FototecaError for a missing field."""
        raise FototecaError(f"{self.path} has no {name!r}", "add it, as in the shipped site files")


def load_site(workspace: Workspace, name: str) -> Site:
    """Return the site file of a source or hub: `sites/NAME.toml` of the workspace if it exists, else the shipped one.

    So a changed site can be fixed without waiting for a release. FototecaError names the file and the problem, or says that this
    user has not trusted the workspace's file (`fototeca trust`): it may come from another person, and names servers.
    """
    own, shipped = workspace.root / "sites" / f"{name}.toml", Path(__file__).parent / f"{name}.toml"
    if not own.is_file():
        return _parse(shipped, shipped.read_bytes())
    site = _parse(own, read_trusted(workspace.root, own, "site file"))
    expected = _parse(shipped, shipped.read_bytes()) if shipped.is_file() else {}
    for field, value in site.items():
        if _kind(value) is not _kind(expected.get(field, value)):
            raise FototecaError(f"{own}: {field} is {value!r}", f"write it as in the shipped file: {expected[field]!r}")
    return site


def shipped_hosts(name: str) -> frozenset[str]:
    """Return the hosts to which a source's or hub's key may go: that of the endpoint in its shipped site file."""
    path = Path(__file__).parent / f"{name}.toml"
    endpoint = str(_parse(path, path.read_bytes()).get("endpoint", "")) if path.is_file() else ""
    return frozenset({host_key(endpoint)} if endpoint else ())


def _kind(value: object) -> type:
    """Return the type of a value, with integers counted as floats."""
    return float if type(value) is int else type(value)


def _parse(path: Path, content: bytes) -> Site:
    try:
        site = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise FototecaError(
            f"{path} cannot be read: {error}", "fix the file, or remove it from sites/ to use the shipped one"
        ) from None
    if site.get("version") != VERSION:
        raise FototecaError(
            f"{path} has version {site.get('version')!r}, not {VERSION}", "copy the shipped file and edit it again"
        )
    return Site(path, site)
