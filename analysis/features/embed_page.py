"""The interactive page of `embed`: one offline HTML file that shows the image under the pointer, in a choice of colors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.file_names import read_file_names
from fototeca.analysis.images import data_uri, thumbnail
from fototeca.analysis.plots.svg import PALETTE
from fototeca.analysis.templates import render_page
from fototeca.core.console import escape_values
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow

PredictedLabels = Sequence[str | None]
"""Predicted label of each image; None without prediction, empty for no category."""

THUMBNAIL_SIZE = 72
"""Side of a thumbnail in pixels: 5,000 of them take about 8 MB."""

METHOD_NAMES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}
"""Names of the methods, in the order of the menu."""


def write_embedding_page(
    workspace: Workspace,
    facts: Mapping[str, Any],
    rows: Sequence[ManifestRow],
    places: Mapping[str, FloatArray],
    predicted: PredictedLabels,
    categories: Sequence[str],
    path: Path,
) -> Path:
    """Write the page of rows at places (N, 2) by method; `facts`: run, dimension, knn_accuracy and silhouette."""
    knn = "unknown" if facts["knn_accuracy"] is None else f"{facts['knn_accuracy']:.1%}"
    silhouette = "unknown" if facts["silhouette"] is None else f"{facts['silhouette']:.2f}"
    file_names = read_file_names(workspace)
    document = {
        "coordinates": {METHOD_NAMES[name]: _unit_square(places[name]) for name in METHOD_NAMES if name in places},
        "colorings": _numbered_colorings(rows, predicted, categories),
        "palette": PALETTE,
        "names": [file_names.get(row.image_id) or row.image_id[:12] for row in rows],
        "images": [_draw_image(workspace, row) for row in rows],
    }
    summary = (
        f"{len(rows)} training and validation images, placed by {facts['dimension']} features. Nearest-neighbor accuracy "
        f"(majority of a validation image's ten nearest training images): {knn}; silhouette: {silhouette}. These figures are "
        "more reliable than the plots: t-SNE and UMAP preserve neighbors, not distances."
    )
    text = json.dumps(escape_values(document), ensure_ascii=False, separators=(",", ":"))
    data = text.replace("<", "\u003c")  # no </script> in a name
    write_text(path, render_page("embed.html.j2", title=facts["run"], summary=summary, data=Markup(data)))
    return path


def _unit_square(points: FloatArray) -> list[list[float]]:
    """Return places scaled to 0…1 with one scale for both axes, to four decimals."""
    low, span = points.min(axis=0), float(np.ptp(points, axis=0).max()) or 1.0
    middle = (1 - np.ptp(points, axis=0) / span) / 2
    return [[round(float(value), 4) for value in point] for point in (points - low) / span + middle]


def point_colorings(
    rows: Sequence[ManifestRow], predicted: PredictedLabels, categories: Sequence[str]
) -> dict[str, tuple[list[str], list[str]]]:
    """Return for each coloring the group of each image and the names of the groups in order."""
    labels = ["not predicted" if label is None else label for label in predicted]
    hits = ["right" if label == row.label else "wrong" for row, label in zip(rows, predicted, strict=True)]
    errors = ["not predicted" if label is None else hit for hit, label in zip(hits, predicted, strict=True)]
    choices: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "label": ([row.label for row in rows], categories),
        "prediction": (labels, categories),
        "error": (errors, ("right", "wrong")),
        "split": ([row.split for row in rows], ("train", "val")),
    }
    colorings = {}
    for name, (values, first) in choices.items():
        groups = [value or "none" for value in values]
        colorings[name] = (groups, [*dict.fromkeys([*(group for group in first if group in groups), *groups])])
    return colorings


def _numbered_colorings(
    rows: Sequence[ManifestRow], predicted: PredictedLabels, categories: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the colorings as the page reads them: the groups, and the index of each image's group."""
    return {
        name: {"groups": groups, "of": [groups.index(value) for value in values]}
        for name, (values, groups) in point_colorings(rows, predicted, categories).items()
    }


def _draw_image(workspace: Workspace, row: ManifestRow) -> str:
    """Return a thumbnail as a data URI; empty if the file is missing."""
    small = thumbnail(workspace.root / row.path, THUMBNAIL_SIZE)
    return data_uri(small, 60) if small else ""
