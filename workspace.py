"""The ground floor: where everything of one classification task lies, and how fototeca fails.

Standard library only, so that every other module may import it for nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

CONFIG_NAME = "fototeca.toml"
"""The file that makes a folder a workspace."""

LABEL_SEPARATOR = "|"
"""Joins the labels of one image in a multi-label dataset."""

MIN_TARGET = 100
"""Accepted images per category under which fototeca warns."""

Task = Literal["single", "multi"]

REPORT_TEMPLATE = """\
<!-- Your own words for the report, in Markdown. A section left empty is marked as missing in the report. -->

## motivation

## collection

## challenges

## conclusions
"""
"""What `init` writes to `report.md`; the headings are keys that the report looks up, whatever its language."""

EXIT_DONE, EXIT_BUG, EXIT_USAGE, EXIT_SHORT, EXIT_OUTSIDE = 0, 1, 2, 3, 4
"""Exit codes: done; a bug; wrong use or input; short of what was asked; something outside failed."""


class FototecaError(Exception):
    """What a person can mend: one line that says what is wrong, and a hint that says what to do next.

    Nothing else is shown without a traceback. `exit_code` is one of EXIT_USAGE (wrong use or input),
    EXIT_SHORT (done, but short of what was asked) and EXIT_OUTSIDE (a site, a database, a missing key).
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


@dataclass(frozen=True)
class Category:
    """One class of the task: its name as it appears in labels, and what to search for."""

    name: str
    queries: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """What `fototeca.toml` says."""

    name: str
    task: Task
    target: int
    contact: str
    categories: tuple[Category, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The category names in the order of the file."""
        return tuple(category.name for category in self.categories)

    def check(self, category: str) -> str:
        """Return `category` as the workspace writes it if it has it, else raise FototecaError."""
        if (name := composed(category)) not in self.names:
            raise FototecaError(f"unknown category {category!r}", f"this workspace has: {', '.join(self.names)}")
        return name

    def check_label(self, label: str) -> str:
        """`label` as the catalog writes it: one category, or for multi-label tasks any number, sorted and joined by `|`.

        FototecaError names the categories when one is unknown.
        """
        if self.task == "single":
            return self.check(label)
        return LABEL_SEPARATOR.join(sorted({self.check(name) for name in label.split(LABEL_SEPARATOR) if name}))


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


def read_settings(path: Path) -> Settings:
    """Read and check a `fototeca.toml`; FototecaError names the first thing that is wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FototecaError(f"{path} is missing", "run: fototeca init DIR --category NAME") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise FototecaError(f"{path}: {getattr(error, 'strerror', error)}", "mend the file") from None
    dataset, tables = _tables(path, document)
    categories = tuple(_read_category(path, name, table) for name, table in tables.items())
    task = dataset.get("task", "single")
    target = dataset.get("target", 150)
    if task not in ("single", "multi"):
        raise FototecaError(f"{path}: task is {task!r}", 'write task = "single" or task = "multi"')
    if not isinstance(target, int) or isinstance(target, bool) or target < 1:
        raise FototecaError(f"{path}: target is {target!r}", "write a whole number above 0")
    if len({category.name for category in categories}) < max(len(categories), 1):
        raise FototecaError(f"{path} has no categories, or one twice", "write a table for each: [categories.NAME]")
    name = check_name(dataset.get("name", path.parent.name), "dataset")
    return Settings(name, task, target, dataset.get("contact", ""), categories)


def _tables(path: Path, document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:  # dataset, categories
    dataset, tables = document.get("dataset", {}), document.get("categories", {})
    if not (isinstance(dataset, dict) and isinstance(tables, dict)):
        raise FototecaError(f"{path}: dataset or categories is no table", "write [dataset], and [categories.NAME] for each")
    for table, known in ((document, ("dataset", "categories")), (dataset, ("name", "task", "target", "contact"))):
        if unknown := sorted(table.keys() - {*known}):
            raise FototecaError(f"{path}: unknown key {unknown[0]!r}", f"there are: {', '.join(known)}")
    if no_text := [name for name in ("name", "contact") if not isinstance(dataset.get(name, ""), str)]:
        raise FototecaError(f"{path}: {no_text[0]} is {dataset[no_text[0]]!r}", f'write {no_text[0]} = "TEXT"')
    return dataset, tables


def _read_category(path: Path, name: str, table: object) -> Category:
    name = check_name(name, "category")
    queries = table.get("queries", [name]) if isinstance(table, dict) and table.keys() <= {"queries"} else None
    if not isinstance(queries, list) or not all(isinstance(query, str) and query for query in queries):
        raise FototecaError(f"{path}: categories.{name} has more than a list of texts", 'write queries = ["text", "text"]')
    return Category(name, tuple(queries) or (name,))


def composed(name: str) -> str:
    """The name with its accents in one piece (NFC): macOS takes them apart in file names, and both look the same."""
    return unicodedata.normalize("NFC", name)


def check_name(name: str, kind: str) -> str:
    """Return `name` composed if it can stand in a CSV cell, a file name and a joined label; else raise FototecaError."""
    word = re.match(r"\.|restore$|reject:", name)  # a hidden file's beginning, and what decisions say instead of a label
    if word or not name.strip() or name != name.strip() or re.search(r'[|/\\\x00-\x1f\x7f"]', name):
        raise FototecaError(
            f"{kind} name {name!r} will not do", 'use letters, digits, spaces, "-" and "_", without | / \\ or quotes'
        )
    return composed(name)


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


@contextmanager
def atomic_write(path: Path, workshop: Path | None = None) -> Iterator[IO[bytes]]:
    """Write a file that is there whole or not at all: temporary name, flush to disk, then rename.

    The parent folder is made. If the block raises, nothing is left behind and an older file stays as it was. The temporary file
    lies beside the file, or in `workshop`, which must be on the same disk; its name tells the process that writes it.
    """
    temporary = (workshop or path.parent) / f".{os.getpid()}.{path.name[:40]}.{os.urandom(4).hex()}.tmp"
    try:
        with _opened(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # what a person knows
        raise


def _opened(path: Path) -> IO[bytes]:
    """A new file; its folder is made if missing, which is rare enough not to look first."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with LF line ends."""
    write_bytes(path, text.encode("utf-8"))


def say(text: str) -> None:
    """Tell the person something on stderr; stdout is for results."""
    print(text, file=sys.stderr, flush=True)
