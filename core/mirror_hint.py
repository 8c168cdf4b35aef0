"""Tell from category names whether a mirrored image may be of another category, as with left and right, digits and letters."""

from __future__ import annotations

import re
from collections.abc import Sequence

SIDES = (
    ("left", "right"),
    ("izquierda", "derecha"),
    ("izquierdo", "derecho"),
    ("izq", "der"),
    ("clockwise", "counterclockwise"),
    ("east", "west"),
    ("este", "oeste"),
)
"""Words for one side and the other."""

DIGITS = frozenset((*"0123456789", *["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))
DIGITS_ES = frozenset(["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"])
KINDS = frozenset(["letter", "digit", "number", "character", "letra", "dígito", "digito", "número", "numero", "cifra"])
"""Words beside a character in a name, such as `digit-3`."""

MIN_CHARACTERS = 3
"""Categories that name a digit or a letter from which they count as characters."""


def mirror_hint(names: Sequence[str]) -> str:
    """Return a line that suggests `mirror = false` for categories that a mirror exchanges or makes wrong; else an empty text."""
    words = [re.split(r"[\W_]+", name.casefold()) for name in names]
    present = {word for parts in words for word in parts}
    sides = next((pair for pair in SIDES if present >= {*pair}), None)
    characters = [name for name, parts in zip(names, words, strict=True) if _is_character(parts)]
    if sides:
        kind = f"{sides[0]} and {sides[1]} are mirror images of each other"
    elif len(characters) >= MIN_CHARACTERS:
        kind = f"{', '.join(characters[:MIN_CHARACTERS])} look like digits or letters, which a mirror makes wrong"
    else:
        return ""
    return f"{kind}: write mirror = false below [dataset] in fototeca.toml, so that training never mirrors an image"


def _is_character(parts: list[str]) -> bool:
    """Return True if a name is a digit, in figures or letters, or a single letter, alone or beside one of KINDS."""
    characters = [part for part in parts if part not in KINDS]
    if len(characters) != 1:
        return False
    (part,) = characters
    return part in DIGITS or part in DIGITS_ES or (len(part) == 1 and part.isalpha())
