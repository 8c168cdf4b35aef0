"""`embed`: two-dimensional embeddings of a run's features, with kNN accuracy and silhouette, since t-SNE alone misleads."""

from __future__ import annotations

import csv
import io
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.evaluation.predictions import find_run
from fototeca.analysis.features.embed_page import point_colorings, write_embedding_page
from fototeca.analysis.features.extract import FeatureArray, find_nearest_training, normalize_rows, read_features
from fototeca.analysis.plots.charts import scatter_chart
from fototeca.analysis.plots.figures import write_figures
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import Run, load_run_manifest

SEED = 0
"""Seed of the sample, of t-SNE and of UMAP."""

NUM_NEIGHBORS = 10
"""k of the kNN accuracy."""

PROGRESS_STEPS = 50
"""t-SNE steps between updates of the progress bar, as often as openTSNE computes its error anyway."""

SINGLE_THREAD_LIMIT = 4000
"""Images up to which t-SNE uses one thread: steps are so short that two threads mostly wait for each other (1,500 images
take 3 s of CPU time, and 19 s with two threads on a busy machine)."""


@dataclass(frozen=True)
class Embedding:
    """Embedding of N images: `places` (N, 2) by method, `explained` the shares of variance of the first components."""

    rows: tuple[ManifestRow, ...]
    places: dict[str, FloatArray]
    """`pca`, `tsne`, and `umap` if requested and installed."""
    explained: tuple[float, ...]
    dimension: int
    knn_accuracy: float | None
    silhouette: float | None


def embed_run(workspace: Workspace, run_id: str, *, limit: int = 5000, output: Path | None = None) -> dict[str, Any]:
    """Write `embedding.html` with a tooltip per image, `embedding.csv`, and SVG, CSV and PNG for each method and coloring.

    Return the measures and the paths. FototecaError for an ensemble.
    """
    run = find_run(workspace, run_id)
    manifest = load_run_manifest(workspace, run)
    extracted = read_features(workspace, run, sample_manifest_rows(manifest, limit))
    if extracted is None:
        raise FototecaError(f"run {run.id} has no features of its own", "name one of the runs it was made from")
    rows, features = extracted
    embedding = compute_embedding(rows, features, with_umap=True)
    predicted = read_predicted_labels(run, embedding.rows)
    folder = output or workspace.reports / "embed" / run.id
    facts = {"run": run.id, **summarize_embedding(embedding)}
    page = folder / "embedding.html"
    paths = [write_embedding_page(workspace, facts, embedding.rows, embedding.places, predicted, manifest.categories, page)]
    figures = []
    for by, (groups, names) in point_colorings(embedding.rows, predicted, manifest.categories).items():
        for name, points in embedding.places.items():
            alt = f"{name} of {len(rows)} images by the features of {run.id}, colored by {by}"
            figures.append(scatter_chart(f"{name}-{by}", points, groups, names, alt, legend=True))
    paths += write_figures(figures, folder)
    write_text(folder / "embedding.csv", _csv(embedding, predicted))
    return {**facts, "paths": [str(path) for path in (*paths, folder / "embedding.csv")]}


def read_predicted_labels(run: Run, rows: Sequence[ManifestRow]) -> list[str | None]:
    """Return the predicted label of each train or validation image; None without prediction, empty for no category."""
    labels: dict[str, str] = {}
    for split in ("train", "val"):
        if (run.folder / f"predictions-{split}.csv").is_file():
            predictions = run.predictions(split)
            labels.update(zip(predictions.image_ids, predictions.predicted, strict=True))
    return [labels.get(row.image_id) for row in rows]


def summarize_embedding(embedding: Embedding) -> dict[str, Any]:
    """Return the measures of an embedding as JSON values."""
    return {
        "images": len(embedding.rows),
        "dimension": embedding.dimension,
        "explained_variance": list(embedding.explained),
        "knn_accuracy": embedding.knn_accuracy,
        "silhouette": embedding.silhouette,
    }


def sample_manifest_rows(manifest: Manifest, limit: int) -> tuple[ManifestRow, ...]:
    """Draw at most `limit` images of train and validation, evenly over splits and labels; test is excluded."""
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


def compute_embedding(rows: Sequence[ManifestRow], features: FeatureArray, *, with_umap: bool = False) -> Embedding:
    """Compute PCA, t-SNE and optionally UMAP of features (N, D). FototecaError if too few, all equal, or not finite."""
    if len(rows) < 5:
        raise FototecaError(f"{len(rows)} images are too few for an embedding", "freeze a version with more images")
    if not np.isfinite(features).all():
        raise FototecaError("features are not numbers (the model diverged)", "train it again with a lower --lr")
    components, explained = principal_components(features, 50)
    if not np.ptp(components):
        raise FototecaError("all features are equal: the network has collapsed", "train it again with a lower --lr")
    places = {"pca": components[:, :2], "tsne": tsne(components)}
    if with_umap and find_spec("umap"):
        places["umap"] = umap(components)
    return Embedding(
        rows=tuple(rows),
        places=places,
        explained=tuple(float(share) for share in explained[:10]),
        dimension=features.shape[1],
        knn_accuracy=knn_accuracy(rows, features),
        silhouette=_silhouette(rows, features),
    )


