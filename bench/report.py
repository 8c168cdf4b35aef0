"""Benchmark the report: seconds and megabytes for 3,000 images and 8 runs, and t-SNE against openTSNE's default.

    python bench/report.py [--photographs labels.csv --weights squeezenet1_0.pth]

Without photographs, demo signs are drawn. Without weights every run is a small network from scratch; with them half of the
runs are heads over SqueezeNet's features. Prints Markdown tables. The figures include name the report computes, not training.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from openTSNE import TSNE

from fototeca.analysis.features.embedding import principal_components, tsne
from fototeca.analysis.report.page import write_report
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.versions.freeze import freeze_version
from fototeca.demo.images import draw_image
from fototeca.demo.signs import CATEGORIES
from fototeca.train.config import TrainConfig
from fototeca.train.ensemble import make_ensemble
from fototeca.train.trainer import train_run

HEADS = ("linear", "logistic", "svm", "boosting")
"""Heads of the runs over frozen features."""

SMALL = (32, 1)
"""Pixels and epochs of the runs from scratch; their accuracy does not matter here."""


def measure(work: Callable[[], object]) -> float:
    """Return the wall time of a call in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def create_drawn(folder: Path, count: int) -> Workspace:
    """Create a workspace of demo signs and freeze it."""
    names = list(CATEGORIES)
    for number in range(count):
        name = names[number % len(names)]
        path = folder / "signs" / name / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_image(name, 7, number).jpeg)
    return create_frozen(folder, names, folder / "signs", FolderOptions(label_from_folder=True))


def create_photographs(folder: Path, labels: Path) -> Workspace:
    """Create a workspace of the photographs in `labels` (path,label) and freeze it."""
    with labels.open(encoding="utf-8", newline="") as file:
        names = sorted({row["label"] for row in csv.DictReader(file)})
    return create_frozen(folder, names, labels.parent, FolderOptions(labels=labels))


def create_frozen(folder: Path, names: list[str], images: Path, options: FolderOptions) -> Workspace:
    """Collect images, set duplicates aside and freeze v001."""
    workspace = create_workspace(folder / "task", names, target=100)
    collect_folder(workspace, images, options, FetchOptions())
    dedup(workspace)
    freeze_version(workspace)
    return workspace


def train(workspace: Workspace, weights: str | None) -> int:
    """Train eight runs, including an ensemble; return their number."""
    heads = HEADS if weights else ()
    configs = [TrainConfig("v001", "squeezenet1_0", "features", head=head, weights=weights) for head in heads]
    side, epochs = SMALL
    for seed in range(7 - len(configs)):
        model = ("cnn", "cnn-cbam")[seed % 2]
        configs.append(TrainConfig("v001", model, "scratch", image_size=side, epochs=epochs, seed=seed))
    runs = [train_run(workspace, config).id for config in configs]
    make_ensemble(workspace, runs[:2])
    return len(runs) + 1


def report_rows(workspace: Workspace, runs: int) -> list[tuple[str, str, str]]:
    """Measure the first report, and a second one in another language, which uses the cache."""
    images = sum(1 for _ in (workspace.manifests / "v001.csv").open(encoding="utf-8")) - 1
    rows = []
    for lang, name in (("en", "first report"), ("es", "second report, in another language")):
        spent = measure(lambda lang=lang: write_report(workspace, "v001", lang=lang))
        folder = workspace.reports / "v001"
        page = (folder / f"report-{lang}.html").stat().st_size / 1e6
        beside = sum(path.stat().st_size for path in (folder / f"figures-{lang}").iterdir()) / 1e6
        rows.append((f"{name}: {images:,} images, {runs} runs", f"{spent:.0f}", f"{page:.1f} + {beside:.1f}"))
    return rows


def tsne_rows(count: int) -> list[tuple[str, str]]:
    """Measure t-SNE of (count, 512) clusters: fototeca's, on principal components, and openTSNE's default, on all 512."""
    rng = np.random.default_rng(0)
    features = (rng.normal(0, 1, (40, 512))[np.arange(count) % 40] + rng.normal(0, 1.5, (count, 512))).astype(np.float32)
    own_seconds = measure(lambda: tsne(principal_components(features, 50)[0]))
    peer_seconds = measure(lambda: TSNE(random_state=0).fit(features))
    names = "fototeca, on 50 principal components", "openTSNE with its defaults, on all 512"
    return list(zip(names, (f"{own_seconds:.0f}", f"{peer_seconds:.0f}"), strict=True))


def main() -> None:
    """Parse options, measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--images", type=int, default=3000, help="number of drawn images")
    parser.add_argument("--points", type=int, default=10_000, help="number of points for t-SNE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = (
            create_photographs(Path(folder), options.photographs)
            if options.photographs
            else create_drawn(Path(folder), options.images)
        )
        rows = report_rows(workspace, train(workspace, options.weights))
    print("| report | seconds | MB, page + figures |\n| --- | ---: | ---: |")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    print(f"\n| t-SNE of {options.points:,} × 512 | seconds |\n| --- | ---: |")
    print("\n".join(f"| {' | '.join(row)} |" for row in tsne_rows(options.points)))


if __name__ == "__main__":
    main()
