"""`examples`: right and wrong predictions of a run, chosen and at random, and what its errors have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fototeca.analysis.attribution import attribute, check_method
from fototeca.analysis.attribution.check_results import badge_text, read_method_results
from fototeca.analysis.error_patterns import (
    error_groups,
    errors_by_quality,
)
from fototeca.analysis.evaluation.evaluate import access_predictions
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run
from fototeca.analysis.evaluation.sampling import draw_random, pick_most_confident
from fototeca.analysis.example_results import Example, RunExamples, examples_csv
from fototeca.analysis.features.extract import find_nearest_training, read_inference_features
from fototeca.analysis.file_names import read_file_names
from fototeca.analysis.images import add_caption, contact_sheet, overlay, read_stored_image, tensor_to_image
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.public_url import public_url
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.train.runs import load_model, load_run_manifest

DEFAULT_METHOD = "grad-cam"

MAX_SUSPECTS = 40
"""Confident errors searched for label errors."""

MIN_SUSPECT_CONFIDENCE = 0.9


def examples_of_run(
    workspace: Workspace,
    run_id: str,
    split: str = "val",
    *,
    number: int = 8,
    seed: int = 0,
    method: str = DEFAULT_METHOD,
    output: Path | None = None,
) -> RunExamples:
    """Choose right and wrong predictions of a run, and summarize its errors.

    Writes `examples.csv` with a row for each example, and for each image a PNG with the model's input and its attribution map,
    labeled with the results of the method's sanity checks. Runs that are not networks have no maps.

    Args:
        workspace: the workspace.
        run_id: the run.
        split: `val`, or `test`; use of test is recorded.
        number: images of each kind.
        seed: seed of the random choice.
        method: attribution method of the maps.
        output: folder to write to; default: `data/reports/examples/RUN-SPLIT`.

    Raises:
        FototecaError: unknown run or method, missing predictions, or a manifest that changed since training.
    """
    check_method(method)
    run = find_run(workspace, run_id)
    manifest = load_run_manifest(workspace, run)
    results = access_predictions(workspace, run, split, "examples", manifest)
    kinds, worst = choose_examples(results, number, seed), worst_per_class(results)
    chosen = sorted({index for indices in (*kinds.values(), worst.values()) for index in indices})
    neighbors = find_neighbors(workspace, manifest, results, sorted({*chosen, *confident_errors(results)}))
    suspects = find_label_suspects(results, neighbors, manifest)
    folder = output or workspace.reports / "examples" / f"{run.id}-{split}"
    maps = _draw_maps(workspace, results, sorted({*chosen, *suspects}), method, folder)

    file_names = read_file_names(workspace)

    def describe(index: int) -> Example:
        return _describe(results, index, neighbors, maps, file_names)

    groups = error_groups(results)
    examples = RunExamples(
        run=run.id,
        split=split,
        n=len(results),
        errors=int((~results.correct).sum()),
        examples={kind: [describe(index) for index in indices] for kind, indices in kinds.items()},
        worst_per_class={name: describe(index) for name, index in worst.items()},
        suspects=[describe(index) for index in suspects],
        confused_pairs=groups.confused_pairs,
        by_source=groups.by_source,
        by_group=groups.by_group,
        hardest=groups.hardest,
        by_quality=errors_by_quality(workspace, results),
        table=str(folder / "examples.csv"),
    )
    write_text(folder / "examples.csv", examples_csv(examples, {row.image_id: row.path for row in manifest.rows}))
    return examples


def _draw_maps(
    workspace: Workspace, results: SplitPredictions, chosen: Sequence[int], method: str, folder: Path
) -> dict[str, str]:
    """Write for each readable image a PNG with the model's input and its map; return the paths by image id."""
    model = load_model(workspace, results.run)
    if model.module is None:
        notify(f"no maps: {results.run.id} is not a network")
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    badge = badge_text(read_method_results(workspace, results.run).get(method, {}))
    paths = {}
    for index in tqdm(chosen, desc=method, disable=None):
        row = results.rows[index]
        try:
            tensor = model.preprocessing(read_stored_image(workspace, row))
        except FototecaError as error:
            notify(f"no map: {error.message}")
            continue
        image = tensor_to_image(tensor, model.preprocessing)
        values = attribute(model, tensor, int(results.probabilities[index].argmax()), method)
        path = folder / f"{row.image_id[:12]}.png"
        caption = [f"label: {row.label or 'none'}", f"predicted: {results.predicted_labels[index] or 'none'}"]
        contact_sheet([add_caption(image, caption), add_caption(overlay(image, values), [method, badge])], 2).save(path)
        paths[row.image_id] = str(path)
    return paths


