"""Names of classes in files of other people, and the workspace's category for each."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings

_PLURALS = (
    (re.compile(r"(?<=\w[bdfghklmnprtvwxy])ies$"), "y"),
    (re.compile(r"(?<=\w\w)ces$"), "z"),
    (re.compile(r"(?<=\w[sxzhlnrdj])es$"), ""),
)
"""Plurals other than -s, in English and Spanish: cherries, peces, foxes, flores."""


def match_category(name: str, settings: Settings) -> str:
    """Return the category whose name or query equals `name` but for spelling; "" if there is none.

    Upper case, accents, punctuation, a plural and a leading number or WordNet id (`n02123045`) do not count.
    """
    return find_category(name, category_spellings(settings))


def category_spellings(settings: Settings) -> dict[str, str]:
    """Return the categories by the normalized spelling of their names and queries; a name wins over a query.

    A spelling that fits the names, or the queries, of several categories is left out.
    """
    queries = [(query, category.name) for category in settings.categories for query in category.queries]
    return _unambiguous(queries) | _unambiguous([(name, name) for name in settings.names])


def _unambiguous(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    categories: dict[str, set[str]] = {}
    for name, category in names:
        categories.setdefault(normalize_category(name), set()).add(category)
    return {spelling: min(members) for spelling, members in categories.items() if len(members) == 1}


def find_category(name: str, spellings: Mapping[str, str]) -> str:
    """Return the category of a name by its spelling, "" for none. `spellings`: see `category_spellings`."""
    normalized = normalize_category(name)
    if normalized in spellings:
        return spellings[normalized]
    words = _words(name)
    for pattern, ending in _PLURALS:
        singular = " ".join([*words[:-1], pattern.sub(ending, words[-1])]) if words else ""
        if category := spellings.get(normalize_category(singular), ""):
            return category
    return ""


def normalize_category(text: str) -> str:
    """Return a name without accents, punctuation, case, leading numbers or WordNet ids (`n01234567`), and plural s.

    Marks of other scripts stay, because they make other words: か is not が.
    """
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _words(text))


def _words(text: str) -> list[str]:
    """Return the words of a name in lower case, without accents and without leading numbers or WordNet ids."""
    letters = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text).casefold())
    words = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", letters)).split()
    while len(words) > 1 and re.fullmatch(r"n?\d+", words[0]):
        words = words[1:]
    return words


def read_mapping(file: Path, settings: Settings) -> dict[str, str]:
    """Return the category of each class in a mapping file; "" excludes a class. FototecaError if the file is invalid."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "pass the file that the command without --map writes"
        raise FototecaError(f"{file} cannot be read: {error}", hint) from None
    table = document.get("map")
    if not isinstance(table, dict) or not all(isinstance(category, str) for category in table.values()):
        raise FototecaError(f"{file} has no table [map] of strings", 'write under [map]: "folder name" = "category"')
    if not any(table.values()):
        raise FototecaError(f"{file} excludes every folder", "write a category for at least one folder")
    return {folder: category and settings.check_label(category) for folder, category in table.items()}
