"""Original file names of the dataset's images, for people; manifests do not have them."""

from __future__ import annotations

from contextlib import suppress

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace


def read_file_names(workspace: Workspace) -> dict[str, str]:
    """Return the original file name of each image by id, as the catalog has it; empty without a readable catalog."""
    if not workspace.catalog.exists():
        return {}
    with suppress(FototecaError), Catalog.open(workspace) as catalog:
        return catalog.provenance.file_names()
    return {}
