"""Collect detection sets: boxes as crops, or images labelled with the classes of their boxes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from fototeca.collect.catalog import Provenance
from fototeca.collect.catalog.local_urls import local_url
from fototeca.collect.files.archives import OpenFolder, open_folder
from fototeca.collect.files.dataset_splits import describe_splits
from fototeca.collect.files.exclude import Exclude
from fototeca.collect.files.local_files import decode_file_name, read_local_file
from fototeca.collect.files.originals import original_name
from fototeca.collect.formats.annotations import AnnotatedImage, Box, DatasetFiles
from fototeca.collect.formats.crops import add_margin, cut_boxes
from fototeca.collect.formats.detections import DetectionOptions, read_detections
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.responses import FetchError
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.licenses import to_spdx
from fototeca.collect.rights import Rights, state_rights
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.paths import inside
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
        options: format, use of the boxes, mapping, splits, files to exclude and rights.
        fetch: `min_side` and `max_bytes` apply.

    Raises:
        FototecaError: there are no annotations, none of the classes is a category, or an archive is damaged.
    """
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "give the folder or archive of the detection set")
    passed_over, exclude = PassedOver(), Exclude(options.exclude)
    rights = state_rights(SOURCE, source_name=options.source_name, license=options.license, author=options.author)
    with open_folder(workspace, path, passed_over, exclude) as folder:
        files = DatasetFiles(folder.path.resolve(), passed_over, exclude)
        exclude.report_unused()
        images = read_detections(files, options, workspace.settings, passed_over)
        _offer_splits(images, options)
        job = _Job(workspace, path, folder, options, rights, fetch, passed_over)
        provenances = job.crops(images) if options.use == "crops" else job.labelled_images(images)
        summary = ingest_provenances(workspace, provenances, fetch, local=True, passed_over=passed_over)
    shutil.rmtree(job.crop_folder, ignore_errors=True)
    return summary


def _offer_splits(images: list[AnnotatedImage], options: DetectionOptions) -> None:
    """Say that the set has splits. FototecaError if they are to be kept and it has none."""
    line = describe_splits({image.file: image.split for image in images if image.split}, are_kept=options.keep_splits)
    if line:
        notify(f"fototeca: {line}")
    elif options.keep_splits:
        hint = "its folders, annotation files or lists must be named train, val or test"
        raise FototecaError("the detection set brings no splits to keep", hint)


@dataclass(frozen=True)
class _Job:
    """One set that is collected."""

    workspace: Workspace
    path: Path
    folder: OpenFolder
    """The set itself, or the files of its archive."""

    options: DetectionOptions
    rights: Rights
    fetch: FetchOptions
    passed_over: PassedOver

    @property
    def crop_folder(self) -> Path:
        """Folder of the crops, which depends on the set and the margin only."""
        identity = f"{self.path.resolve()} {self.options.margin}"
        return self.workspace.cache / "crops" / hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]

    def crops(self, images: list[AnnotatedImage]) -> Iterator[Provenance]:
        """Write the crops of each image and yield their provenance; they share the split group of their image."""
        rank = 0
        for image in images:
            if not image.boxes:
                self.passed_over.add("without-boxes", image.file)
            for number, (box, png) in self._cut(image):
                name = f"{self.folder.file_names.get(image.file, image.file)}#{number}"
                if isinstance(png, str):
                    self.passed_over.add(png, name)
                    continue
                file = inside(self.crop_folder, f"{image.file}#{number}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png)  # complete before the candidate is read; a resumed run writes it again
                yield replace(
                    self._provenance(image, box.name, rank), url=local_url(file.resolve()), file_name=decode_file_name(name)
                )
                rank += 1

    def _cut(self, image: AnnotatedImage) -> Iterator[tuple[int, tuple[Box, bytes | str]]]:
        """Yield the number of each box, from 1, with its crop, or with the reason why it has none."""
        numbered = list(enumerate(image.boxes, 1))
        wanted = [(number, box) for number, box in numbered if not box.flag or box.flag in self.options.take]
        for number, box in numbered:
            if (number, box) not in wanted:
                yield number, (box, f"{box.flag}-box")
        if not wanted:
            return
        try:
            data = read_local_file(local_url(self.folder.path.resolve() / image.file), self.fetch.max_bytes)
        except FetchError as error:
            yield from ((number, (box, error.reason)) for number, box in wanted)
            return
        boxes = tuple(add_margin(box, self.options.margin) for _, box in wanted)
        cut = cut_boxes(data, replace(image, boxes=boxes), self.fetch.max_pixels)
        yield from ((number, result) for (number, _), result in zip(wanted, cut, strict=True))

    def labelled_images(self, images: list[AnnotatedImage]) -> Iterator[Provenance]:
        """Yield the images with the categories of their boxes; in single tasks those of exactly one category."""
        is_single = self.workspace.settings.task == "single"
        for rank, image in enumerate(images):
            categories = sorted({box.name for box in image.boxes})
            if not categories:
                self.passed_over.add("without-boxes", image.file)
            elif is_single and len(categories) > 1:
                self.passed_over.add("several-categories", f"{image.file} ({', '.join(categories)})")
            else:
                yield self._provenance(image, LABEL_SEPARATOR.join(categories), rank)

    def _provenance(self, image: AnnotatedImage, label: str, rank: int) -> Provenance:
        query = decode_file_name(self.path.name)
        scope = self.options.source_name or query
        original = original_name(PurePosixPath(image.file).name)
        license_found = self.rights.license_found or image.license
        return Provenance(
            local_url(self.folder.path.resolve() / image.file),
            self.rights.source,
            label,
            query=query,
            rank=rank,
            page_url=image.page_url,
            author=self.rights.author,
            license=self.rights.license if self.rights.license_found else to_spdx(license_found),
            license_found=license_found,
            file_name=decode_file_name(self.folder.file_names.get(image.file, image.file)),
            split=image.split if self.options.keep_splits else "",
            split_group=f"{scope}/{image.file}",
            original=f"{scope}/{original}" if original else "",
        )
