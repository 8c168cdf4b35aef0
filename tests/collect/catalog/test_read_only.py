"""A catalog that cannot be written is read; decisions wait for the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit
from fototeca.collect.catalog.schema import MIGRATIONS
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import jpeg


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with one image."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg(1))
    collect_folder(workspace, tmp_path / "photos", FolderOptions("fox"), FetchOptions(min_side=32))
    return workspace


@pytest.fixture
def read_only(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The same on a disk that cannot be written."""
    monkeypatch.setattr("fototeca.collect.catalog.connection.os.access", lambda path, mode: False)
    return workspace


@pytest.fixture
def locked(workspace: Workspace) -> Iterator[Workspace]:
    """The same without permission to write, for root too if its capabilities are dropped."""
    paths = [workspace.root, *workspace.root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield workspace
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_read_only_catalog_is_read_and_says_so_when_written(read_only: Workspace) -> None:
    """Reading works without files of locks; a decision names the file and the way out."""
    with Catalog.open(read_only) as catalog:
        (image,) = catalog.images.all()
        with pytest.raises(
            FototecaError, match=r"catalog\.sqlite cannot be written: .*read.?only.*make it and its folder writable"
        ):
            catalog.decisions.add(image.image_id, Edit.relabel("wolf"), by=Actor.person("ana"))
    assert sorted(path.name for path in read_only.catalog.parent.glob("catalog*")) == ["catalog.sqlite"]


def test_a_read_only_catalog_of_another_schema_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be migrated where it lies."""
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    monkeypatch.setattr("fototeca.collect.catalog.connection.os.access", lambda path, mode: False)
    with pytest.raises(FototecaError, match="copy the workspace to a writable folder"):
        Catalog.open(workspace)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere without setpriv")
def test_status_of_a_read_only_workspace(locked: Workspace) -> None:
    """`fototeca status` counts the images of a workspace that this user cannot write."""
    drop = "-dac_override,-dac_read_search"
    prefix = ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"] if os.geteuid() == 0 else []
    command = [*prefix, sys.executable, "-m", "fototeca", "--workspace", str(locked.root), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fox" in done.stdout


def test_decisions_of_people_wait_for_the_disk(workspace: Workspace) -> None:
    """Commits of decisions are flushed (synchronous = FULL), those of collected images are not."""
    statements: list[str] = []
    with Catalog.open(workspace) as catalog:
        (image,) = catalog.images.all()
        catalog.database.connection.set_trace_callback(statements.append)
        catalog.decisions.add(image.image_id, Edit.relabel("fox"), by=Actor.person("ana"))
        with catalog.transaction():
            pass
        with catalog.transaction(durable=False):
            pass
    levels = [statement.rpartition(" ")[2] for statement in statements if statement.startswith("PRAGMA synchronous")]
    assert levels == ["FULL", "FULL", "NORMAL"]
