"""Collect local images: a folder, an archive or one file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fototeca.collect.files.archives import open_folder
from fototeca.collect.files.embedded_tables import Record, add_rights, known_records, read_embedded_records, write_label_table
from fototeca.collect.files.exclude import Exclude
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.local_files import list_local_images
from fototeca.collect.files.sidecars import read_sidecars
from fototeca.collect.formats.coco_labels import read_coco_labels
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.core.console import notify
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings
from fototeca.core.workspace import Workspace


def collect_folder(workspace: Workspace, path: Path, options: FolderOptions, fetch: FetchOptions) -> CollectSummary:
    """Ingest every image below `path`: a folder, a zip, tar or parquet file, or one image. The files stay unchanged.

    Without an option for labels, those of `metadata.jsonl` and `metadata.csv` (Hugging Face), `labels.csv` and `manifest.csv`
    and COCO files of whole images (exports of `curate export`)
    inside the folder are used, with splits, authors and licenses.

    Args:
        workspace: where images and catalog are written.
        path: folder, archive or image file.
        options: source of the categories, files to exclude, splits, groups and rights.
        fetch: `min_side` and `max_bytes` apply.

    Raises:
        FototecaError: `path` has no images, an archive is damaged, or a label is not a category of the workspace.
    """
    passed_over, exclude = PassedOver(), Exclude(options.exclude)
    with open_folder(workspace, path, passed_over, exclude) as folder:
        records = {} if options.has_labels else _read_records(folder.path, workspace.settings)
        table = write_label_table(workspace, folder.path, records) if records else None
        if table:
            notify(f"fototeca: labels come from the tables of the dataset, for {len(records)} images")
            options = replace(options, labels=table)
        try:
            provenances = list_local_images(workspace, folder, options, passed_over, exclude, source=path)
        finally:
            if table:
                shutil.rmtree(table.parent)
        provenances = add_rights(provenances, records) if records else provenances
        for pattern in exclude.unused():
            notify(f"fototeca: --exclude {pattern} matched no file")
        return ingest_provenances(workspace, provenances, fetch, total=len(provenances), local=True, passed_over=passed_over)


def _read_records(folder: Path, settings: Settings) -> Mapping[str, Record]:
    """Return label, split and rights of each image from the tables, COCO files or sidecars of a dataset."""
    return (
        read_embedded_records(folder, settings)
        or known_records(read_coco_labels(folder), settings)
        or known_records(read_sidecars(folder), settings)
    )
