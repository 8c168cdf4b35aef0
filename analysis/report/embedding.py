"""Plots of a run's features in the report: PCA and t-SNE, colored by label, prediction, error and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from shlex import quote
from typing import Any

import numpy as np
from markupsafe import Markup

from fototeca.analysis.cache import NUMBER, cached_json
from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.features.embed_page import PredictedLabels, point_colorings
from fototeca.analysis.features.embedding import (
    compute_embedding,
    read_predicted_labels,
    sample_manifest_rows,
    summarize_embedding,
)
from fototeca.analysis.features.extract import FeatureArray, read_inference_features
from fototeca.analysis.plots.charts import scatter_chart
from fototeca.analysis.plots.svg import class_style, marker
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import columns, details, join, legend, note, paragraph
from fototeca.analysis.tabular import Table, flatten_values
from fototeca.core.kinds import Choice, Integer, ListOf, MapOf, Number, Record
from fototeca.curate.manifest import ManifestRow
from fototeca.train.runs import Run

MAX_COMBINATIONS = 12
"""Combinations of several categories with a color and shape of their own."""

MAX_IMAGES = 1500
"""Images in a plot; t-SNE of more would take most of the report's time."""

MAX_OPEN_LEGEND = 24
"""Entries up to which the legend is unfolded."""


def render_embedding(context: ReportContext, run: Run) -> Markup:
    """Return PCA and t-SNE plots of the run's features, with kNN accuracy and silhouette."""
    texts = context.texts
    sampled = sample_manifest_rows(context.manifest, MAX_IMAGES)
    present = read_inference_features(context.workspace, run, sampled)
    if present is None:
        return paragraph(texts("features.none"))
    rows, missing = present[0], len(sampled) - len(present[0])
    question = [context.manifest.sha256, [row.image_id for row in rows]]
    facts: dict[str, Any] = cached_json(
        context.workspace, run, "embedding", _facts_kind(len(present[0])), question, lambda: _embed(*present)
    )
    labels, groups = label_groups(context, rows)
    table = f"features-{run.id}"
    measured = {name: value for name, value in facts.items() if name != "places"}
    context.data_tables.append(Table(table, ("name", "value"), tuple(flatten_values(measured))))
    accuracy, silhouette = texts.percent(facts["knn_accuracy"]), texts.number(facts["silhouette"], 2)
    knn = texts("features.knn", accuracy=accuracy, silhouette=silhouette)
    intro = texts("features.intro", n=len(rows), dimension=facts["dimension"])
    return join(
        [
            paragraph(context.with_data_link(intro, table)),
            note(texts("features.missing", n=missing), "warn") if missing else "",
            columns(_plots(context, run, rows, facts, labels, groups)),
            details(_legend_title(context, groups), _legend(groups), is_open=len(groups) <= MAX_OPEN_LEGEND),
            paragraph(context.with_data_link(knn, table)),
            paragraph(texts("features.umap", run=quote(run.id))) if not context.clean else "",
        ]
    )


def _facts_kind(n: int) -> Record:
    """Return the form of the cached facts about n images."""
    points = ListOf(ListOf(Number(), low=2, high=2), low=n, high=n)
    return Record(
        {
            "places": MapOf(Choice(("pca", "tsne", "umap")), points),
            "images": Integer(),
            "dimension": Integer(),
            "explained_variance": ListOf(Number()),
            "knn_accuracy": Number(0, 1),
            "silhouette": NUMBER,
        }
    )


