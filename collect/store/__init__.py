"""Image store: original bytes in files named by their SHA-256; validation and recording of images on their way in.

`files` reads and writes the store, `accept` validates an image and stores it, `contribute` adds an image that a person labeled
elsewhere, such as on the page of a served model. `accept` and `contribute` are imported on use: they decode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fototeca.collect.store.files import (
    EXTENSIONS,
    ErasedImageError,
    FetchFailedError,
    compute_image_id,
    image_path,
    is_store_path,
    list_stored_images,
    open_fetcher,
    remove_stale_files,
    store_image,
)
from fototeca.core.workspace import Workspace

if TYPE_CHECKING:
    from fototeca.collect.catalog import Actor, Decision

__all__ = [
    "EXTENSIONS",
    "ErasedImageError",
    "FetchFailedError",
    "compute_image_id",
    "contribute_image",
    "image_path",
    "is_store_path",
    "list_stored_images",
    "open_fetcher",
    "remove_stale_files",
    "store_image",
]


def contribute_image(workspace: Workspace, data: bytes, label: str, *, source: str, by: Actor, file_name: str = "") -> Decision:
    """Store an image that a person labeled outside of collecting and reviewing, and record the label as their decision.

    Args:
        workspace: where the image goes.
        data: bytes of the file.
        label: a category, or several joined by `|`.
        source: name of the source in the catalog, such as "serve".
        by: the person.
        file_name: original name, if known.

    Raises:
        FototecaError: the bytes are not an acceptable image, or `label` is not a label of the workspace.
    """
    from fototeca.collect.store.contribute import contribute

    return contribute(workspace, data, label, source=source, by=by, file_name=file_name)
