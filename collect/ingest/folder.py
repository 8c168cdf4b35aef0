"""Collect local images: a folder, an archive or one file."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.archives import OpenFolder, open_folder
from fototeca.collect.files.dataset_splits import is_shard
from fototeca.collect.files.embedded_tables import (
    EmbeddedLabels,
    add_rights,
    describe_unknown,
    read_embedded_tables,
    write_label_table,
)
from fototeca.collect.files.exclude import Exclude
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.local_files import list_local_images
from fototeca.collect.files.sidecars import read_sidecars
from fototeca.collect.formats.coco_labels import read_coco_labels
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.core.class_mapping import read_mapping
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.label_rows import Classes
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings
from fototeca.core.workspace import Workspace
from fototeca.vision.formats import SUFFIXES


def collect_folder(workspace: Workspace, path: Path, options: FolderOptions, fetch: FetchOptions) -> CollectSummary:
    """Ingest every image below `path`: a folder, a zip, tar or parquet file, or one image. The files stay unchanged.

    Without an option for labels, those of `metadata.jsonl`, `metadata.csv` and `metadata.parquet` (Hugging Face), `labels.csv`
    and `manifest.csv`, COCO files of whole images (exports of `curate export`) and files beside each image (webdataset) are
    used, with splits, authors and licenses.

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
        exclude.report_unused()
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
    labels = EmbeddedLabels()
    if not (options.category or options.label_from_folder or options.labels):
        labels = _read_labels(folder.path, source, options, workspace.settings, exclude)
    if not labels.records:
        return list_local_images(workspace, folder, options, passed_over, exclude, source=source)
    images = len({record.path for record in labels.records})
    notify(f"fototeca: labels come from the tables of the dataset, for {count_of(images, 'image')}")
    passed_over.merge(labels.passed_over)
    table = write_label_table(workspace, folder.path, labels)
    used = [folder.path / name for name in labels.files]
    try:
        with_table = replace(options, labels=table)
        places = list_local_images(workspace, folder, with_table, passed_over, exclude, source=source, used=used)
        return add_rights(places, labels.records)
    finally:
        shutil.rmtree(table.parent)


def _read_labels(folder: Path, source: Path, options: FolderOptions, settings: Settings, exclude: Exclude) -> EmbeddedLabels:
    """Return what the tables, COCO files or sidecars of a dataset say of its images, if one of their classes is a category.

    A line names their classes otherwise, unless a mapping of folders is given.
    """
    classes = Classes(settings, read_mapping(options.mapping, settings) if options.mapping else {})
    unknown: dict[str, None] = {}
    readers = (read_embedded_tables, read_coco_labels, partial(read_sidecars, source=source))
    for read in readers:
        labels = read(folder, is_excluded=exclude)
        known, others = labels.classes(classes)
        if known:
            return labels
        if not all(name.endswith(".txt") for name in labels.files):  # captions and boxes are text files too
            unknown = unknown or others
    if unknown and not options.has_labels:
        notify(
            f"fototeca: no class in the tables of the dataset is a category ({describe_unknown(unknown)}), so its images get no"
            " label; name each class in a file for --map"
        )
    return EmbeddedLabels()
