"""The report's plots of where a model's features put the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fototeca.analysis.cache import cached_json
from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.features.embed_page import PredictedLabels, point_colorings
from fototeca.analysis.features.embedding import (
    compute_embedding,
    read_predicted_labels,
    sample_manifest_rows,
    summarize_embedding,
)
from fototeca.analysis.features.extract import FeatureArray, read_features
from fototeca.analysis.plots.charts import scatter_chart
from fototeca.analysis.plots.svg import class_style, marker
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import details, heading, join, link, note, paragraph, tag
from fototeca.analysis.tabular import Table, flatten_values
from fototeca.curate.manifest import ManifestRow
from fototeca.train.runs import Run

COMBINED = 12
"""Combinations of several categories that have a colour and shape of their own."""

PLACED = 1500
"""Images in the plot of features at most: t-SNE of more would take most of the report's time."""


def embedding(story: ReportContext, run: Run) -> Markup:
    """PCA and t-SNE of the features, and what is measured beside them."""
    words, wanted = story.words, sample_manifest_rows(story.manifest, PLACED)
    known = read_features(story.workspace, run, wanted)
    if known is None:
        return join([heading(words("features.title"), 4), paragraph(words("features.none"))])
    rows, gone = known[0], len(wanted) - len(known[0])
    asked = [story.manifest.sha256, [row.image_id for row in rows]]
    found: dict[str, Any] = cached_json(story.workspace, run, "embedding", asked, lambda: _place(*known))
    labels, groups = label_groups(story, rows)
    drawings = []
    for name, points in found["places"].items():
        alt = words(f"features.{name}.alt", n=len(rows), run=run.id)
        drawing = scatter_chart(f"{name}-{run.id}", np.asarray(points), labels, groups, alt)
        share = words.percent(sum(found["explained_variance"][:2]))
        drawings.append(story.draw(drawing, words(f"features.{name}.caption", share=share)))
    points, said = np.asarray(found["places"]["tsne"]), read_predicted_labels(run, rows)
    drawings.append(_by_prediction(story, run, said, points, groups))
    told = point_colorings(rows, said, story.manifest.categories)
    drawings += [_coloured(story, run, by, *told[by], points) for by in ("error", "split")]
    story.numbers.append(Table(f"features-{run.id}", ("what", "value"), tuple(flatten_values(_measured(found)))))
    numbers = link(words("figure.data"), story.row(f"features-{run.id}", 0))
    knn = words("features.knn", accuracy=words.percent(found["knn_accuracy"]), silhouette=words.number(found["silhouette"], 2))
    return join(
        [
            heading(words("features.title"), 4),
            paragraph(story.lead(words("features.intro", n=len(rows), dimension=found["dimension"]), f"features-{run.id}")),
            note(words("features.gone", n=gone), "warn") if gone else Markup(""),
            tag("div", join(drawings), class_="columns"),
            details(_named(story, groups), legend(groups), opened=len(groups) <= 24),
            paragraph(join([knn, " ", tag("span", numbers, class_="source")])),
            paragraph(words("features.umap", run=run.id)),
        ]
    )


def label_groups(story: ReportContext, rows: Sequence[ManifestRow]) -> tuple[list[str], tuple[str, ...]]:
    """What each image is coloured by, and the colours' names in order: the categories, and where images carry several or none
    the COMBINED most frequent combinations, the others together."""
    told, categories = [story.label(row.label) for row in rows], story.manifest.categories
    others = Counter(name for name in told if name not in categories)
    shown = (*categories, *(name for name, _ in others.most_common(COMBINED)))
    if len(others) <= COMBINED:
        return told, shown
    rest = story.words("features.rest")
    return [name if name in shown else rest for name in told], (*shown, rest)


def _named(story: ReportContext, groups: Sequence[str]) -> str:
    """What the legend is of."""
    n = len(story.manifest.categories)
    return story.words("features.legend", n=n) if len(groups) == n else story.words("features.combined", n=len(groups))


def _measured(found: dict[str, Any]) -> dict[str, Any]:
    """What is said of the features, without the places of the images."""
    return {name: value for name, value in found.items() if name != "places"}


def _by_prediction(story: ReportContext, run: Run, said: PredictedLabels, points: FloatArray, groups: tuple[str, ...]) -> Markup:
    """t-SNE once more, with what the run said, in the colours that the labels have."""
    words = story.words
    none, rest = words("features.error.not_asked"), words("features.rest")
    told = [none if one is None else name if (name := story.label(one)) in groups else rest for one in said]
    names = (*groups, *(name for name in (rest, none) if name in told and name not in groups))
    alt, more = words("features.prediction.alt", run=run.id), len(names) > len(groups)
    drawing = scatter_chart(f"tsne-prediction-{run.id}", points, told, names, alt, legend=more)
    return story.draw(drawing, words("features.prediction.caption"), f"data/runs/{run.id}")


def _coloured(story: ReportContext, run: Run, by: str, groups: Sequence[str], found: Sequence[str], points: FloatArray) -> Markup:
    """t-SNE once more, with what the run got right and wrong, or with the splits."""
    words = story.words
    names = {name: words(f"split.{name}" if by == "split" else f"features.error.{name.replace(' ', '_')}") for name in found}
    alt = words(f"features.{by}.alt", n=sum(group == "wrong" for group in groups), run=run.id)
    told = [names[group] for group in groups]
    drawing = scatter_chart(f"tsne-{by}-{run.id}", points, told, list(names.values()), alt, legend=True)
    return story.draw(drawing, words(f"features.{by}.caption"), f"data/runs/{run.id}")


def _place(rows: Sequence[ManifestRow], features: FeatureArray) -> dict[str, Any]:
    """What is drawn and said of the embedding, as JSON values."""
    found = compute_embedding(rows, features)
    return {"places": {name: points.tolist() for name, points in found.places.items()}, **summarize_embedding(found)}


def legend(categories: tuple[str, ...]) -> Markup:
    """Colour and shape of every category."""
    items = []
    for number, name in enumerate(categories):
        colour, shape = class_style(number)
        drawn = Markup('<svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">{}</svg>').format(
            Markup(marker(6, 6, shape, colour))
        )
        items.append(tag("li", join([drawn, " ", name])))
    return tag("ul", join(items), class_="legend")
