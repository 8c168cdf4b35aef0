"""`explain --sanity-checks`: check the attribution methods of a run on its validation images and store the scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fototeca.analysis.attribution import METHODS, check_method, network_of
from fototeca.analysis.attribution.check_results import MethodScores, SanityChecks, layer_suffix, sanity_checks_path
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
"""Images and image grids to check, at most: three maps and 34 passes per method and image, one map per grid."""

NUM_BASELINES = 2
"""Rows of baselines at the end of the table."""

REPORT_CURVE_STEPS = 8
"""Points of the deletion and insertion curves in the report: half of those of `explain --sanity-checks`, in half the time."""

QUICK_METHODS = tuple(name for name, method in METHODS.items() if not method.slow)
"""Methods that take less than a few seconds per map; checked by default."""


def run_sanity_checks(
    workspace: Workspace,
    run_id: str,
    methods: Sequence[str] | None = None,
    *,
    layer: str = "",
    iterations: int | None = None,
    output: Path | None = None,
) -> SanityChecks:
    """Check methods (default: QUICK_METHODS) of a run; write `RUN.json` for later maps and `sanity_checks.csv`.

    A method that does not fit the network has a `reason` instead of scores. FototecaError for an unknown method, if no method
    fits, or if the run has no network.
    """
    chosen = tuple(methods or QUICK_METHODS)
    for name in chosen:
        check_method(name)
    run = find_run(workspace, run_id)
    results = read_split_predictions(workspace, run, "val")
    checks = compute_sanity_checks(workspace, load_model(workspace, run), results, chosen, layer=layer, iterations=iterations)
    reasons = [scores.reason for scores in checks.methods[:-NUM_BASELINES]]
    if all(reasons):
        raise FototecaError(reasons[0])
    stored = sanity_checks_path(workspace, run, layer)
    write_text(stored, json.dumps(checks.to_json(), ensure_ascii=False, indent=2) + "\n")
    table = (output or workspace.reports / "explain" / run.id) / f"sanity_checks{layer_suffix(layer)}.csv"
    write_text(table, _csv(checks))
    return replace(checks, paths=(str(stored), str(table)))


def compute_sanity_checks(
    workspace: Workspace,
    model: LoadedModel,
    results: SplitPredictions,
    methods: Sequence[str],
    *,
    layer: str = "",
    iterations: int | None = None,
    steps: int | None = None,
) -> SanityChecks:
    """Check methods of a model on up to NUM_IMAGES correct predictions; `steps`: points of the curves (default: CURVE_STEPS)."""
    from fototeca.analysis.attribution.sanity_checks import CURVE_STEPS, CheckedImage, check_methods

    network = network_of(model, "--sanity-checks")
    indices = draw_random(results, correct=True, number=NUM_IMAGES, seed=0) or list(range(min(NUM_IMAGES, len(results))))
    targets = results.probabilities.argmax(axis=1)
    masks = [read_true_mask(workspace, results.rows[index], model.preprocessing) for index in indices]
    images = [
        CheckedImage(_preprocess(workspace, model, results, index), int(targets[index]), mask)
        for index, mask in zip(indices, masks, strict=True)
    ]
    grids = _build_grids(workspace, model, results)
    functions: dict[str, MapFunction] = {name: partial(_draw_map, name, layer, iterations) for name in methods}
    scores = check_methods(network, functions, images, grids, steps or CURVE_STEPS)
    return SanityChecks(
        run=results.run.id,
        trained=results.run.digest,
        masks=compute_masks_digest(workspace),
        images=len(images),
        grids=len(grids),
        layer=layer,
        iterations=iterations,
        methods=tuple(MethodScores(**{key: _none_if_nan(value) for key, value in asdict(one).items()}) for one in scores),
    )


def _draw_map(name: str, layer: str, iterations: int | None, module: torch.nn.Module, tensor: torch.Tensor, target: int) -> Any:  # noqa: ANN401
    return METHODS[name].draw(module, tensor, target, layer, iterations)


def _preprocess(workspace: Workspace, model: LoadedModel, results: SplitPredictions, index: int) -> torch.Tensor:
    return model.preprocessing(read_stored_image(workspace, results.rows[index]))


def _build_grids(workspace: Workspace, model: LoadedModel, results: SplitPredictions) -> list[ImageGrid]:
    """Return a grid for each of the most confident correct predictions of different categories.

    The other three images of a grid do not show its category; they are of three other categories if there are enough.
    """
    from fototeca.analysis.attribution.sanity_checks import build_image_grid

    grids: list[ImageGrid] = []
    ranked = pick_most_confident(results, correct=True, number=len(results))
    targets = results.probabilities.argmax(axis=1)
    firsts: dict[int, int] = {}  # the most confident image of each category
    for index in ranked:
        firsts.setdefault(int(targets[index]), index)
    for index in list(firsts.values())[:NUM_GRIDS]:
        candidates = dict.fromkeys([*firsts.values(), *ranked])
        others = [other for other in candidates if not results.true[other, targets[index]]][:3]
        if len(others) == 3:
            images = [_preprocess(workspace, model, results, place) for place in (index, *others)]
            grids.append(build_image_grid(images, int(targets[index]), len(grids) % 4))
    return grids


def _none_if_nan(value: Any) -> Any:  # noqa: ANN401  (a score, or the results by check)
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _csv(checks: SanityChecks) -> str:
    columns = ["method", *(name for check in checks.measured for name in (check, f"{check}_passed")), "seconds", "reason"]
    rows = [
        [
            one.method,
            *(cell for check in checks.measured for cell in (_cell(one.score(check)), one.passed.get(check, ""))),
            _cell(one.seconds),
            one.reason,
        ]
        for one in checks.methods
    ]
    return csv_text(columns, rows)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
