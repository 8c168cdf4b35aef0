"""Measure by how much scenes that cross splits flatter a validation, and how many bursts cross splits.

    python bench/scenes.py GROCERY FOLDER --weights FILE [--model squeezenet1_0] [--seeds 3]

GROCERY has labels.csv and two official folders, `train` and `val`, photographed on other days. `train` is collected and
deduplicated, and frozen without and with `group_by="scene"`. Logistic regression over frozen features is trained on each version;
its accuracy on our validation is compared with its accuracy on the photographs of `val`. Then twenty bursts of five frames are
made of other photographs and split among 200 single ones. The work stays in FOLDER, so the same command resumes.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from fototeca.analysis.predict.predict import predict_images
from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.versions.freeze import GroupBy, freeze_version
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run

BURSTS, FRAMES, SINGLES = 20, 5, 200
GROUPINGS: tuple[GroupBy, ...] = ("none", "scene")


def read_labels(grocery: Path) -> list[tuple[str, str]]:
    """Return path and label of every photograph."""
    with (grocery / "labels.csv").open(encoding="utf-8") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


def collect_labeled(folder: Path, photographs: Path, rows: list[tuple[str, str]]) -> Workspace:
    """Return a workspace with the photographs of `rows`; reuse it if it exists."""
    if (folder / "done").is_file():
        return Workspace(folder / "w")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    workspace = create_workspace(folder / "w", sorted({label for _, label in rows}), target=1)
    collect_folder(workspace, photographs, FolderOptions(labels=folder / "labels.csv"), FetchOptions())
    (folder / "done").touch()
    return workspace


def measure_gap(
    workspace: Workspace, grouping: GroupBy, seed: int, others: list[tuple[Path, str]], options: argparse.Namespace
) -> tuple[float, float]:
    """Return the accuracies of a new run on the validation of a new version and on photographs of other days."""
    for path in workspace.manifests.glob("v*"):
        path.unlink()
    version = freeze_version(workspace, seed=seed, group_by=grouping).manifest
    weights = str(options.weights)
    config = TrainConfig(version.version, options.model, "features", weights=weights, head="logistic", seed=seed)
    run = train_run(workspace, config)
    predictions = run.predictions("val")
    known = {row.label for row in version.split("train")}
    chosen = [(path, label) for path, label in others if label in known]
    predicted = predict_images(workspace, run.id, [path for path, _ in chosen])
    correct = [one.label == label for one, (_, label) in zip(predicted, chosen, strict=True)]
    return float(np.mean(np.array(predictions.predicted) == np.array(predictions.labels))), float(np.mean(correct))


def draw_burst(photograph: Path, folder: Path, number: int) -> None:
    """Write frames of a burst: the hand moves, turns and comes nearer, the exposure changes, a second passes."""
    rng = np.random.default_rng(number)
    image = Image.open(photograph).convert("RGB")
    for frame in range(FRAMES):
        width, height = image.size
        turned = image.rotate(float(rng.uniform(-8, 8)), Image.Resampling.BICUBIC)
        side = rng.uniform(0.7, 0.85)
        left, top = rng.uniform(0.06, 0.94 - side, 2)
        box = (round(left * width), round(top * height), round((left + side) * width), round((top + side) * height))
        pixels = np.asarray(turned.crop(box), np.float64) * rng.uniform(0.85, 1.15)
        pixels += rng.normal(0, 3, pixels.shape)
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"2024:05:{1 + number:02} 10:00:{frame:02}"
        frame_image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        frame_image.save(folder / f"burst{number:02}-{frame}.jpg", quality=92, exif=exif)


def count_crossing_bursts(folder: Path, grocery: Path, rows: list[tuple[str, str]]) -> dict[str, int]:
    """Return by grouping how many bursts have frames in several splits."""
    order = np.random.default_rng(0).permutation(len(rows))
    made = folder / "photographs"
    made.mkdir(parents=True, exist_ok=True)
    labels = []
    for number, place in enumerate(order[: BURSTS + SINGLES].tolist()):
        path, label = rows[place]
        label = "packages" if "/Packages/" in path else "fresh"
        if number < BURSTS:
            draw_burst(grocery / path, made, number)
            labels += [(f"burst{number:02}-{frame}.jpg", label) for frame in range(FRAMES)]
        else:
            Image.open(grocery / path).convert("RGB").save(made / f"single{number:03}.jpg", quality=92)
            labels.append((f"single{number:03}.jpg", label))
    workspace = collect_labeled(folder, made, labels)
    crossing = {}
    for grouping in GROUPINGS:
        for path in workspace.manifests.glob("v*"):
            path.unlink()
        manifest = freeze_version(workspace, group_by=grouping).manifest
        with Catalog.open(workspace) as catalog:
            names = catalog.provenance.file_names()
        splits = defaultdict(set)
        for row in manifest.rows:
            splits[Path(names[row.image_id]).stem.partition("-")[0]].add(row.split)
        crossing[grouping] = sum(len(found) > 1 for name, found in splits.items() if name.startswith("burst"))
    return crossing


def main() -> None:
    """Parse options, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grocery", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="squeezenet1_0")
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = read_labels(options.grocery)
    official = {name: [row for row in rows if row[0].startswith(f"{name}/")] for name in ("train", "val")}
    workspace = collect_labeled(options.folder / "gap", options.grocery, official["train"])
    dedup(workspace)
    others = [(options.grocery / path, label) for path, label in official["val"]]
    print(
        "| versions | validation | photographs of other days | gap, points | gaps of the seeds |\n"
        "| --- | ---: | ---: | ---: | ---: |"
    )
    for grouping in GROUPINGS:
        shares = np.array([measure_gap(workspace, grouping, seed, others, options) for seed in range(options.seeds)])
        gaps = 100 * (shares[:, 0] - shares[:, 1])
        name = "--group-by scene" if grouping == "scene" else "near-duplicates alone"
        each = ", ".join(f"{gap:.1f}" for gap in gaps)
        print(f"| {name} | {shares[:, 0].mean():.1%} | {shares[:, 1].mean():.1%} | {gaps.mean():.1f} | {each} |", flush=True)
    crossing = count_crossing_bursts(options.folder / "bursts", options.grocery, rows)
    print(f"\nbursts of {BURSTS} that cross splits: {crossing['none']} without, {crossing['scene']} with --group-by scene")


if __name__ == "__main__":
    main()
