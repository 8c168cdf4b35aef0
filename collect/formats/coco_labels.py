"""Labels of whole images in COCO files, as `curate export --format coco` writes them."""

from __future__ import annotations

from pathlib import Path

from fototeca.collect.files.embedded_tables import EmbeddedLabels, Record
from fototeca.collect.formats.annotations import AnnotatedImage, DatasetFiles
from fototeca.collect.formats.coco import read_coco
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.vision.image_files import IsExcluded


def read_coco_labels(folder: Path, is_excluded: IsExcluded) -> EmbeddedLabels:
    """Return label, split, license and page of each image; empty unless every box is a whole image.

    Sets with other boxes are for `fototeca collect detections`.
    """
    if not (folder / "annotations").is_dir():
        return EmbeddedLabels()
    files, counted = DatasetFiles(folder, PassedOver(), is_excluded), PassedOver()
    try:
        images = read_coco(files, counted)
    except FototecaError:
        return EmbeddedLabels()
    if not all(_is_whole(image) for image in images):
        return EmbeddedLabels()
    return EmbeddedLabels([_record(image) for image in images], files.with_suffix(".json"), counted)


def _record(image: AnnotatedImage) -> Record:
    label = LABEL_SEPARATOR.join(sorted({box.name for box in image.boxes}))
    return Record(image.file, {"label": label, "split": image.split, "license": image.license, "page_url": image.page_url})


def _is_whole(image: AnnotatedImage) -> bool:
    whole = (0, 0, image.width, image.height)
    return all((box.left, box.top, box.right, box.bottom) == whole for box in image.boxes)
