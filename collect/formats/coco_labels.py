"""Labels of whole images in COCO files, as `curate export --format coco` writes them."""

from __future__ import annotations

from pathlib import Path

from fototeca.collect.formats.annotations import AnnotatedImage, DatasetFiles
from fototeca.collect.formats.coco import read_coco
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR


def read_coco_labels(folder: Path) -> dict[str, dict[str, str]]:
    """Return label, split, license and page of each image, by path; empty unless every box is a whole image.

    Sets with other boxes are for `fototeca collect detections`.
    """
    if not (folder / "annotations").is_dir():
        return {}
    try:
        images = read_coco(DatasetFiles(folder, PassedOver()), PassedOver())
    except FototecaError:
        return {}
    if not all(_is_whole(image) for image in images):
        return {}
    return {
        image.file: {
            "label": LABEL_SEPARATOR.join(sorted({box.name for box in image.boxes})),
            "split": image.split,
            "license": image.license,
            "page_url": image.page_url,
        }
        for image in images
    }


def _is_whole(image: AnnotatedImage) -> bool:
    whole = (0, 0, image.width, image.height)
    return all((box.left, box.top, box.right, box.bottom) == whole for box in image.boxes)
