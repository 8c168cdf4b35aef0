"""Paths and settings of one workspace: the folder of one classification task."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from shlex import quote

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.report_text import report_template
from fototeca.core.settings import CONFIG_NAME, Language, Settings, Task, check_name, locale_language, read_settings
from fototeca.core.trust import check_links, check_tables


class Workspace:
    """Paths and settings of one workspace. The constructor creates no folder and reads no file."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()

    @classmethod
    def find(cls, path: Path | str | None = None) -> Workspace:
        """Return the workspace at `path`, else at FOTOTECA_WORKSPACE, else in the nearest parent of the current folder.

        FototecaError if there is none, or if a link in it leads out of it and this user has not trusted the link.
        """
        workspace = cls.locate(path)
        check_links(workspace.root)
        return workspace

    @classmethod
    def locate(cls, path: Path | str | None = None) -> Workspace:
        """Like `find`, without the check of links, for `fototeca trust`."""
        chosen = path or os.environ.get("FOTOTECA_WORKSPACE")
        if chosen:
            if (Path(chosen) / CONFIG_NAME).is_file():
                return cls(chosen)
            raise FototecaError(
                f"{chosen} is not a workspace: it has no {CONFIG_NAME}",
                f"run: fototeca init {quote(str(chosen))} --category NAME",
            )
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls(folder)
        raise FototecaError(
            f"no {CONFIG_NAME} in this folder or above", "run: fototeca init DIR --category NAME, or pass --workspace DIR"
        )

    @property
    def config(self) -> Path:
        """`fototeca.toml`."""
        return self.root / CONFIG_NAME

    @property
    def data(self) -> Path:
        """Images, catalog, caches, runs and reports; ignored by git."""
        return self.root / "data"

    @property
    def images(self) -> Path:
        """Image store: original bytes named by their SHA-256."""
        return self.data / "images"

    @property
    def catalog(self) -> Path:
        """SQLite file with every candidate, image and decision."""
        return self.data / "catalog.sqlite"

    @property
    def cache(self) -> Path:
        """Thumbnails, decoded pixels and features, which can be computed again."""
        return self.data / "cache"

    @property
    def runs(self) -> Path:
        """Trained models, one folder per run."""
        return self.data / "runs"

    @property
    def reports(self) -> Path:
        """Reports and figures."""
        return self.data / "reports"

    @property
    def manifests(self) -> Path:
        """Frozen versions of the dataset, tracked by git."""
        return self.root / "manifests"

    @property
    def report_text(self) -> Path:
        """`report.md`: the user's own text for the report."""
        return self.root / "report.md"

    @cached_property
    def settings(self) -> Settings:
        """Validated contents of `fototeca.toml`, read once. FototecaError for an error, or what is not trusted in it."""
        check_links(self.root)
        check_tables(self.root)
        return read_settings(self.config)

    def relative(self, path: Path) -> str:
        """Return `path` as manifests store it: relative to the workspace, with forward slashes."""
        inside = Path(os.path.abspath(path))  # noqa: PTH100 - `data` may be a link to another disk
        return (inside if inside.is_relative_to(self.root) else path.resolve()).relative_to(self.root).as_posix()


def create_workspace(
    root: Path,
    names: Sequence[str],
    *,
    task: Task = "single",
    target: int = 150,
    contact: str = "",
    language: Language | None = None,
) -> Workspace:
    """Create a workspace. FototecaError if `root` is one already or a name is invalid.

    Args:
        root: the folder, created if missing; its name becomes the name of the dataset.
        names: categories.
        task: one label per image, or any number.
        target: accepted images wanted per category.
        contact: e-mail address sent in the User-Agent.
        language: of reports and drawings; default: that of the environment.
    """
    if not names:
        raise FototecaError("a workspace needs categories", "pass --category NAME once per category")
    names = [check_name(name, "category") for name in names]
    if len(set(names)) != len(names):
        raise FototecaError("a category is given twice", "give each category once")
    if target < 1:
        raise FototecaError(f"target is {target}", "choose a whole number above 0")
    workspace = Workspace(root)
    if workspace.config.exists():
        raise FototecaError(f"{workspace.root} is already a workspace", f"edit {workspace.config}")
    workspace.manifests.mkdir(parents=True, exist_ok=True)
    workspace.data.mkdir(exist_ok=True)
    name = re.sub(r'[|/\\\x00-\x1f\x7f"]', "-", workspace.root.name.strip(". ")) or "dataset"
    language = language or locale_language()
    lines = ["[dataset]", f"name = {_toml(name)}", f"task = {_toml(task)}", f"target = {target}"]
    lines += [f"contact = {_toml(contact)}", f"language = {_toml(language)}"]
    for category in names:
        lines += ["", f"[categories.{_toml(category)}]", f"queries = [{_toml(category)}]"]
    write_text(workspace.root / ".gitignore", "/data\n.*.tmp\n")
    write_text(workspace.report_text, report_template(language))
    write_text(workspace.config, "\n".join(lines) + "\n")
    return workspace


def _toml(text: str) -> str:  # a TOML basic string
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