def principal_components(features: FeatureArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Return the first components (N, count) of centered features and their shares of variance, with deterministic signs."""
    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if centered.shape[0] < centered.shape[1]:
        values, vectors = np.linalg.eigh(centered @ centered.T)
        scores = vectors * np.sqrt(np.maximum(values, 0))
    else:
        values, vectors = np.linalg.eigh(centered.T @ centered)
        scores = centered @ vectors
    order = np.argsort(-values)[: min(count, *centered.shape)]
    components = scores[:, order]
    largest = components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])]
    components *= np.where(largest < 0, -1.0, 1.0)
    if components.shape[1] == 1:
        components = np.hstack([components, np.zeros_like(components)])
    total = float(np.maximum(values, 0).sum()) or 1.0
    return components, np.maximum(values[order], 0) / total


def tsne(components: FloatArray) -> FloatArray:
    """t-SNE (van der Maaten and Hinton 2008) of the leading components, with openTSNE, initialized by PCA; deterministic."""
    from openTSNE import TSNE

    n = len(components)
    perplexity = max(2.0, min(30.0, (n - 1) / 3.5))
    solver = TSNE(
        perplexity=perplexity,
        n_jobs=1 if n <= SINGLE_THREAD_LIMIT else 2,
        random_state=SEED,
        initialization="pca",
        neighbors="exact" if n <= SINGLE_THREAD_LIMIT else "annoy",
        negative_gradient_method="bh" if n <= SINGLE_THREAD_LIMIT else "fft",
        callbacks_every_iters=PROGRESS_STEPS,
    )
    with tqdm(total=solver.early_exaggeration_iter + solver.n_iter, desc="t-SNE", disable=None) as bar:

        def update(*_: object) -> bool:
            bar.update(PROGRESS_STEPS)
            return False  # True would stop the optimization

        solver.callbacks = update
        return np.asarray(solver.fit(components), dtype=np.float64)


def umap(components: FloatArray) -> FloatArray:
    """UMAP (McInnes et al. 2018) of the leading components; deterministic, so it uses one core."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # TensorFlow is missing but not needed
        from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a seed implies one core; few images
        solver = UMAP(n_neighbors=min(15, len(components) - 1), init="pca", random_state=SEED, n_jobs=1)
        return np.asarray(solver.fit_transform(components), dtype=np.float64)


def knn_accuracy(rows: Sequence[ManifestRow], features: FeatureArray) -> float | None:
    """Return the accuracy of a majority vote of the ten nearest training images on validation; None without either split."""
    train = [index for index, row in enumerate(rows) if row.split == "train"]
    val = [index for index, row in enumerate(rows) if row.split == "val"]
    if not train or not val:
        return None
    nearest = find_nearest_training(features[train], features[val], NUM_NEIGHBORS)
    names, codes = np.unique([rows[index].label for index in train], return_inverse=True)
    votes = np.stack([np.bincount(codes[neighbors], minlength=len(names)) for neighbors in nearest])
    predicted = names[votes.argmax(axis=1)]
    return float(np.mean(predicted == np.array([rows[index].label for index in val])))


def _silhouette(rows: Sequence[ManifestRow], features: FeatureArray) -> float | None:
    """Return the mean cosine silhouette of the labels (Rousseeuw 1987) on at most 2,000 images; None for a single label."""
    from sklearn.metrics import silhouette_score

    labels = np.array([row.label for row in rows])
    if not 2 <= len(set(labels)) < len(labels):
        return None
    size = min(len(labels), 2000)
    chosen = np.random.default_rng(SEED).permutation(len(labels))[:size]
    if not 2 <= len(set(labels[chosen])) < size:
        return None
    return float(silhouette_score(normalize_rows(features)[chosen], labels[chosen], metric="cosine"))


def _csv(embedding: Embedding, predicted: Sequence[str | None]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "image_id",
            "label",
            "split",
            "has_prediction",
            "predicted",
            *(f"{name}_{axis}" for name in embedding.places for axis in (1, 2)),
        ]
    )
    for index, row in enumerate(embedding.rows):
        values = [value for points in embedding.places.values() for value in points[index]]
        has_prediction = "no" if predicted[index] is None else "yes"
        writer.writerow(
            [row.image_id, row.label, row.split, has_prediction, predicted[index], *(f"{value:.6g}" for value in values)]
        )
    return text.getvalue()
