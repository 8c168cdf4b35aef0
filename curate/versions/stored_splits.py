"""Read the splits that a frozen version stored."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import SPLITS, SplitName


def read_stored_splits(workspace: Workspace, metadata: Mapping[str, Any], image_ids: Collection[str]) -> dict[str, SplitName]:
    """Return the split that a frozen version stored for each image.

    `image_ids`: the images that the version should have. The digits of the JSON are preferred, so that a missing or edited
    CSV can be rebuilt. Versions without them, and versions with another number of images, are read from their CSV; its other
    columns are not checked.

    Raises:
        FototecaError: the JSON has no splits and the CSV is missing or unreadable.
    """
    digits = metadata.get("row_splits", "")
    if len(digits) == len(image_ids) and set(digits) <= set("012"):
        return {image_id: SPLITS[int(digit)] for image_id, digit in zip(sorted(image_ids), digits, strict=True)}
    path = workspace.manifests / f"{metadata['version']}.csv"
    try:
        rows = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""))
        return {row["image_id"]: row["split"] for row in rows if row["split"] in SPLITS}
    except (OSError, KeyError, ValueError, csv.Error):
        if digits:
            return {}
        raise FototecaError(
            f"the splits of {metadata['version']} are stored in manifests/{path.name} alone, which cannot be read",
            f"restore it: git checkout manifests/{path.name}",
        ) from None
