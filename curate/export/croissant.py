"""Describe a version as a Croissant 1.1 document: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html."""

from __future__ import annotations

import hashlib
from typing import Any

from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.curate.manifest import MANIFEST_COLUMNS, SPLITS, Manifest

TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path",
    "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
    "transform",
)  # fmt: skip
"""Terms of the Croissant vocabulary that the documents use."""

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "sc": "https://schema.org/",
}
"""JSON-LD context of a Croissant 1.1 document."""

SPLIT_URLS = {
    "train": "cr:TrainingSplit",
    "val": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}
"""Croissant ids of the splits."""

TYPES = {"width": "sc:Integer", "height": "sc:Integer", "image_url": "sc:URL", "page_url": "sc:URL"}
"""Data types of the columns that are not plain text."""


def croissant_document(manifest: Manifest, table: bytes) -> dict[str, Any]:
    """Return the JSON-LD document. `table`: the bytes of manifest.csv, whose paths point to `images/`."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest.dataset_name,
        "description": f"{len(manifest.rows)} images in {len(manifest.categories)} categories. {manifest.note}".strip(),
        "version": f"{int(manifest.version[1:])}.0.0",
        "datePublished": manifest.created,
        "license": sorted({_license(row.license) for row in manifest.rows}),
        "url": f"urn:sha256:{manifest.sha256}",
        "citeAs": f"{manifest.dataset_name} {manifest.version}, sha256:{manifest.sha256}",
        "distribution": _distribution(table, sorted({image_type(row.path) for row in manifest.rows})),
        "recordSet": [_splits(), _labels(manifest), _images(manifest)],
    }


def _license(name: str) -> str:
    """Return the SPDX page of a license, or its name if it has none."""
    return name if name == "unknown" or name.startswith("LicenseRef-") else f"https://spdx.org/licenses/{name}.html"


def image_type(path: str) -> str:
    """Return the media type of a stored image by its suffix."""
    ending = path.rpartition(".")[2]
    return f"image/{ {'jpg': 'jpeg', 'tif': 'tiff', 'ppm': 'x-portable-anymap'}.get(ending, ending) }"


def _distribution(table: bytes, formats: list[str]) -> list[dict[str, Any]]:
    """Describe the files: the table with its digest, and the images, whose digests are their ids in the table."""
    return [
        {
            "@type": "cr:FileObject",
            "@id": "manifest",
            "name": "manifest",
            "description": "One row per image; sha256 is the digest of its file, image_id that of the collected file.",
            "contentUrl": "manifest.csv",
            "encodingFormat": "text/csv",
            "contentSize": f"{len(table)} B",
            "sha256": hashlib.sha256(table).hexdigest(),
        },
        {
            "@type": "cr:FileSet",
            "@id": "image-files",
            "name": "image-files",
            "description": "The images, named by their SHA-256.",
            "encodingFormat": formats,
            "includes": "images/*",
        },
    ]


def _splits() -> dict[str, Any]:
    """Describe the splits as an enumeration."""
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": name, "splits/url": SPLIT_URLS[name]} for name in SPLITS],
    }


def _labels(manifest: Manifest) -> dict[str, Any]:
    """Describe the categories as an enumeration."""
    return {
        "@type": "cr:RecordSet",
        "@id": "categories",
        "name": "categories",
        "dataType": "sc:Enumeration",
        "key": {"@id": "categories/name"},
        "field": [{"@type": "cr:Field", "@id": "categories/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"categories/name": name} for name in manifest.categories],
    }


def _images(manifest: Manifest) -> dict[str, Any]:
    """Describe a record per row of the table, with the content of the image."""
    fields = [_column(name, manifest) for name in MANIFEST_COLUMNS]
    sha256 = {
        "@type": "cr:Field",
        "@id": "images/sha256",
        "name": "sha256",
        "description": "SHA-256 of the image's file.",
        "dataType": "sc:Text",
        "equivalentProperty": "sc:sha256",
        "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": "sha256"}},
    }
    content = {
        "@type": "cr:Field",
        "@id": "images/content",
        "name": "content",
        "description": "The image.",
        "dataType": "sc:ImageObject",
        "source": {"fileSet": {"@id": "image-files"}, "extract": {"fileProperty": "content"}},
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "key": {"@id": "images/image_id"},
        "field": [*fields, sha256, content],
    }


def _column(name: str, manifest: Manifest) -> dict[str, Any]:
    """Describe a column of the table as a field."""
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "dataType": TYPES.get(name, "sc:Text"),
        "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": name}},
    }
    if name == "path":  # connects a row to its image by file name; readers apply the pattern to both sides
        field["source"]["transform"] = {"regex": r"^(?:images/)?(.+)$"}
        field["references"] = {"fileSet": {"@id": "image-files"}, "extract": {"fileProperty": "filename"}}
    if name == "split":
        field["references"] = {"field": {"@id": "splits/name"}}
    if name == "label" and manifest.task == "single":
        field["references"] = {"field": {"@id": "categories/name"}}
    if name == "label" and manifest.task == "multi":
        field["repeated"] = True
        field["source"]["transform"] = {"separator": LABEL_SEPARATOR}
    return field