def choose_examples(results: SplitPredictions, number: int, seed: int = 0) -> dict[str, list[int]]:
    """Return indices of at most `number` images of each kind: most confident and random errors and right predictions, and the
    least confident predictions."""
    return {
        "wrong": pick_most_confident(results, correct=False, number=number),
        "wrong_random": draw_random(results, correct=False, number=number, seed=seed),
        "least_sure": [int(index) for index in np.argsort(results.confidence, kind="stable")[:number]],
        "right": pick_most_confident(results, correct=True, number=number),
        "right_random": draw_random(results, correct=True, number=number, seed=seed),
    }


def worst_per_class(results: SplitPredictions) -> dict[str, int]:
    """Return for each category the index of its image with the lowest probability of it; the worst category comes first."""
    worst = {}
    for c, name in enumerate(results.categories):
        members = np.flatnonzero(results.true[:, c])
        if len(members):
            probabilities = results.probabilities[members, c]
            worst[name] = (float(probabilities.min()), int(members[probabilities.argmin()]))
    return {name: index for name, (_, index) in sorted(worst.items(), key=lambda item: item[1])}


def find_neighbors(
    workspace: Workspace, manifest: Manifest, results: SplitPredictions, indices: Sequence[int]
) -> dict[str, list[str]]:
    """Return the ids of the three nearest training images by image id, using the features of the run or of its members.

    Images whose file is missing have no entry.
    """
    train = manifest.split("train")
    if not indices or not train:
        return {}
    present = read_inference_features(workspace, results.run, [*train, *(results.rows[index] for index in indices)])
    if present is None:
        return {}
    rows, features = present
    is_train = np.array([row.split == "train" for row in rows], dtype=np.bool_)
    if is_train.all() or not is_train.any():
        return {}
    train_ids = [row.image_id for row, inside in zip(rows, is_train, strict=True) if inside]
    query_ids = [row.image_id for row, inside in zip(rows, is_train, strict=True) if not inside]
    nearest = find_nearest_training(features[is_train], features[~is_train], 3)
    return {image_id: [train_ids[k] for k in ranks] for image_id, ranks in zip(query_ids, nearest, strict=True)}


def confident_errors(results: SplitPredictions) -> list[int]:
    """Return errors with confidence of at least MIN_SUSPECT_CONFIDENCE, most confident first, at most MAX_SUSPECTS.

    Categories are not balanced: all labels of one category may be wrong.
    """
    wrong = np.flatnonzero(~results.correct & (results.confidence >= MIN_SUSPECT_CONFIDENCE))
    return [int(index) for index in wrong[np.argsort(-results.confidence[wrong], kind="stable")][:MAX_SUSPECTS]]


def find_label_suspects(results: SplitPredictions, neighbors: dict[str, list[str]], manifest: Manifest) -> list[int]:
    """Return the confident errors whose nearest training images all have the predicted label: they may be label errors."""
    labels = {row.image_id: row.label for row in manifest.rows}
    return [
        index
        for index in confident_errors(results)
        if (nearest := neighbors.get(results.rows[index].image_id))
        and {labels[image_id] for image_id in nearest} == {results.predicted_labels[index]}
    ]


def _describe(
    results: SplitPredictions,
    index: int,
    neighbors: dict[str, list[str]],
    maps: dict[str, str],
    file_names: Mapping[str, str],
) -> Example:
    row = results.rows[index]
    return Example(
        image_id=row.image_id,
        file_name=file_names.get(row.image_id, ""),
        path=row.path,
        label=results.labels[index],
        predicted=results.predicted_labels[index],
        confidence=float(results.confidence[index]),
        source=row.source,
        page_url=public_url(row.page_url),
        nearest_training=neighbors.get(row.image_id, []),
        maps=maps.get(row.image_id),
    )
