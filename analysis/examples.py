"""`examples`: images that a run got right and wrong, picked and at random, and what its errors have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fototeca.analysis.attribution import attribute, check_method
from fototeca.analysis.attribution.check_results import badge_text, read_method_results
from fototeca.analysis.evaluation.evaluate import access_predictions
from fototeca.analysis.evaluation.metrics import class_scores
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run
from fototeca.analysis.evaluation.quality_shift import quality_shift
from fototeca.analysis.evaluation.sampling import draw_random, pick_most_confident
from fototeca.analysis.features.extract import find_nearest_training, read_inference_features
from fototeca.analysis.images import add_caption, contact_sheet, overlay, read_stored_image, tensor_to_image
from fototeca.analysis.tabular import csv_text
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.train.runs import load_model, load_run_manifest

METHOD = "grad-cam"
"""The attribution that is drawn of each image when none is named."""

COLUMNS = (
    "kind",
    "image_id",
    "path",
    "label",
    "predicted",
    "probability",
    "source",
    "page_url",
    "nearest_training",
    "nearest_training_paths",
    "map",
)
"""Of `examples.csv`; the nearest three are parted by spaces, nearest first, and so are their paths."""

DOUBTED = 40
"""Mistakes at the most among which label errors are looked for."""


def examples_of_run(
    workspace: Workspace,
    run_id: str,
    split: str = "val",
    *,
    number: int = 8,
    seed: int = 0,
    method: str = METHOD,
    output: Path | None = None,
) -> dict[str, Any]:
    """Right and wrong images of a run: most sure, least sure, random, worst per class; errors by pair, source and group.

    Each image's map by `method` is written to `output` beside what the model saw, over what `--trials` found of the method; a
    run that is no network has none. `examples.csv` there has a row for each example: COLUMNS.
    """
    check_method(method)
    run = find_run(workspace, run_id)
    manifest = load_run_manifest(workspace, run)
    results = access_predictions(workspace, run, split, "examples", manifest)
    kinds, worst = choose(results, number, seed), worst_per_class(results)
    chosen = sorted({index for found in (*kinds.values(), worst.values()) for index in found})
    neighbours = neighbours_of(workspace, manifest, results, sorted({*chosen, *doubted(results)}))
    wrong = suspects(results, neighbours, manifest)
    folder = output or workspace.reports / "examples" / f"{run.id}-{split}"
    maps = _draw_maps(workspace, results, sorted({*chosen, *wrong}), method, folder)

    def describe(index: int) -> dict[str, Any]:
        return _describe(results, index, neighbours, maps)

    facts = {
        "run": run.id,
        "split": split,
        "n": len(results),
        "errors": int((~results.correct).sum()),
        "examples": {kind: [describe(index) for index in found] for kind, found in kinds.items()},
        "worst_per_class": {name: describe(index) for name, index in worst.items()},
        "suspects": [describe(index) for index in wrong],
        **error_groups(results),
        "by_quality": errors_by_quality(workspace, results),
        "table": str(folder / "examples.csv"),
    }
    write_text(folder / "examples.csv", _csv(facts, {row.image_id: row.path for row in manifest.rows}))
    return facts


def _csv(facts: dict[str, Any], paths: Mapping[str, str]) -> str:
    """A row for each example of each kind; `paths`: of the dataset's images, by image id."""
    kinds = {**facts["examples"], "worst": facts["worst_per_class"].values(), "suspect": facts["suspects"]}
    return csv_text(COLUMNS, [_example_row(kind, one, paths) for kind, found in kinds.items() for one in found])


def _example_row(kind: str, one: dict[str, Any], paths: Mapping[str, str]) -> list[object]:
    near = one["nearest_training"]
    said = one["label"], one["predicted"], f"{one['confidence']:.6f}"
    beside = " ".join(near), " ".join(paths[image_id] for image_id in near)
    return [kind, one["image_id"], one["path"], *said, one["source"], one["page_url"], *beside, one["maps"] or ""]


def _draw_maps(
    workspace: Workspace, results: SplitPredictions, chosen: Sequence[int], method: str, folder: Path
) -> dict[str, str]:
    """By image id a PNG of what the model saw and the map of what it said, stamped as `--trials` judged the method; of images
    that are there."""
    model = load_model(workspace, results.run)
    if model.module is None:
        notify(f"no maps: {results.run.id} has no network")
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    stamp = badge_text(read_method_results(workspace, results.run).get(method, {}))
    drawn = {}
    for index in tqdm(chosen, desc=method, disable=None):
        row = results.rows[index]
        try:
            tensor = model.preprocessing(read_stored_image(workspace, row))
        except FototecaError as error:
            notify(f"no map: {error.message}")
            continue
        seen = tensor_to_image(tensor, model.preprocessing)
        values = attribute(model, tensor, int(results.probabilities[index].argmax()), method)
        path = folder / f"{row.image_id[:12]}.png"
        words = [f"is {row.label or 'none'}", f"says {results.predicted_labels[index] or 'none'}"]
        contact_sheet([add_caption(seen, words), add_caption(overlay(seen, values), [method, stamp])], 2).save(path)
        drawn[row.image_id] = str(path)
    return drawn