def _plots(
    context: ReportContext,
    run: Run,
    rows: Sequence[ManifestRow],
    facts: dict[str, Any],
    labels: Sequence[str],
    groups: tuple[str, ...],
) -> list[Markup]:
    """Return the plots of each method by label, then those of t-SNE by prediction, error and split."""
    texts, drawings = context.texts, []
    share = texts.percent(sum(facts["explained_variance"][:2]))
    for name, points in facts["places"].items():
        alt = texts(f"features.{name}.alt", n=len(rows), run=context.run_name(run.id))
        drawing = scatter_chart(f"{name}-{run.id}", np.asarray(points), labels, groups, alt)
        drawings.append(context.add_figure(drawing, texts(f"features.{name}.caption", share=share)))
    points, predictions = np.asarray(facts["places"]["tsne"]), read_predicted_labels(run, rows)
    drawings.append(_prediction_plot(context, run, predictions, points, groups))
    colors = point_colorings(rows, predictions, context.manifest.categories)
    return drawings + [_colored_plot(context, run, by, *colors[by], points) for by in ("error", "split")]


def label_groups(context: ReportContext, rows: Sequence[ManifestRow]) -> tuple[list[str], tuple[str, ...]]:
    """Return the color group of each image, and the groups in order.

    Groups are the categories; for images with several or no categories the MAX_COMBINATIONS most frequent combinations, and
    one group for the others.
    """
    labels, categories = [context.label_text(row.label) for row in rows], context.manifest.categories
    combinations = Counter(name for name in labels if name not in categories)
    groups = (*categories, *(name for name, _ in combinations.most_common(MAX_COMBINATIONS)))
    if len(combinations) <= MAX_COMBINATIONS:
        return labels, groups
    rest = context.texts("features.rest")
    return [name if name in groups else rest for name in labels], (*groups, rest)


def _legend_title(context: ReportContext, groups: Sequence[str]) -> str:
    n = len(context.manifest.categories)
    return context.texts("features.legend", n=n) if len(groups) == n else context.texts("features.combined", n=len(groups))


def _prediction_plot(
    context: ReportContext, run: Run, predictions: PredictedLabels, points: FloatArray, groups: tuple[str, ...]
) -> Markup:
    """Return t-SNE colored by prediction, in the colors of the labels."""
    texts = context.texts
    unpredicted, rest = texts("features.error.not_predicted"), texts("features.rest")
    names = [unpredicted if label is None else context.label_text(label) for label in predictions]
    names = [name if name in groups or name == unpredicted else rest for name in names]
    extended = (*groups, *(name for name in (rest, unpredicted) if name in names and name not in groups))
    alt, has_more = texts("features.prediction.alt", run=context.run_name(run.id)), len(extended) > len(groups)
    drawing = scatter_chart(f"tsne-prediction-{run.id}", points, names, extended, alt, legend=has_more)
    return context.add_figure(drawing, texts("features.prediction.caption"), f"data/runs/{run.id}")


def _colored_plot(
    context: ReportContext, run: Run, by: str, groups: Sequence[str], order: Sequence[str], points: FloatArray
) -> Markup:
    """Return t-SNE colored `by` error or split."""
    texts = context.texts
    names = {name: texts(f"split.{name}" if by == "split" else f"features.error.{name.replace(' ', '_')}") for name in order}
    alt = texts(f"features.{by}.alt", n=sum(group == "wrong" for group in groups), run=context.run_name(run.id))
    labels = [names[group] for group in groups]
    drawing = scatter_chart(f"tsne-{by}-{run.id}", points, labels, list(names.values()), alt, legend=True)
    return context.add_figure(drawing, texts(f"features.{by}.caption"), f"data/runs/{run.id}")


def _embed(rows: Sequence[ManifestRow], features: FeatureArray) -> dict[str, Any]:
    """Return coordinates by method and the embedding's facts, as JSON values."""
    embedding = compute_embedding(rows, features)
    coordinates = {name: points.tolist() for name, points in embedding.places.items()}
    return {"places": coordinates, **summarize_embedding(embedding)}


def _legend(groups: tuple[str, ...]) -> Markup:
    """Return color and shape of each group."""
    entries = []
    for index, name in enumerate(groups):
        color, shape = class_style(index)
        entries.append((Markup(marker(6, 6, shape, color)), name))
    return legend(entries)
