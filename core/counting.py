"""Numbers with their nouns, for messages."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    Args:
        number: how many.
        noun: singular.
        plural: its plural; by default with an s.

    Example:
        >>> count_of(1, "image"), count_of(1200, "image"), count_of(0, "category", "categories")
        ('1 image', '1200 images', '0 categories')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