def choose(results: SplitPredictions, number: int, seed: int = 0) -> dict[str, list[int]]:
    """At most `number` images of each kind: wrong and right ones, the surest and at random, and the least sure of all."""
    return {
        "wrong": pick_most_confident(results, correct=False, number=number),
        "wrong_random": draw_random(results, correct=False, number=number, seed=seed),
        "least_sure": [int(index) for index in np.argsort(results.confidence, kind="stable")[:number]],
        "right": pick_most_confident(results, correct=True, number=number),
        "right_random": draw_random(results, correct=True, number=number, seed=seed),
    }


def worst_per_class(results: SplitPredictions) -> dict[str, int]:
    """Per category the image of it that got the lowest probability for it, the worst category first."""
    worst = {}
    for c, name in enumerate(results.categories):
        there = np.flatnonzero(results.true[:, c])
        if len(there):
            worst[name] = (float(results.probabilities[there, c].min()), int(there[results.probabilities[there, c].argmin()]))
    return {name: index for name, (_, index) in sorted(worst.items(), key=lambda item: item[1])}


def neighbours_of(
    workspace: Workspace, manifest: Manifest, results: SplitPredictions, places: Sequence[int]
) -> dict[str, list[str]]:
    """The three nearest training images of each image, by the run's features or its members'; none of one that is gone."""
    train = manifest.split("train")
    if not places or not train:
        return {}
    chosen = [results.rows[index] for index in places]
    found = read_inference_features(workspace, results.run, [*train, *chosen])
    if found is None:
        return {}
    rows, features = found
    learned = np.array([row.split == "train" for row in rows], dtype=np.bool_)
    if learned.all() or not learned.any():
        return {}
    ids = [row.image_id for row, inside in zip(rows, learned, strict=True) if inside]
    asked = [row.image_id for row, inside in zip(rows, learned, strict=True) if not inside]
    nearest = find_nearest_training(features[learned], features[~learned], 3)
    return {image_id: [ids[k] for k in near] for image_id, near in zip(asked, nearest, strict=True)}


def doubted(results: SplitPredictions) -> list[int]:
    """The mistakes that were said with 0.9 or more, the surest first, whatever their categories: labels may be wrong by rule."""
    wrong = np.flatnonzero(~results.correct & (results.confidence >= 0.9))
    return [int(index) for index in wrong[np.argsort(-results.confidence[wrong], kind="stable")][:DOUBTED]]


def suspects(results: SplitPredictions, neighbours: dict[str, list[str]], manifest: Manifest) -> list[int]:
    """Of the `doubted` mistakes those whose nearest training images all carry what was said: they may be label errors."""
    label = {row.image_id: row.label for row in manifest.rows}
    return [
        index
        for index in doubted(results)
        if (near := neighbours.get(results.rows[index].image_id))
        and {label[k] for k in near} == {results.predicted_labels[index]}
    ]


def error_groups(results: SplitPredictions) -> dict[str, Any]:
    """Errors by confused pair (most frequent first), by source and by near-duplicate group of more than one image."""
    wrong = np.flatnonzero(~results.correct)
    pairs = Counter((results.labels[index], results.predicted_labels[index]) for index in wrong)
    sources, per_source = Counter(row.source for row in results.rows), Counter(results.rows[index].source for index in wrong)
    sizes = Counter(row.group for row in results.rows if row.group)
    groups = Counter(group for index in wrong if sizes[group := results.rows[index].group] > 1)
    recall = class_scores(results.true, results.predicted).recall
    return {
        "confused_pairs": [{"true": a, "predicted": b, "n": n} for (a, b), n in pairs.most_common(20)],
        "by_source": {name: {"n": n, "errors": per_source[name]} for name, n in sources.most_common()},
        "by_group": [{"group": name, "n": sizes[name], "errors": n} for name, n in groups.most_common(20)],
        "hardest": [results.categories[c] for c in np.argsort(recall, kind="stable") if results.true[:, c].any()][:5],
    }


def errors_by_quality(workspace: Workspace, results: SplitPredictions) -> dict[str, dict[str, float]]:
    """Per quality measure its mean over the right and over the wrong images, the two distributions' distance and its p."""
    right, wrong = (
        [row for row, hit in zip(results.rows, results.correct, strict=True) if hit == side] for side in (True, False)
    )
    return {
        name: {"right": shift.first, "wrong": shift.second, "distance": shift.distance, "p": shift.p}
        for name, shift in quality_shift(workspace, right, wrong).items()
    }


def _describe(results: SplitPredictions, index: int, neighbours: dict[str, list[str]], maps: dict[str, str]) -> dict[str, Any]:
    row = results.rows[index]
    return {
        "image_id": row.image_id,
        "path": row.path,
        "label": results.labels[index],
        "predicted": results.predicted_labels[index],
        "confidence": float(results.confidence[index]),
        "source": row.source,
        "page_url": row.page_url,
        "nearest_training": neighbours.get(row.image_id, []),
        "maps": maps.get(row.image_id),
    }
