"""`embed`: where a run's features put the images. t-SNE alone misleads, so neighbours and silhouette are measured beside it."""

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
"""Of the sample and of t-SNE."""

NUM_NEIGHBORS = 10
"""The k of the kNN accuracy."""

PROGRESS_STEPS = 50
"""Of t-SNE between two moves of its progress bar; it looks at its error as often anyway."""

SINGLE_THREAD_LIMIT = 4000
"""Images up to which t-SNE takes one thread: a step is so short that two mostly wait for one another (3 s of processor time for
1,500 images, and 19 s with two threads beside busy neighbours)."""


@dataclass(frozen=True)
class Embedding:
    """Places of N images. `places` are (N, 2) by method; `explained` the share of variance of the first components."""

    rows: tuple[ManifestRow, ...]
    places: dict[str, FloatArray]
    """`pca`, `tsne`, and `umap` if it was asked for and is installed."""
    explained: tuple[float, ...]
    dimension: int
    knn_accuracy: float | None
    silhouette: float | None


def embed_run(workspace: Workspace, run_id: str, *, limit: int = 5000, output: Path | None = None) -> dict[str, Any]:
    """Write `embedding.html`, where pointing shows the image, `embedding.csv`, and for each method and colouring SVG and CSV,
    and PNG if there is a Chromium.

    Returns the facts and the paths.
    """
    run = find_run(workspace, run_id)
    manifest = load_run_manifest(workspace, run)
    known = read_features(workspace, run, sample_manifest_rows(manifest, limit))
    if known is None:
        raise FototecaError(f"run {run.id} has no features of its own", "name one of the runs it was made from")
    rows, features = known
    found = compute_embedding(rows, features, with_umap=True)
    said = read_predicted_labels(run, found.rows)
    folder = output or workspace.reports / "embed" / run.id
    facts = {"run": run.id, **summarize_embedding(found)}
    page = folder / "embedding.html"
    paths = [write_embedding_page(workspace, facts, found.rows, found.places, said, manifest.categories, page)]
    figures = []
    for by, (groups, names) in point_colorings(found.rows, said, manifest.categories).items():
        for name, points in found.places.items():
            alt = f"{name} of {len(rows)} images by the features of {run.id}, coloured by {by}"
            figures.append(scatter_chart(f"{name}-{by}", points, groups, names, alt, legend=True))
    paths += write_figures(figures, folder)
    write_text(folder / "embedding.csv", _csv(found, said))
    return {**facts, "paths": [str(path) for path in (*paths, folder / "embedding.csv")]}


def read_predicted_labels(run: Run, rows: Sequence[ManifestRow]) -> list[str | None]:
    """What the run said of each image of train and validation; None where it was not asked, empty where it said no category."""
    said: dict[str, str] = {}
    for split in ("train", "val"):
        if (run.folder / f"predictions-{split}.csv").is_file():
            found = run.predictions(split)
            said.update(zip(found.image_ids, found.predicted, strict=True))
    return [said.get(row.image_id) for row in rows]


def summarize_embedding(found: Embedding) -> dict[str, Any]:
    """What is measured beside the plot."""
    return {
        "images": len(found.rows),
        "dimension": found.dimension,
        "explained_variance": list(found.explained),
        "knn_accuracy": found.knn_accuracy,
        "silhouette": found.silhouette,
    }


def sample_manifest_rows(manifest: Manifest, limit: int) -> tuple[ManifestRow, ...]:
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


def compute_embedding(rows: Sequence[ManifestRow], features: FeatureArray, *, with_umap: bool = False) -> Embedding:
    """PCA, t-SNE and perhaps UMAP of features (N, D), with the measures. FototecaError for too few, all alike, or no numbers."""
    if len(rows) < 5:
        raise FototecaError(f"{len(rows)} images are too few to place", "freeze a version with more images")
    if not np.isfinite(features).all():
        raise FototecaError("features are not numbers (the model diverged)", "train it again with a lower --lr")
    components, explained = principal_components(features, 50)
    if not np.ptp(components):
        raise FototecaError("all features are alike: the network sees every image the same", "train it again with a lower --lr")
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


def tsne(components: FloatArray) -> FloatArray:
    """t-SNE (van der Maaten and Hinton 2008) of the leading components, by openTSNE, from a PCA start; the same each time."""
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

        def go_on(*_: object) -> bool:
            bar.update(PROGRESS_STEPS)
            return False  # True would stop it

        solver.callbacks = go_on
        return np.asarray(solver.fit(components), dtype=np.float64)


def umap(components: FloatArray) -> FloatArray:
    """UMAP (McInnes et al. 2018) of the leading components; the same each time, so it uses one core."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # it misses TensorFlow, which is not needed here
        from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that a seed means one core, and that few images are few
        solver = UMAP(n_neighbors=min(15, len(components) - 1), init="pca", random_state=SEED, n_jobs=1)
        return np.asarray(solver.fit_transform(components), dtype=np.float64)


def knn_accuracy(rows: Sequence[ManifestRow], features: FeatureArray) -> float | None:
    """How often the majority of the ten nearest training images has a validation image's label; None without either."""
    train = [index for index, row in enumerate(rows) if row.split == "train"]
    val = [index for index, row in enumerate(rows) if row.split == "val"]
    if not train or not val:
        return None
    nearest = find_nearest_training(features[train], features[val], NUM_NEIGHBORS)
    names, codes = np.unique([rows[index].label for index in train], return_inverse=True)
    votes = np.stack([np.bincount(codes[found], minlength=len(names)) for found in nearest])
    said = names[votes.argmax(axis=1)]
    return float(np.mean(said == np.array([rows[index].label for index in val])))


def _silhouette(rows: Sequence[ManifestRow], features: FeatureArray) -> float | None:
    """Mean silhouette of the labels by cosine (Rousseeuw 1987), on at most 2,000 images; None when there is one label."""
    from sklearn.metrics import silhouette_score

    labels = np.array([row.label for row in rows])
    if not 2 <= len(set(labels)) < len(labels):
        return None
    size = min(len(labels), 2000)
    chosen = np.random.default_rng(SEED).permutation(len(labels))[:size]
    if not 2 <= len(set(labels[chosen])) < size:
        return None
    return float(silhouette_score(normalize_rows(features)[chosen], labels[chosen], metric="cosine"))


def _csv(found: Embedding, said: Sequence[str | None]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["image_id", "label", "split", "asked", "predicted", *(f"{name}_{axis}" for name in found.places for axis in (1, 2))]
    )
    for index, row in enumerate(found.rows):
        values = [value for points in found.places.values() for value in points[index]]
        asked = "no" if said[index] is None else "yes"
        writer.writerow([row.image_id, row.label, row.split, asked, said[index], *(f"{value:.6g}" for value in values)])
    return text.getvalue()
