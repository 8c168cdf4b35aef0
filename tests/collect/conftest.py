"""Workspaces whose site files point to stand-ins on this machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fototeca.collect.sites
from fototeca.core.workspace import Workspace, create_workspace
from tests.collect.hub_server import Hubs, person_at
from tests.servers import Site, serve
from tests.trusting import trust

PointTo = Callable[[str, str], Workspace]


@pytest.fixture(autouse=True)
def no_real_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the user's own keys, quotas and home from every test."""
    for name in ("FLICKR_API_KEY", "PEXELS_API_KEY", "PIXABAY_API_KEY", "UNSPLASH_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))


@pytest.fixture
def point_to(tmp_path: Path) -> PointTo:
    """Return a function that makes a workspace whose site file points a source to another URL, without pauses."""

    def make(source: str, endpoint: str) -> Workspace:
        workspace = create_workspace(tmp_path / "w", ["fox"], target=100, contact="me@example.org")
        text = (Path(fototeca.collect.sites.__file__).parent / f"{source}.toml").read_text(encoding="utf-8")
        text = re.sub(r'(?m)^endpoint = ".*"', f'endpoint = "{endpoint}"', text)
        text = re.sub(r"(?m)^(pause|settle|click) = [\d.]+", r"\1 = 0.0", text)
        text = re.sub(r"(?m)^settle = 0.0", "settle = 0.6", text)
        text = re.sub(r"(?m)^click = 0.0", "click = 0.5", text)
        (workspace.root / "sites").mkdir()
        (workspace.root / "sites" / f"{source}.toml").write_text(text, encoding="utf-8")
        trust(workspace)
        return workspace

    return make


@pytest.fixture
def hubs() -> Hubs:
    """State of the stand-in of all hubs."""
    return Hubs()


@pytest.fixture
def site(hubs: Hubs) -> Iterator[Site]:
    """Server of the stand-in of all hubs."""
    with serve(hubs) as server:
        yield server


@pytest.fixture
def workspace(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Workspace whose hubs are the stand-in, with keys set and an empty home."""
    return person_at(tmp_path, site.base, monkeypatch)
