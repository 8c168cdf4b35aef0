"""Collect local images: a folder, an archive or one file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.archives import OpenFolder, open_folder
from fototeca.collect.files.dataset_splits import is_shard
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
from fototeca.vision.formats import SUFFIXES


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
    provenances: list[Provenance] = []
    with ExitStack() as stack:
        for part in _find_shards(path, passed_over) or [path]:
            folder = stack.enter_context(open_folder(workspace, part, passed_over, exclude))
            provenances += _list_images(workspace, folder, options, passed_over, exclude, part)
        for pattern in exclude.unused():
            notify(f"fototeca: --exclude {pattern} matched no file")
        return ingest_provenances(workspace, provenances, fetch, total=len(provenances), local=True, passed_over=passed_over)


def _find_shards(path: Path, passed_over: PassedOver) -> list[Path]:
    """Return the tar files of a webdataset: a folder of shards without images. Its other files are counted as `data`."""
    files = sorted(path.iterdir()) if path.is_dir() else []
    shards = [file for file in files if file.is_file() and file.suffix == ".tar" and is_shard(file.stem)]
    others = [file for file in files if file not in shards]
    if not shards or any(file.is_dir() or file.suffix.lower() in SUFFIXES for file in others):
        return []
    for file in others:
        passed_over.add("data", file.name)
    return shards


def _list_images(
    workspace: Workspace, folder: OpenFolder, options: FolderOptions, passed_over: PassedOver, exclude: Exclude, source: Path
) -> list[Provenance]:
    """Return the provenance of the images of a folder, with labels and rights of the tables in it."""
    records = {} if options.has_labels else _read_records(folder.path, workspace.settings)
    if not records:
        return list_local_images(workspace, folder, options, passed_over, exclude, source=source)
    notify(f"fototeca: labels come from the tables of the dataset, for {len(records)} images")
    table = write_label_table(workspace, folder.path, records)
    try:
        with_table = replace(options, labels=table)
        return add_rights(list_local_images(workspace, folder, with_table, passed_over, exclude, source=source), records)
    finally:
        shutil.rmtree(table.parent)


def _read_records(folder: Path, settings: Settings) -> Mapping[str, Record]:
    """Return label, split and rights of each image from the tables, COCO files or sidecars of a dataset."""
    return (
        read_embedded_records(folder, settings)
        or known_records(read_coco_labels(folder), settings)
        or known_records(read_sidecars(folder), settings)
    )
