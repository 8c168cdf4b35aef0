"""Collect local images: a folder, an archive or one file."""

from __future__ import annotations

from pathlib import Path

from fototeca.collect.files.archives import open_folder
from fototeca.collect.files.local_files import LabelSource, list_local_images
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.core.workspace import Workspace


def collect_folder(workspace: Workspace, path: Path, labels: LabelSource, options: FetchOptions) -> CollectSummary:
    """Ingest every image below `path`: a folder, a zip, tar or parquet file, or one image. The files stay unchanged.

    Args:
        workspace: where images and catalog are written.
        path: folder, archive or image file.
        labels: source of the categories.
        options: `min_side` and `max_bytes` apply.

    Raises:
        FototecaError: `path` has no images, an archive is damaged, or a label is not a category of the workspace.
    """
    with open_folder(workspace, path) as folder:
        provenances = list_local_images(folder, labels, workspace.settings, name=path.name)
        return ingest_provenances(workspace, provenances, options, total=len(provenances), local=True)
