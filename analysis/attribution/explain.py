"""`explain`: attributions of chosen images, drawn beside what the model saw."""

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
from fototeca.analysis.images import add_caption, contact_sheet, overlay, read_stored_image, read_true_mask, tensor_to_image
from fototeca.analysis.tabular import csv_text
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, load_model

if TYPE_CHECKING:
    import torch

    from fototeca.analysis.attribution.sanity_checks import CheckScores

IMAGE_CHECKS = ("live", "deletion", "insertion", "pointing", "energy")
"""The trials that one image allows; the last two where its mask is known."""

EXPLANATION_COLUMNS = ("image_id", "label", "predicted", "category", "probability", "method", *IMAGE_CHECKS, "passed", "failed")
"""Of `explanations.csv`; `category`: what the map is of, whose `probability` it is; `passed` and `failed` are trials by name,
those of the method that `--trials` kept among them."""

NUM_EXPLAINED = 4
"""Right and wrong images that are explained when none is named."""


@dataclass(frozen=True)
class AttributionMaps:
    """An image as the model saw it, a map over it per method, and what each map is worth (empty unless that was asked).

    `verdicts`: what is known of the methods; see `joined`.
    """

    seen: Image.Image
    maps: dict[str, Image.Image]
    scores: dict[str, CheckScores]
    verdicts: Mapping[str, CheckResults]

    def passed(self, method: str) -> CheckResults:
        """The stamp of the method's map."""
        return merge_results(self.scores[method].passed, self.verdicts.get(method, {}))

    def measured(self, method: str) -> dict[str, float]:
        """What the method's map reached in the trials that this image allows."""
        scores = {trial: float(getattr(self.scores[method], trial)) for trial in IMAGE_CHECKS}
        return {trial: score for trial, score in scores.items() if not np.isnan(score)}

    def contact_sheet(self, words: Sequence[str]) -> Image.Image:
        """The image over some words, and its maps, each over its name and its stamp."""
        stamped = [add_caption(drawn, [method, badge_text(self.passed(method))]) for method, drawn in self.maps.items()]
        return contact_sheet([add_caption(self.seen, words), *stamped], 1 + len(stamped))


