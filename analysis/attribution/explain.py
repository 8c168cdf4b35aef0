"""`explain`: attribution maps of chosen images, drawn beside the preprocessed image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from fototeca.analysis.attribution import CLASS_MODEL, attribute, check_method, network_of
from fototeca.analysis.attribution.check_results import (
    CheckResults,
    badge_text,
    merge_results,
    names_by_outcome,
    read_method_results,
)
from fototeca.analysis.attribution.run_checks import REPORT_CURVE_STEPS
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run, read_split_predictions
from fototeca.analysis.evaluation.sampling import pick_most_confident
from fototeca.analysis.images import (
    add_caption,
    contact_sheet,
    overlay,
    read_stored_image,
    read_true_mask,
    tensor_to_image,
)
from fototeca.analysis.tabular import csv_text
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.paths import inside
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, load_model

if TYPE_CHECKING:
    import torch

    from fototeca.analysis.attribution.sanity_checks import CheckScores

IMAGE_CHECKS = ("gradient", "deletion", "insertion", "pointing", "energy")
"""The checks that a single map allows; the last two with a mask."""

EXPLANATION_COLUMNS = (
    "image_id",
    "label",
    "predicted",
    "category",
    "probability",
    "method",
    *IMAGE_CHECKS,
    "passed",
    "failed",
)
"""Columns of `explanations.csv`. The map explains `category`, whose `probability` it is; `passed` and `failed` name checks, with
those of the method that `--sanity-checks` stored."""

NUM_EXPLAINED = 4
"""Number of correct and of wrong predictions that are explained by default."""


@dataclass(frozen=True)
class AttributionMaps:
    """A preprocessed image, a map over it per method, and the scores of each map (empty unless checked)."""

    seen: Image.Image
    """The image as the model receives it."""
    maps: dict[str, Image.Image]
    scores: dict[str, CheckScores]
    method_results: Mapping[str, CheckResults]
    """Stored check results by method; see `merge_results`."""

    def passed(self, method: str) -> CheckResults:
        """Return the check results of the method's map."""
        return merge_results(self.scores[method].passed, self.method_results.get(method, {}))

    def measured(self, method: str) -> dict[str, float]:
        """Return the scores of the method's map in the IMAGE_CHECKS that were measured."""
        scores = {check: float(getattr(self.scores[method], check)) for check in IMAGE_CHECKS}
        return {check: score for check, score in scores.items() if not np.isnan(score)}

    def contact_sheet(self, words: Sequence[str]) -> Image.Image:
        """Return the image above `words`, and each map above its method and check badge."""
        maps = [add_caption(drawn, [method, badge_text(self.passed(method))]) for method, drawn in self.maps.items()]
        return contact_sheet([add_caption(self.seen, words), *maps], 1 + len(maps))


@dataclass(frozen=True)
class Explanation:
    """One image, its prediction, and the maps of one category."""

    image_id: str
    label: str
    predicted: str
    category: str
    """The category that the maps explain: the most probable one."""
    probability: float
    """Of `category`."""
    drawn: AttributionMaps

    def row(self, method: str) -> list[object]:
        """Return one map's row of `explanations.csv`."""
        scores, passed = self.drawn.measured(method), self.drawn.passed(method)
        cells = [f"{scores[check]:.6g}" if check in scores else "" for check in IMAGE_CHECKS]
        return [
            self.image_id,
            self.label,
            self.predicted,
            self.category,
            f"{self.probability:.6f}",
            method,
            *cells,
            *names_by_outcome(passed),
        ]


def explain_run(
    workspace: Workspace,
    run_id: str,
    *,
    methods: Sequence[str],
    images: Sequence[str] | None = None,
    layer: str = "",
    iterations: int | None = None,
    output: Path | None = None,
) -> list[Path]:
    """Write one PNG per image (the preprocessed image, a map per method) and `explanations.csv`; return their paths.

    Each map gets the IMAGE_CHECKS. The PNG and the CSV show its check badge, with the results that `--sanity-checks` stored for
    its method. The method `class-model` writes a PNG for each category predicted for these images. `iterations`: see
    `attribute`. FototecaError for an unknown method or image, or a run without a network.
    """
    map_methods = [method for method in methods if method != CLASS_MODEL]
    for method in map_methods:
        check_method(method, CLASS_MODEL)
    run = find_run(workspace, run_id)
    results = read_split_predictions(workspace, run, "val")
    chosen = find_images(results, images) if images else pick_images(results)
    folder = output or workspace.reports / "explain" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(workspace, run)
    paths, rows = [], []
    for index in tqdm(chosen if map_methods else [], desc="explain", disable=None):
        explanation = explain_one(workspace, model, results, index, map_methods, layer, iterations, checked=True)
        path = folder / f"{explanation.image_id[:12]}.png"
        explanation.drawn.contact_sheet(_caption(explanation, results.multi)).save(path)
        paths.append(path)
        rows += [explanation.row(method) for method in map_methods]
    if CLASS_MODEL in methods:
        targets = dict.fromkeys(int(results.probabilities[index].argmax()) for index in chosen)
        paths += _write_class_models(model, {results.categories[target]: target for target in targets}, iterations, folder)
    if map_methods:
        paths.append(folder / "explanations.csv")
        write_text(paths[-1], csv_text(EXPLANATION_COLUMNS, rows))
    return paths


