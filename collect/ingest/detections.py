"""Collect detection sets: boxes as crops, or images labelled with the classes of their boxes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.archives import open_folder
from fototeca.collect.files.local_files import local_url, read_local_file
from fototeca.collect.formats.annotations import AnnotatedImage, DatasetFiles
from fototeca.collect.formats.crops import add_margin, cut_boxes
from fototeca.collect.formats.detections import ANNOTATION_SUFFIXES, DetectionOptions, read_detections
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.responses import FetchError
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.licenses import to_spdx
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace

SOURCE = "detections"


def collect_detections(workspace: Workspace, path: Path, options: DetectionOptions, fetch: FetchOptions) -> CollectSummary:
    """Ingest a COCO, YOLO or Pascal VOC set.

    With `crops`, every box is a candidate or is counted in `passed_over`; with `presence`, every image is. Crops of one image
    share a split. Crops are written to the cache while the command runs; a killed run resumes.

    Args:
        workspace: where images and catalog are written.
        path: folder or archive with images and annotations.
        options: format, use of the boxes, mapping, splits and rights.
        fetch: `min_side` and `max_bytes` apply.

    Raises:
        FototecaError: there are no annotations, none of the classes is a category, or an archive is damaged.
    """
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "give the folder or archive of the detection set")
    passed_over = PassedOver()
    with open_folder(workspace, path, ANNOTATION_SUFFIXES) as folder:
        files = DatasetFiles(folder, list_files(folder))
        images = read_detections(files, options, workspace.settings, passed_over)
        _offer_splits(images, options)
        job = _Job(workspace, path, folder, options, fetch, passed_over)
        provenances = job.crops(images) if options.use == "crops" else job.labelled_images(images)
        summary = ingest_provenances(workspace, provenances, fetch, local=True, passed_over=passed_over)
    shutil.rmtree(job.crop_folder, ignore_errors=True)
    return summary
