"""`explain --trials`: a run's attribution methods put to the test on its own validation images, and the table kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fototeca.analysis.attribution import METHODS, check_method, network_of
from fototeca.analysis.attribution.check_results import layer_suffix, measured_checks, sanity_checks_path
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run, read_split_predictions
from fototeca.analysis.evaluation.sampling import draw_random, pick_most_confident
from fototeca.analysis.images import compute_masks_digest, read_stored_image, read_true_mask
from fototeca.analysis.tabular import csv_text
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, load_model

if TYPE_CHECKING:
    import torch

    from fototeca.analysis.attribution.sanity_checks import ImageGrid, MapFunction

NUM_IMAGES, NUM_GRIDS = 4, 4
"""How many images and mosaics are tried: with each method three maps and 34 passes an image, one map a mosaic."""

NUM_BASELINES = 2
"""Rows at the end of the table: the maps that know nothing."""

REPORT_CURVE_STEPS = 8
"""Shares at which the report's own trials ask the curves: half of what `explain --trials` asks, for half of the time."""

QUICK_METHODS = tuple(name for name, method in METHODS.items() if not method.slow)
"""What is tried when no method is named: those that take less than a few seconds a map."""


def run_sanity_checks(
    workspace: Workspace,
    run_id: str,
    methods: Sequence[str] | None = None,
    *,
    layer: str = "",
    iterations: int | None = None,
    output: Path | None = None,
) -> dict[str, Any]:
    """Try the methods (else QUICK) on a run; returns the facts and writes `trials.json` and `trials.csv`.

    A method that does not fit the network is a row with its reason. FototecaError when one is unknown, when none fits, or
    when the run's classifier is no network.
    """
    chosen = tuple(methods or QUICK_METHODS)
    for name in chosen:
        check_method(name)
    run = find_run(workspace, run_id)
    results = read_split_predictions(workspace, run, "val")
    facts = compute_sanity_checks(workspace, load_model(workspace, run), results, chosen, layer=layer, iterations=iterations)
    reasons = [one["reason"] for one in facts["methods"][:-NUM_BASELINES]]
    if all(reasons):
        raise FototecaError(reasons[0])
    stored = sanity_checks_path(workspace, run, layer)
    write_text(stored, json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
    table = (output or workspace.reports / "explain" / run.id) / f"trials{layer_suffix(layer)}.csv"
    write_text(table, _csv(facts))
    return {**facts, "paths": [str(stored), str(table)]}


def compute_sanity_checks(
    workspace: Workspace,
    model: LoadedModel,
    results: SplitPredictions,
    methods: Sequence[str],
    *,
    layer: str = "",
    iterations: int | None = None,
    steps: int | None = None,
) -> dict[str, Any]:
    """The facts of `try_run`: {"run", "images", "mosaics", "methods": [scores, null where not measured]}. `steps`: shares at
    which the curves are asked, else all of them."""
    from fototeca.analysis.attribution.sanity_checks import CURVE_STEPS, CheckedImage, check_methods

    network = network_of(model, "--trials")
    indices = draw_random(results, correct=True, number=NUM_IMAGES, seed=0) or list(range(min(NUM_IMAGES, len(results))))
    said = results.probabilities.argmax(axis=1)
    masks = [read_true_mask(workspace, results.rows[index], model.preprocessing) for index in indices]
    cases = [
        CheckedImage(_seen(workspace, model, results, index), int(said[index]), mask)
        for index, mask in zip(indices, masks, strict=True)
    ]
    mosaics = _mosaics(workspace, model, results)
    draws: dict[str, MapFunction] = {name: partial(_draw, name, layer, iterations) for name in methods}
    scores = [asdict(one) for one in check_methods(network, draws, cases, mosaics, steps or CURVE_STEPS)]
    kept = [{key: _plain(value) for key, value in one.items()} for one in scores]
    return {
        "run": results.run.id,
        "trained": results.run.digest,
        "masks": compute_masks_digest(workspace),
        "images": len(cases),
        "mosaics": len(mosaics),
        "layer": layer,
        "iterations": iterations,
        "methods": kept,
    }


def _draw(name: str, layer: str, iterations: int | None, module: torch.nn.Module, tensor: torch.Tensor, target: int) -> Any:  # noqa: ANN401
    return METHODS[name].draw(module, tensor, target, layer, iterations)


def _seen(workspace: Workspace, model: LoadedModel, results: SplitPredictions, index: int) -> torch.Tensor:
    return model.preprocessing(read_stored_image(workspace, results.rows[index]))


def _mosaics(workspace: Workspace, model: LoadedModel, results: SplitPredictions) -> list[ImageGrid]:
    """One for each of the surest right images of different categories, beside three that do not show its category (of three
    other categories where there are so many)."""
    from fototeca.analysis.attribution.sanity_checks import build_image_grid

    found: list[ImageGrid] = []
    sure = pick_most_confident(results, correct=True, number=len(results))
    said = results.probabilities.argmax(axis=1)
    firsts: dict[int, int] = {}  # the surest of each category
    for index in sure:
        firsts.setdefault(int(said[index]), index)
    for index in list(firsts.values())[:NUM_GRIDS]:
        apart = [other for other in dict.fromkeys([*firsts.values(), *sure]) if not results.true[other, said[index]]][:3]
        if len(apart) == 3:
            images = [_seen(workspace, model, results, one) for one in (index, *apart)]
            found.append(build_image_grid(images, int(said[index]), len(found) % 4))
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401  (whatever a score holds)
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _csv(facts: dict[str, Any]) -> str:
    trials = measured_checks(facts)
    columns = ["method", *(name for trial in trials for name in (trial, f"{trial}_passed")), "seconds", "reason"]
    rows = [
        [
            one["method"],
            *(cell for trial in trials for cell in (_cell(one[trial]), one["passed"].get(trial, ""))),
            _cell(one["seconds"]),
            one["reason"],
        ]
        for one in facts["methods"]
    ]
    return csv_text(columns, rows)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
