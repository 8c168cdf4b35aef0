"""Names of classes in files of other people, and the workspace's category for each."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings

_PLURALS = (
    (re.compile(r"(?<=\w[bdfghklmnprtvwxy])ies$"), "y"),
    (re.compile(r"(?<=\w\w)ces$"), "z"),
    (re.compile(r"(?<=\w[sxzhlnrdj])es$"), ""),
)
"""Plurals other than -s, in English and Spanish: cherries, peces, foxes, flores."""


def match_category(name: str, settings: Settings, *, has_number: bool = True) -> str:
    """Return the category whose name or query equals `name` but for spelling; "" if there is none.

    Args:
        name: a class, in a file or folder of other people or as a person types it.
        settings: categories.
        has_number: a leading number or WordNet id (`n02123045`) does not count.
    """
    return find_category(name, category_spellings(settings), has_number=has_number)


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


def find_category(name: str, spellings: Mapping[str, str], *, has_number: bool = True) -> str:
    """Return the category of a name by its spelling, "" for none. `spellings`: see `category_spellings`.

    The whole name counts before that without its leading number, and as written before its singular.
    """
    return next((spellings[spelling] for spelling in spelling_variants(name, has_number=has_number) if spelling in spellings), "")


def spelling_variants(name: str, *, has_number: bool = True) -> Iterator[str]:
    """Yield the normalized spellings of a name, then of its singulars; then those without a leading number or WordNet id."""
    words = _words(name)
    unnumbered = words
    while has_number and len(unnumbered) > 1 and re.fullmatch(r"n?\d+", unnumbered[0]):
        unnumbered = unnumbered[1:]
    for each in (words, unnumbered) if unnumbered != words else (words,):
        yield _join(each)
        for pattern, ending in _PLURALS if each else ():
            yield _join([*each[:-1], pattern.sub(ending, each[-1])])


def normalize_category(text: str) -> str:
    """Return a name without accents, punctuation, case and plural s.

    Numbers, signs and letters of any script stay, because they make other names: `2 euro` is not `1 euro`, C++ is not C#. So do
    marks of other scripts: か is not が.
    """
    return _join(_words(text))


def _join(words: Iterable[str]) -> str:
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def _words(text: str) -> list[str]:
    """Return the words of a name in lower case and without accents of Latin, Greek and Cyrillic letters."""
    letters = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text).casefold())
    composed = unicodedata.normalize("NFC", letters)
    return "".join(letter if _distinguishes(letter) else " " for letter in composed).split()


def _distinguishes(letter: str) -> bool:
    """Return True for letters, marks, numbers and signs."""
    return unicodedata.category(letter)[0] in "LMNS" or letter in "#%&*@"


def read_mapping(file: Path, settings: Settings) -> dict[str, str]:
    """Return the category of each class in a mapping file; "" excludes a class. FototecaError if the file is invalid."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        hint = "pass the file that the command without --map writes"
        raise FototecaError(f"{file} cannot be read: {error}", hint) from None
    table = document.get("map")
    if not isinstance(table, dict) or not all(isinstance(category, str) for category in table.values()):
        raise FototecaError(f"{file} has no table [map] of strings", 'write under [map]: "folder name" = "category"')
    if not any(table.values()):
        raise FototecaError(f"{file} excludes every folder", "write a category for at least one folder")
    return {folder: category and settings.check_label(category) for folder, category in table.items()}