def _caption(explanation: Explanation, multi: bool) -> list[str]:
    target = f"{explanation.category}, {explanation.probability:.0%}"
    predicted = [f"predicted {explanation.predicted or 'none'}", f"map of {target}"] if multi else [f"predicted {target}"]
    return [f"label {explanation.label or 'none'}", *predicted]


def explain_one(
    workspace: Workspace,
    model: LoadedModel,
    results: SplitPredictions,
    index: int,
    methods: Sequence[str],
    layer: str = "",
    iterations: int | None = None,
    *,
    checked: bool = False,
) -> Explanation:
    """Explain the most probable category of one image of the predictions.

    With `checked` the maps also get the IMAGE_CHECKS, some 30 passes per map.
    """
    row = results.rows[index]
    tensor = model.preprocessing(read_stored_image(workspace, row))
    target = int(results.probabilities[index].argmax())
    mask = read_true_mask(workspace, row, model.preprocessing) if checked else None
    stored = read_method_results(workspace, results.run, layer, iterations) if checked else {}
    drawn = draw_maps(model, tensor, target, methods, layer, iterations, checked=checked, mask=mask, method_results=stored)
    category, probability = results.categories[target], float(results.probabilities[index, target])
    return Explanation(row.image_id, row.label, results.predicted_labels[index], category, probability, drawn)


def draw_maps(
    model: LoadedModel,
    tensor: torch.Tensor,
    target: int,
    methods: Sequence[str],
    layer: str = "",
    iterations: int | None = None,
    *,
    checked: bool = False,
    mask: npt.NDArray[np.bool_] | None = None,
    method_results: Mapping[str, CheckResults] | None = None,
) -> AttributionMaps:
    """Draw each method's map of category number `target` over a preprocessed image (3, H, W).

    `checked`: see `explain_one`. `mask`: the object's mask (H, W), if known. `method_results`: stored check results, if any.
    """
    from fototeca.analysis.attribution.sanity_checks import CheckedImage, check_maps

    seen = tensor_to_image(tensor, model.preprocessing)
    maps = {method: attribute(model, tensor, target, method, layer=layer, iterations=iterations) for method in methods}
    scores = {}
    if checked:
        network = network_of(model, "checking maps")
        scores = check_maps(network, CheckedImage(tensor, target, mask), maps, REPORT_CURVE_STEPS)
    overlays = {method: overlay(seen, values) for method, values in maps.items()}
    return AttributionMaps(seen, overlays, scores, method_results or {})


def draw_class_models(model: LoadedModel, targets: Sequence[int], iterations: int | None = None) -> list[Image.Image]:
    """Return an image per category number that maximizes its score. FototecaError if the run has no network."""
    from fototeca.analysis.attribution.class_model import ClassModelConfig, generate_class_images

    network = network_of(model, CLASS_MODEL)
    settings = ClassModelConfig(iterations=iterations) if iterations else ClassModelConfig()
    images = generate_class_images(network, model.preprocessing.crop, targets, settings)
    tops = images.abs().flatten(1).quantile(0.98, dim=1)[:, None, None, None]
    visible = images * (2 / tops).clamp(max=1)  # two standard deviations are about the range of an image
    return [tensor_to_image(image, model.preprocessing) for image in visible]


def _write_class_models(model: LoadedModel, targets: dict[str, int], iterations: int | None, folder: Path) -> list[Path]:
    paths = [inside(folder, f"class-model-{name}.png") for name in targets]
    for path, image in zip(paths, draw_class_models(model, list(targets.values()), iterations), strict=True):
        image.save(path)
    return paths


def pick_images(results: SplitPredictions) -> list[int]:
    """Return the indices of the most confident wrong predictions, then of the most confident correct ones."""
    return [
        *pick_most_confident(results, correct=False, number=NUM_EXPLAINED),
        *pick_most_confident(results, correct=True, number=NUM_EXPLAINED),
    ]


def find_images(results: SplitPredictions, images: Sequence[str]) -> list[int]:
    """Return the indices of images by id or beginning of an id. FototecaError if one is unknown or ambiguous."""
    indices = []
    for name in images:
        matches = [index for index, row in enumerate(results.rows) if row.image_id.startswith(name)]
        if len(matches) != 1:
            what = "is none of" if not matches else f"fits {len(matches)} of"
            raise FototecaError(f"image {name!r} {what} the validation images", "name one by its image_id, from the manifest")
        indices += matches
    return list(np.unique(indices))
