"""`fototeca next` through a workspace's life."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from fototeca.cli import app
from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.versions.freeze import freeze_version
from fototeca.next_steps import list_steps, steps_text


def done(workspace: Workspace) -> list[str]:
    """Return the names of the steps that are done."""
    return [step.name for step in list_steps(workspace) if step.done]


def test_steps_follow_the_work(tmp_path: Path, make_images: Callable[[Path, dict[str, int]], Path]) -> None:
    """An empty workspace has done nothing; collecting, comparing, reviewing and freezing tick their steps; changes untick."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], target=4)
    assert done(workspace) == []
    images = make_images(tmp_path / "in", {"cat": 6, "dog": 6})
    collect_folder(workspace, images, FolderOptions(label_from_folder=True), FetchOptions())
    assert done(workspace) == ["collect"]
    dedup(workspace)
    with Catalog.open(workspace) as catalog:
        ids = {label: [row.image_id for row in catalog.images.all() if row.label == label] for label in ("cat", "dog")}
    for label in ids:
        label_images(workspace, ids[label], label)
    assert done(workspace) == ["collect", "find duplicates", "review"]
    freeze_version(workspace)
    assert "freeze" in done(workspace)
    label_images(workspace, ids["cat"][:1], "dog")
    step = next(step for step in list_steps(workspace) if step.name == "freeze")
    assert (step.done, step.detail) == (False, "v001, 12 images; 1 differ since")


def test_command(tmp_path: Path) -> None:
    """The last line is the next command; JSON has the same steps; lines fit 80 columns."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], target=4)
    environment = {"FOTOTECA_WORKSPACE": str(workspace.root)}
    text = CliRunner().invoke(app, ["next"], env=environment).stdout
    assert text.splitlines()[-1] == "next: fototeca collect --help" and max(map(len, text.splitlines())) <= 80
    rows = json.loads(CliRunner().invoke(app, ["next", "--json"], env=environment).stdout)
    assert [row["name"] for row in rows] == [step.name for step in list_steps(workspace)]
    assert steps_text(list_steps(workspace)) in text
