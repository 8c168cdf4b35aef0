"""Paths and settings of one workspace: the folder of one classification task."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.settings import CONFIG_NAME, Settings, Task, check_name, read_settings

REPORT_TEMPLATE = """\
<!-- Your own words for the report, in Markdown. A section left empty is marked as missing in the report. -->

## motivation

## collection

## challenges

## conclusions
"""
"""What `init` writes to `report.md`; the headings are keys that the report looks up, whatever its language."""


class Workspace:
    """Every path of one task, and its settings. Making one creates no folder and reads no file."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()

    @classmethod
    def find(cls, path: Path | str | None = None) -> Workspace:
        """The workspace at `path`, at FOTOTECA_WORKSPACE, or in the nearest parent of the current folder."""
        chosen = path or os.environ.get("FOTOTECA_WORKSPACE")
        if chosen:
            if (Path(chosen) / CONFIG_NAME).is_file():
                return cls(chosen)
            raise FototecaError(
                f"{chosen} is no workspace (it has no {CONFIG_NAME})", f"run: fototeca init {chosen} --category NAME"
            )
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls(folder)
        raise FototecaError(
            f"no {CONFIG_NAME} here or in any folder above", "run: fototeca init DIR --category NAME, or pass --workspace DIR"
        )

    @property
    def config(self) -> Path:
        """`fototeca.toml`."""
        return self.root / CONFIG_NAME

    @property
    def data(self) -> Path:
        """Everything git ignores."""
        return self.root / "data"

    @property
    def images(self) -> Path:
        """The image store: original bytes named by their SHA-256."""
        return self.data / "images"

    @property
    def catalog(self) -> Path:
        """The SQLite file that remembers every candidate, image and decision."""
        return self.data / "catalog.sqlite"

    @property
    def cache(self) -> Path:
        """What can be computed again: thumbnails, decoded pixels, features."""
        return self.data / "cache"

    @property
    def runs(self) -> Path:
        """Trained models, one folder each."""
        return self.data / "runs"

    @property
    def reports(self) -> Path:
        """Reports and figures."""
        return self.data / "reports"

    @property
    def manifests(self) -> Path:
        """Frozen versions of the dataset; kept in git."""
        return self.root / "manifests"

    @property
    def report_text(self) -> Path:
        """`report.md`: what only a person can write (motivation, challenges)."""
        return self.root / "report.md"

    @cached_property
    def settings(self) -> Settings:
        """The checked contents of `fototeca.toml`."""
        return read_settings(self.config)

    def relative(self, path: Path) -> str:
        """`path` as it is written in manifests: relative to the workspace, with forward slashes."""
        inside = Path(os.path.abspath(path))  # noqa: PTH100 - `data` may be a link to another disk
        return (inside if inside.is_relative_to(self.root) else path.resolve()).relative_to(self.root).as_posix()


def create_workspace(
    root: Path, names: Sequence[str], *, task: Task = "single", target: int = 150, contact: str = ""
) -> Workspace:
    """Make `root` a workspace with these categories. FototecaError if it already is one or a name will not do."""
    if not names:
        raise FototecaError("a workspace needs categories", "pass --category NAME for each")
    names = [check_name(name, "category") for name in names]
    if len(set(names)) != len(names):
        raise FototecaError("a category is named twice", "name each once")
    if target < 1:
        raise FototecaError(f"target is {target}", "choose a whole number above 0")
    workspace = Workspace(root)
    if workspace.config.exists():
        raise FototecaError(f"{workspace.root} is a workspace already", f"edit {workspace.config}")
    workspace.manifests.mkdir(parents=True, exist_ok=True)
    workspace.data.mkdir(exist_ok=True)
    name = re.sub(r'[|/\\\x00-\x1f\x7f"]', "-", workspace.root.name.strip(". ")) or "dataset"
    lines = ["[dataset]", f"name = {_toml(name)}", f"task = {_toml(task)}", f"target = {target}", f"contact = {_toml(contact)}"]
    for category in names:
        lines += ["", f"[categories.{_toml(category)}]", f"queries = [{_toml(category)}]"]
    write_text(workspace.root / ".gitignore", "/data\n.*.tmp\n")
    write_text(workspace.report_text, REPORT_TEMPLATE)
    write_text(workspace.config, "\n".join(lines) + "\n")
    return workspace


def _toml(text: str) -> str:  # a basic string
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
