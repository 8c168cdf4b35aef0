"""CVAT for images 1.1: XML with the tags of each image (docs.cvat.ai/docs/manual/advanced/xml_format)."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from fototeca.core.errors import FototecaError
from fototeca.core.label_rows import LabelRow


def read_cvat(text: str, file: Path) -> list[LabelRow]:
    """Return one row for each image; lines are their numbers. FototecaError for other XML, and if images have only shapes."""
    try:
        root = fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text), forbid_dtd=True)  # decoded already
    except DefusedXmlException:  # entities may expand without end
        hint = "give annotations.xml as CVAT for images 1.1 exports it"
        raise FototecaError(f"{file} declares XML entities", hint) from None
    except (ParseError, ValueError, RecursionError) as error:
        raise FototecaError(f"{file} is no valid XML: {error}", "export it again") from None
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise FototecaError(f"{file} is XML, but not CVAT for images 1.1", "export the task as CVAT for images 1.1")
    if not root.findall("image/tag") and any(len(image) for image in images):
        raise FototecaError(f"{file} has shapes and no tags", "label whole images with tags, or collect it as detections")
    return [
        LabelRow(number, (image.get("name") or "",), tuple(dict.fromkeys(tag.get("label") or "" for tag in image.findall("tag"))))
        for number, image in enumerate(images, 1)
    ]
