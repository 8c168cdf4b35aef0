"""The catalog: every candidate, image, provenance and decision in one SQLite file."""

from fototeca.collect.catalog.catalog import AFTER_LAST_VERSION, Catalog
from fototeca.collect.catalog.models import (
    PERSON,
    REJECT,
    RENAME,
    RESTORE,
    Decision,
    GroupRow,
    ImageRow,
    Provenance,
    replace_surrogates,
    user_name,
)

__all__ = [
    "AFTER_LAST_VERSION",
    "PERSON",
    "REJECT",
    "RENAME",
    "RESTORE",
    "Catalog",
    "Decision",
    "GroupRow",
    "ImageRow",
    "Provenance",
    "replace_surrogates",
    "user_name",
]
