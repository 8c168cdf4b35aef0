"""Read the splits that a frozen version stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fototeca.core.documents import parse_csv
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import SPLITS, SplitName, version_file


def read_stored_splits(workspace: Workspace, metadata: Mapping[str, Any], image_ids: Collection[str]) -> dict[str, SplitName]:
    """Return the split that a frozen version stored for each image.

    `image_ids`: the images that the version should have. The digits of the JSON are preferred, so that a missing or edited
    CSV can be rebuilt. Versions without them, and versions with another number of images, are read from their CSV; its other
    columns are not checked.

    Raises:
        FototecaError: the JSON has no splits and the CSV is missing or unreadable.
    """
    digits = metadata.get("row_splits", "")
    if len(digits) == len(image_ids):
        return {image_id: SPLITS[int(digit)] for image_id, digit in zip(sorted(image_ids), digits, strict=True)}
    document = version_file(workspace, f"{metadata['version']}.csv")
    try:
        lines = parse_csv(document.read_text())
        _, head = next(lines, (0, []))
        image_id, split = head.index("image_id"), head.index("split")
        stored = [(cells[image_id], cells[split]) for _, cells in lines if len(cells) == len(head)]
        return {image_id: split for image_id, split in stored if split in SPLITS}
    except (FototecaError, ValueError):
        if digits:
            return {}
        raise FototecaError(
            f"the splits of {metadata['version']} are stored in {document.name} alone, which cannot be read", document.hint
        ) from None
