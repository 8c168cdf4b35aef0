"""Names of classes in files of other people, and the workspace's category for each."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings


def match_category(name: str, settings: Settings) -> str:
    """Return the category whose name or query equals `name` but for spelling; "" if there is none.

    Upper case, accents, punctuation, a plural s and a leading number or WordNet id (`n02123045`) do not count.
    """
    return category_spellings(settings).get(normalize_category(name), "")


def category_spellings(settings: Settings) -> dict[str, str]:
    """Return the categories by the normalized spelling of their names and queries; a name wins over a query."""
    queries = {normalize_category(query): category.name for category in settings.categories for query in category.queries}
    return queries | {normalize_category(name): name for name in settings.names}


def normalize_category(text: str) -> str:
    """Return a name without accents, punctuation, case, leading numbers or WordNet ids (`n01234567`), and plural s.

    Marks of other scripts stay, because they make other words: か is not が.
    """
    letters = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text).casefold())
    words = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", letters)).split()
    while len(words) > 1 and re.fullmatch(r"n?\d+", words[0]):
        words = words[1:]
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


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
