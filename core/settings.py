"""Read and validate `fototeca.toml`."""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fototeca.core.console import escape_text
from fototeca.core.errors import FototecaError

CONFIG_NAME = "fototeca.toml"
"""Name of the file that marks a folder as a workspace."""


TRUSTED_TABLES = ("cluster", "store", "remotes")
"""Tables of `fototeca.toml` that name machines: without effect until the user has trusted them (`core.trust`)."""


LABEL_SEPARATOR = "|"
"""Separator of the labels of one image in a multi-label dataset."""


MIN_TARGET = 100
"""Accepted images per category below which fototeca warns."""


_DATASET_KEYS = ("name", "task", "target", "contact", "mirror", "language")


Task = Literal["single", "multi"]


Language = Literal["en", "es"]
"""Languages of the report, its text and its pictures."""

LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True)
class Category:
    """One class of the task: its name in labels and its search queries."""

    name: str
    queries: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """Validated contents of `fototeca.toml`."""

    name: str
    task: Task
    target: int
    contact: str
    categories: tuple[Category, ...]
    mirror: bool = True
    """False: a mirrored or turned image is another class or wrong, as with text and arrows."""
    language: Language = "en"
    """Language of reports and drawings where a command names none."""

    @property
    def names(self) -> tuple[str, ...]:
        """Category names in the order of the file."""
        return tuple(category.name for category in self.categories)

    def check(self, category: str) -> str:
        """Return the name of a category of the workspace in NFC. FototecaError if there is none."""
        if (name := to_nfc(category)) not in self.names:
            raise FototecaError(f"unknown category {category!r}", f"this workspace has: {', '.join(self.names)}")
        return name

    def check_label(self, label: str) -> str:
        """Return a label as the catalog stores it: one category, or for multi-label tasks any number, sorted and joined by `|`.

        FototecaError for an unknown category.
        """
        if self.task == "single":
            return self.check(label)
        return LABEL_SEPARATOR.join(sorted({self.check(name) for name in label.split(LABEL_SEPARATOR) if name}))


def read_settings(path: Path) -> Settings:
    """Read and validate a `fototeca.toml`. FototecaError names the first error."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FototecaError(f"{path} is missing", "run: fototeca init DIR --category NAME") from None
    except (ValueError, RecursionError, OSError) as error:
        raise FototecaError(f"{path}: {getattr(error, 'strerror', error)}", "fix the file") from None
    dataset, tables = _tables(path, document)
    categories = tuple(_read_category(path, name, table) for name, table in tables.items())
    task = dataset.get("task", "single")
    target = dataset.get("target", 150)
    mirror = dataset.get("mirror", True)
    language = dataset.get("language", locale_language())
    if task not in ("single", "multi"):
        raise FototecaError(f"{path}: task is {task!r}", 'write task = "single" or task = "multi"')
    if not isinstance(target, int) or isinstance(target, bool) or target < 1:
        raise FototecaError(f"{path}: target is {target!r}", "write a whole number above 0")
    if not isinstance(mirror, bool):
        raise FototecaError(f"{path}: mirror is {mirror!r}", "write mirror = true or mirror = false")
    if language not in LANGUAGES:
        raise FototecaError(f"{path}: language is {language!r}", f"write one of: {', '.join(LANGUAGES)}")
    if len({category.name for category in categories}) < max(len(categories), 1):
        raise FototecaError(f"{path} has no categories, or one of them twice", "write one table per category: [categories.NAME]")
    name = check_name(dataset.get("name", path.parent.name), "dataset")
    return Settings(name, task, target, dataset.get("contact", ""), categories, mirror, language)


def locale_language() -> Language:
    """Return `es` where the environment asks for Spanish messages, else `en`."""
    asked = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "es" if asked.lower().startswith("es") else "en"


def _tables(path: Path, document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:  # dataset, categories
    dataset, tables = document.get("dataset", {}), document.get("categories", {})
    if not (isinstance(dataset, dict) and isinstance(tables, dict)):
        raise FototecaError(
            f"{path}: dataset or categories is not a table", "write [dataset], and [categories.NAME] per category"
        )
    if unsupported := [name for name in TRUSTED_TABLES if name in document]:
        raise FototecaError(f"{path}: [{unsupported[0]}] is not supported by this version", "remove the table")
    for table, known in ((document, ("dataset", "categories")), (dataset, _DATASET_KEYS)):
        if unknown := sorted(table.keys() - {*known}):
            raise FototecaError(f"{path}: unknown key {unknown[0]!r}", f"known keys: {', '.join(known)}")
    if no_text := [name for name in ("name", "contact") if not isinstance(dataset.get(name, ""), str)]:
        raise FototecaError(f"{path}: {no_text[0]} is {dataset[no_text[0]]!r}", f'write {no_text[0]} = "TEXT"')
    return dataset, tables


def _read_category(path: Path, name: str, table: object) -> Category:
    name = check_name(name, "category")
    queries = table.get("queries", [name]) if isinstance(table, dict) and table.keys() <= {"queries"} else None
    if not isinstance(queries, list) or not all(isinstance(query, str) and query for query in queries):
        raise FototecaError(f"{path}: categories.{name} must have only a list of texts", 'write queries = ["text", "text"]')
    return Category(name, tuple(queries) or (name,))


def to_nfc(name: str) -> str:
    """Normalize a name to NFC; file names on macOS are decomposed and look the same."""
    return unicodedata.normalize("NFC", name)


def check_name(name: str, kind: str) -> str:
    """Return `name` in NFC if it is valid in a CSV cell, a file name and a joined label. FototecaError otherwise."""
    word = re.match(r"\.|restore$|reject:", name)  # names of hidden files, and reserved words of decisions
    if word or not name.strip() or name != name.strip() or re.search(r'[|/\\\x00-\x1f\x7f"]', name) or escape_text(name) != name:
        raise FototecaError(
            f"{kind} name {name!r} is invalid", 'use letters, digits, spaces, "-" and "_", without | / \\ or quotes'
        )
    return to_nfc(name)
