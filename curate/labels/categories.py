"""Names of categories: those of a label, and what becomes of them when one is changed.

A renaming writes a decision about every image that was ever said to be of the category, so that an image's own decisions tell
all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

from fototeca.collect.catalog import REJECT, RENAME, RESTORE, Catalog, Decision
from fototeca.core.settings import LABEL_SEPARATOR

_RENAMED = "renamed: "


def split_label(label: str) -> list[str]:
    """The categories of a label."""
    return label.split(LABEL_SEPARATOR) if label else []


def renamed(label: str, old: str, new: str) -> str:
    """The label with one category's name changed; sorted, and each name once."""
    return LABEL_SEPARATOR.join(sorted({new if name == old else name for name in split_label(label)}))


def why_renamed(old: str, new: str) -> str:
    """The `why` of a renaming's decisions."""
    return f"{_RENAMED}{old}{LABEL_SEPARATOR}{new}"


def renamed_from(decision: Decision) -> tuple[str, str]:
    """The old and the new name that a renaming wrote down."""
    old, _, new = decision.why.removeprefix(_RENAMED).partition(LABEL_SEPARATOR)
    return old, new


def renamings(catalog: Catalog) -> list[tuple[str, str]]:
    """The old and the new name of each renaming, in order."""
    log = [decision for decision in catalog.decisions() if decision.who.startswith(RENAME)]
    return [renamed_from(next(rows)) for _, rows in groupby(log, key=lambda decision: decision.why)]


def names_said(decisions: Iterable[Decision]) -> dict[str, set[str]]:
    """By image all categories that it was ever said to be of, under the names that they have by now."""
    said: dict[str, set[str]] = defaultdict(set)
    for decision in decisions:
        names = said[decision.image_id]
        if decision.who.startswith(RENAME):
            names -= {renamed_from(decision)[0]}
            names.add(renamed_from(decision)[1])
        elif not decision.new.startswith(REJECT) and decision.new != RESTORE:
            names.update(split_label(decision.new))
    return said
