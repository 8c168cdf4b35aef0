"""What each regime reaches on many fine classes of photographs: validation accuracy over several splits, with intervals.

    python bench/fine.py ../photographs/labels_fine.csv FOLDER --model squeezenet1_0 --weights FILE [--seeds 3] [--image-size 160]

Classes of at least 20 photographs, near-duplicates set aside, a split and a training of its own for each seed. scikit-learn's
logistic regression is given the same pooled features of the same splits. The work stays in FOLDER, so that the same command
goes on where it was stopped.
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

from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.client import FetchOptions
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
Hits = dict[str, list[np.ndarray[Any, np.dtype[np.bool_]]]]
"""By row of the table, for each seed, which validation photographs were right."""


def collected(labels: Path, folder: Path) -> Workspace:
    """The classes that are large enough, collected and searched for near-duplicates, unless they are there already."""
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
    collect_folder(workspace, labels.parent, LabelSource(file=folder / "labels.csv"), FetchOptions())
    dedup(workspace)
    (folder / "done").touch()
    return workspace


def frozen(workspace: Workspace, seed: int) -> Manifest:
    """The only version, split by this seed: what another seed froze is put away first."""
    for path in workspace.manifests.glob("v*"):
        path.unlink()
    return freeze_version(workspace, seed=seed).manifest


def of_scikit_learn(workspace: Workspace, manifest: Manifest, model: str, weights: str, scaled: bool) -> Any:  # noqa: ANN401
    """Which validation photographs its logistic regression gets right, on the same pooled features."""
    backbone = load_backbone(model, weights)
    x, y = {}, {}
    for split in ("train", "val"):
        rows = manifest.split(split)
        x[split] = extract_features(workspace, [(row.image_id, image_path(workspace, row)) for row in rows], backbone)
        y[split] = np.array([row.label for row in rows])
    plain = LogisticRegression(max_iter=2000)
    peer = make_pipeline(StandardScaler(), plain) if scaled else plain
    return peer.fit(x["train"], y["train"]).predict(x["val"]) == y["val"]


def of_fototeca(workspace: Workspace, config: TrainConfig) -> Any:  # noqa: ANN401
    """Which validation photographs the run gets right."""
    said = train_run(workspace, config).predictions("val")
    return np.array(said.predicted) == np.array(said.labels)


def measure(workspace: Workspace, seed: int, options: argparse.Namespace, hits: Hits) -> None:
    """One split: every row of the table."""
    manifest = frozen(workspace, seed)
    base = TrainConfig(manifest=manifest.version, model=options.model, regime="features", weights=options.weights, seed=seed)
    side = options.image_size
    rows = {f"features, {head}": replace(base, head=head) for head in ("linear", "logistic", "svm")}
    rows[f"features at {side} px, linear"] = replace(base, image_size=side)
    rows[f"fine-tuned at {side} px"] = replace(base, regime="finetune", image_size=side, epochs=options.epochs)
    rows["from scratch, cnn"] = TrainConfig(manifest=manifest.version, model="cnn", regime="scratch", seed=seed)
    for scaled in (False, True):
        name = "scikit-learn's logistic regression" + (", standardised" if scaled else "")
        hits.setdefault(name, []).append(of_scikit_learn(workspace, manifest, options.model, options.weights, scaled))
    for name, config in rows.items():
        hits.setdefault(name, []).append(of_fototeca(workspace, config))
        print(f"seed {seed}: {name}: {hits[name][-1].mean():.1%}", file=sys.stderr)


def main() -> None:
    """Collect, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="squeezenet1_0")
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    workspace = collected(options.labels, options.folder)
    hits: Hits = {}
    for seed in range(options.seeds):
        measure(workspace, seed, options, hits)
    print_table(hits)


def print_table(hits: Hits) -> None:
    """Accuracy of each seed, the mean over seeds, and how far each seed is from the first features of its split."""
    shares = {name: np.array([part.mean() for part in parts]) for name, parts in hits.items()}
    base = shares["features, linear"]
    print(f"| run | {' | '.join(f'seed {seed}' for seed in range(len(base)))} | mean | less features, linear |")
    print(f"| --- |{' ---: |' * (len(base) + 2)}")
    for name, of_seeds in shares.items():
        cells = [*(f"{share:.1%}" for share in of_seeds), with_interval(of_seeds), with_interval(of_seeds - base)]
        print(f"| {name} | {' | '.join(cells)} |")
    counts = ", ".join(str(len(part)) for part in next(iter(hits.values())))
    print(f"\n{counts} validation photographs, torch {torch.__version__}")


def with_interval(values: Any) -> str:  # noqa: ANN401
    """Mean and 95% interval (Student's t) in points, over seeds that each have a split of their own."""
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean() * 100:.1f} ± {half * 100:.1f}"


if __name__ == "__main__":
    main()
