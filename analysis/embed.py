"""`embed`: where a run's features put the images. t-SNE alone misleads, so neighbours and silhouette are measured beside it."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.charts import scatter_chart
from analysis.features import Features, nearest_training, run_features, unit
from analysis.metrics import Floats
from analysis.results import find_run
from curate.manifest import Manifest, Row, read_manifest
from workspace import FototecaError, Workspace, write_text

SEED = 0
"""Of the sample and of t-SNE."""

NEIGHBOURS = 10
"""The k of the kNN accuracy."""


@dataclass(frozen=True)
class Embedding:
    """Places of N images. `pca` and `tsne` are (N, 2); `explained` the share of variance of the first components."""

    rows: tuple[Row, ...]
    pca: Floats
    tsne: Floats
    explained: tuple[float, ...]
    dimension: int
    knn_accuracy: float | None
    silhouette: float | None


def embed_run(workspace: Workspace, run_id: str, *, limit: int = 5000, output: Path | None = None) -> dict[str, Any]:
    """Write `pca.svg`, `tsne.svg` (each with its CSV) and `embedding.csv`; returns the facts and the paths."""
    run = find_run(workspace, run_id)
    manifest = read_manifest(workspace, run.manifest_version)
    rows = sample_rows(manifest, limit)
    features = run_features(workspace, run, rows)
    if features is None:
        raise FototecaError(f"run {run.id} has no features of its own", "name one of the runs it was made from")
    found = embed_features(rows, features)
    folder = output or workspace.reports / "embed" / run.id
    labels = [row.label for row in found.rows]
    paths = []
    for name, points in (("pca", found.pca), ("tsne", found.tsne)):
        alt = f"{name} of {len(rows)} images by the features of {run.id}"
        paths += scatter_chart(name, points, labels, manifest.categories, alt).write(folder)
    write_text(folder / "embedding.csv", _csv(found))
    return {"run": run.id, **embedding_facts(found), "paths": [str(path) for path in (*paths, folder / "embedding.csv")]}


def embedding_facts(found: Embedding) -> dict[str, Any]:
    """What is measured beside the plot."""
    return {
        "images": len(found.rows),
        "dimension": found.dimension,
        "explained_variance": list(found.explained),
        "knn_accuracy": found.knn_accuracy,
        "silhouette": found.silhouette,
    }


def sample_rows(manifest: Manifest, limit: int) -> tuple[Row, ...]:
    """At most `limit` images of train and validation, drawn evenly over splits and labels; test stays unseen."""
    rows = [row for row in manifest.rows if row.split != "test"]
    if len(rows) <= limit:
        return tuple(rows)
    order = np.random.default_rng(SEED).permutation(len(rows))
    turns: dict[tuple[str, str], int] = defaultdict(int)
    ranked = []
    for position in order:
        row = rows[position]
        turns[row.split, row.label] += 1
        ranked.append((turns[row.split, row.label], int(position)))
    return tuple(rows[position] for position in sorted(position for _, position in sorted(ranked)[:limit]))


def embed_features(rows: Sequence[Row], features: Features) -> Embedding:
    """PCA and t-SNE of features (N, D), with the measures. FototecaError when there are too few images."""
    if len(rows) < 5:
        raise FototecaError(f"{len(rows)} images are too few to place", "freeze a version with more images")
    components, explained = principal_components(features, 50)
    return Embedding(
        rows=tuple(rows),
        pca=components[:, :2],
        tsne=tsne(components),
        explained=tuple(float(share) for share in explained[:10]),
        dimension=features.shape[1],
        knn_accuracy=knn_accuracy(rows, features),
        silhouette=_silhouette(rows, features),
    )


def principal_components(features: Features, count: int) -> tuple[Floats, Floats]:
    """The first components (N, count) of centred features and their shares of the variance; signs fixed so that runs agree."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if centred.shape[0] < centred.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        scores = vectors * np.sqrt(np.maximum(values, 0))
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        scores = centred @ vectors
    order = np.argsort(-values)[: min(count, *centred.shape)]
    kept = scores[:, order]
    kept *= np.where(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])] < 0, -1.0, 1.0)
    if kept.shape[1] == 1:
        kept = np.hstack([kept, np.zeros_like(kept)])
    total = float(np.maximum(values, 0).sum()) or 1.0
    return kept, np.maximum(values[order], 0) / total


def tsne(components: Floats) -> Floats:
    """t-SNE (van der Maaten and Hinton 2008) of the leading components, by openTSNE, from a PCA start; the same each time."""
    from openTSNE import TSNE

    n = len(components)
    perplexity = max(2.0, min(30.0, (n - 1) / 3.5))
    solver = TSNE(
        perplexity=perplexity,
        n_jobs=2,
        random_state=SEED,
        initialization="pca",
        neighbors="exact" if n <= 4000 else "annoy",
        negative_gradient_method="bh" if n <= 4000 else "fft",
    )
    return np.asarray(solver.fit(components), dtype=np.float64)


def knn_accuracy(rows: Sequence[Row], features: Features) -> float | None:
    """How often the majority of the ten nearest training images has a validation image's label; None without either."""
    train = [index for index, row in enumerate(rows) if row.split == "train"]
    val = [index for index, row in enumerate(rows) if row.split == "val"]
    if not train or not val:
        return None
    nearest = nearest_training(features[train], features[val], NEIGHBOURS)
    names, codes = np.unique([rows[index].label for index in train], return_inverse=True)
    votes = np.stack([np.bincount(codes[found], minlength=len(names)) for found in nearest])
    said = names[votes.argmax(axis=1)]
    return float(np.mean(said == np.array([rows[index].label for index in val])))


def _silhouette(rows: Sequence[Row], features: Features) -> float | None:
    """Mean silhouette of the labels by cosine (Rousseeuw 1987), on at most 2,000 images; None when there is one label."""
    from sklearn.metrics import silhouette_score

    labels = np.array([row.label for row in rows])
    if not 2 <= len(set(labels)) < len(labels):
        return None
    size = min(len(labels), 2000)
    chosen = np.random.default_rng(SEED).permutation(len(labels))[:size]
    if not 2 <= len(set(labels[chosen])) < size:
        return None
    return float(silhouette_score(unit(features)[chosen], labels[chosen], metric="cosine"))


def _csv(found: Embedding) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "label", "split", "pca_1", "pca_2", "tsne_1", "tsne_2"])
    for row, pca, point in zip(found.rows, found.pca, found.tsne, strict=True):
        writer.writerow([row.image_id, row.label, row.split, *(f"{value:.6g}" for value in (*pca, *point))])
    return text.getvalue()
