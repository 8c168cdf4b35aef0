"""Read and validate `fototeca.toml`."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fototeca.core.errors import FototecaError

CONFIG_NAME = "fototeca.toml"
"""The file that makes a folder a workspace."""


LABEL_SEPARATOR = "|"
"""Joins the labels of one image in a multi-label dataset."""


MIN_TARGET = 100
"""Accepted images per category under which fototeca warns."""


Task = Literal["single", "multi"]


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
