"""The catalog: every candidate, image, provenance and decision in one SQLite file."""

from fototeca.collect.catalog.catalog import AFTER, Catalog
from fototeca.collect.catalog.models import (
    PERSON,
    REJECT,
    RENAME,
    RESTORE,
    Decision,
    Finding,
    GroupRow,
    ImageRow,
    user_name,
    writable,
)

__all__ = [
    "AFTER",
    "PERSON",
    "REJECT",
    "RENAME",
    "RESTORE",
    "Catalog",
    "Decision",
    "Finding",
    "GroupRow",
    "ImageRow",
    "user_name",
    "writable",
]
