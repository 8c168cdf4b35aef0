"""Benchmark the regimes on many fine classes of photographs: validation accuracy over several splits, with intervals.

    python bench/accuracy_by_regime.py labels_fine.csv FOLDER --model squeezenet1_0 --weights FILE [--seeds 3] [--image-size 160]

Classes of at least 20 photographs, near-duplicates set aside, a separate split and training for each seed. scikit-learn's
logistic regression uses the same pooled features of the same splits. The work stays in FOLDER, so the same command resumes.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.manifest import Manifest, image_path
from fototeca.curate.versions.freeze import freeze_version
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run
from fototeca.vision.backbones import load_backbone
from fototeca.vision.features import extract_features

MIN_CLASS = 20
Correct = dict[str, list[np.ndarray[Any, np.dtype[np.bool_]]]]
"""By row of the table, for each seed: a mask of the correctly classified validation photographs."""


def collect_photographs(labels: Path, folder: Path) -> Workspace:
    """Return a workspace with the classes that are large enough, deduplicated; reuse it if it exists."""
    if (folder / "done").is_file():
        return Workspace(folder / "w")
    with labels.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["label"] for row in rows)
    chosen = [row for row in rows if counts[row["label"]] >= MIN_CLASS]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((row["path"], row["label"]) for row in chosen)])
    workspace = create_workspace(folder / "w", sorted({row["label"] for row in chosen}), target=MIN_CLASS)
    collect_folder(workspace, labels.parent, FolderOptions(labels=folder / "labels.csv"), FetchOptions())
    dedup(workspace)
    (folder / "done").touch()
    return workspace


def freeze_split(workspace: Workspace, seed: int) -> Manifest:
    """Freeze the only version with this seed; the version of another seed is removed first."""
    for path in workspace.manifests.glob("v*"):
        path.unlink()
    return freeze_version(workspace, seed=seed).manifest


def sklearn_correct(workspace: Workspace, manifest: Manifest, model: str, weights: str, scaled: bool) -> Any:  # noqa: ANN401
    """Return which validation photographs its logistic regression classifies correctly, on the same pooled features."""
    backbone = load_backbone(model, weights)
    x, y = {}, {}
    for split in ("train", "val"):
        rows = manifest.split(split)
        x[split] = extract_features(workspace, [(row.image_id, image_path(workspace, row)) for row in rows], backbone)
        y[split] = np.array([row.label for row in rows])
    classifier = LogisticRegression(max_iter=2000)
    peer = make_pipeline(StandardScaler(), classifier) if scaled else classifier
    return peer.fit(x["train"], y["train"]).predict(x["val"]) == y["val"]


def fototeca_correct(workspace: Workspace, config: TrainConfig) -> Any:  # noqa: ANN401
    """Return which validation photographs the run classifies correctly."""
    predictions = train_run(workspace, config).predictions("val")
    return np.array(predictions.predicted) == np.array(predictions.labels)


def measure(workspace: Workspace, seed: int, options: argparse.Namespace, correct: Correct) -> None:
    """Measure every row of the table on one split."""
    manifest = freeze_split(workspace, seed)
    base = TrainConfig(manifest=manifest.version, model=options.model, regime="features", weights=options.weights, seed=seed)
    side = options.image_size
    rows = {f"features, {head}": replace(base, head=head) for head in ("linear", "logistic", "svm")}
    rows[f"features at {side} px, linear"] = replace(base, image_size=side)
    rows[f"fine-tuned at {side} px"] = replace(base, regime="finetune", image_size=side, epochs=options.epochs)
    rows["from scratch, cnn"] = TrainConfig(manifest=manifest.version, model="cnn", regime="scratch", seed=seed)
    for scaled in (False, True):
        name = "scikit-learn's logistic regression" + (", standardized" if scaled else "")
        correct.setdefault(name, []).append(sklearn_correct(workspace, manifest, options.model, options.weights, scaled))
    for name, config in rows.items():
        correct.setdefault(name, []).append(fototeca_correct(workspace, config))
        print(f"seed {seed}: {name}: {correct[name][-1].mean():.1%}", file=sys.stderr)


def main() -> None:
    """Parse options, collect, train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="squeezenet1_0")
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    workspace = collect_photographs(options.labels, options.folder)
    correct: Correct = {}
    for seed in range(options.seeds):
        measure(workspace, seed, options, correct)
    print_table(correct)


def print_table(correct: Correct) -> None:
    """Print the accuracy of each seed, its mean, and the difference from linear features paired by seed."""
    shares = {name: np.array([part.mean() for part in parts]) for name, parts in correct.items()}
    base = shares["features, linear"]
    print(f"| run | {' | '.join(f'seed {seed}' for seed in range(len(base)))} | mean | minus features, linear |")
    print(f"| --- |{' ---: |' * (len(base) + 2)}")
    for name, by_seed in shares.items():
        cells = [*(f"{share:.1%}" for share in by_seed), format_interval(by_seed), format_interval(by_seed - base)]
        print(f"| {name} | {' | '.join(cells)} |")
    counts = ", ".join(str(len(part)) for part in next(iter(correct.values())))
    print(f"\n{counts} validation photographs, torch {torch.__version__}")


def format_interval(values: Any) -> str:  # noqa: ANN401
    """Return mean and 95% interval (Student's t) in points over seeds."""
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean() * 100:.1f} ± {half * 100:.1f}"


if __name__ == "__main__":
    main()