@dataclass(frozen=True)
class Explanation:
    """One image, what was said of it, and what that was drawn from."""

    image_id: str
    label: str
    predicted: str
    category: str
    """The one whose probability this is, and which the maps explain."""
    probability: float
    drawn: AttributionMaps

    def row(self, method: str) -> list[object]:
        """One map's row of `explanations.csv`."""
        scores, stamp = self.drawn.measured(method), self.drawn.passed(method)
        told = [f"{scores[trial]:.6g}" if trial in scores else "" for trial in IMAGE_CHECKS]
        return [
            self.image_id,
            self.label,
            self.predicted,
            self.category,
            f"{self.probability:.6f}",
            method,
            *told,
            *names_by_outcome(stamp),
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
    """Write one PNG per image (what the model saw, then a map per method) and `explanations.csv`; returns their paths.

    Each map is put to those trials that one image allows, and carries what came out, and what `--trials` found of its method,
    in the PNG and in its row of the CSV. The method `class-model` writes a PNG for each category that was said of these
    images. `iterations`: see `attribute`.
    """
    drawn = [method for method in methods if method != CLASS_MODEL]
    for method in drawn:
        check_method(method, CLASS_MODEL)
    run = find_run(workspace, run_id)
    results = read_split_predictions(workspace, run, "val")
    chosen = find_images(results, images) if images else pick_images(results)
    folder = output or workspace.reports / "explain" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(workspace, run)
    paths, rows = [], []
    for index in tqdm(chosen if drawn else [], desc="explain", disable=None):
        found = explain_one(workspace, model, results, index, drawn, layer, iterations, stamped=True)
        path = folder / f"{found.image_id[:12]}.png"
        sure = f"{found.category}, {found.probability:.0%}"
        told = [f"says {found.predicted or 'none'}", f"map of {sure}"] if results.multi else [f"says {sure}"]
        found.drawn.contact_sheet([f"is {found.label or 'none'}", *told]).save(path)
        paths.append(path)
        rows += [found.row(method) for method in drawn]
    if CLASS_MODEL in methods:
        said = dict.fromkeys(int(results.probabilities[index].argmax()) for index in chosen)
        paths += _write_class_models(model, {results.categories[target]: target for target in said}, iterations, folder)
    if drawn:
        paths.append(folder / "explanations.csv")
        write_text(paths[-1], csv_text(EXPLANATION_COLUMNS, rows))
    return paths


def explain_one(
    workspace: Workspace,
    model: LoadedModel,
    results: SplitPredictions,
    index: int,
    methods: Sequence[str],
    layer: str = "",
    iterations: int | None = None,
    *,
    stamped: bool = False,
) -> Explanation:
    """Explain what the run said (in a multi-label task: its most probable category) of one image of the results. `stamped`:
    also put the maps to the trials that one image allows, some 30 passes for each."""
    row = results.rows[index]
    tensor = model.preprocessing(read_stored_image(workspace, row))
    target = int(results.probabilities[index].argmax())
    mask = read_true_mask(workspace, row, model.preprocessing) if stamped else None
    known = read_method_results(workspace, results.run, layer, iterations) if stamped else {}
    drawn = draw_maps(model, tensor, target, methods, layer, iterations, stamped=stamped, mask=mask, verdicts=known)
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
    stamped: bool = False,
    mask: npt.NDArray[np.bool_] | None = None,
    verdicts: Mapping[str, CheckResults] | None = None,
) -> AttributionMaps:
    """A preprocessed image (3, H, W) as the model saw it, and each method's map of category number `target` over it.

    `stamped`: see `explain_one`. `mask`: where the thing is, if that is known. `verdicts`: those of the methods, if they are.
    """
    from fototeca.analysis.attribution.sanity_checks import CheckedImage, check_maps

    seen = tensor_to_image(tensor, model.preprocessing)
    values = {method: attribute(model, tensor, target, method, layer=layer, iterations=iterations) for method in methods}
    scores = (
        check_maps(network_of(model, "the trials"), CheckedImage(tensor, target, mask), values, REPORT_CURVE_STEPS)
        if stamped
        else {}
    )
    return AttributionMaps(seen, {method: overlay(seen, found) for method, found in values.items()}, scores, verdicts or {})


def draw_class_models(model: LoadedModel, targets: Sequence[int], iterations: int | None = None) -> list[Image.Image]:
    """What the network would draw of each category, by number. FototecaError when the run's classifier is no network."""
    from fototeca.analysis.attribution.class_model import ClassModelConfig, generate_class_images

    network = network_of(model, CLASS_MODEL)
    settings = ClassModelConfig(iterations=iterations) if iterations else ClassModelConfig()
    images = generate_class_images(network, model.preprocessing.crop, targets, settings)
    tops = images.abs().flatten(1).quantile(0.98, dim=1)[:, None, None, None]
    visible = images * (2 / tops).clamp(max=1)  # two standard deviations are about what an image can show
    return [tensor_to_image(image, model.preprocessing) for image in visible]


def _write_class_models(model: LoadedModel, targets: dict[str, int], iterations: int | None, folder: Path) -> list[Path]:
    paths = [folder / f"class-model-{name}.png" for name in targets]
    for path, image in zip(paths, draw_class_models(model, list(targets.values()), iterations), strict=True):
        image.save(path)
    return paths


def pick_images(results: SplitPredictions) -> list[int]:
    """The surest wrong images, then the surest right ones."""
    return [
        *pick_most_confident(results, correct=False, number=NUM_EXPLAINED),
        *pick_most_confident(results, correct=True, number=NUM_EXPLAINED),
    ]


def find_images(results: SplitPredictions, images: Sequence[str]) -> list[int]:
    """The places of the images with these ids, or beginnings of ids."""
    found = []
    for name in images:
        places = [index for index, row in enumerate(results.rows) if row.image_id.startswith(name)]
        if len(places) != 1:
            what = "is none of" if not places else f"fits {len(places)} of"
            raise FototecaError(f"image {name!r} {what} the validation images", "name one by its image_id, from the manifest")
        found += places
    return list(np.unique(found))
