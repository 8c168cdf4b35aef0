"""`explain`: attributions of chosen pictures, drawn beside what the model saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from analysis.attribution import CLASS_MODEL, attribute, check_method, network_of
from analysis.examples import pick
from analysis.pictures import overlay, sheet, shown_picture, stored_picture
from analysis.results import Results, find_run, read_results
from curate.manifest import read_manifest
from train.runs import LoadedModel, load_model
from workspace import FototecaError, Workspace, write_text

if TYPE_CHECKING:
    import torch

EACH = 4
"""Right and wrong pictures that are explained when none is named."""


@dataclass(frozen=True)
class Explanation:
    """One picture as the model saw it, and a map over it per method."""

    image_id: str
    label: str
    said: str
    probability: float
    seen: Image.Image
    maps: dict[str, Image.Image]


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
    """Write one PNG per picture (what the model saw, then a map per method) and `explanations.csv`; returns their paths.

    The method `class-model` writes a PNG for each category that was said of these pictures. `iterations`: see `attribute`.
    """
    drawn = [method for method in methods if method != CLASS_MODEL]
    for method in drawn:
        check_method(method)
    run = find_run(workspace, run_id)
    results = read_results(workspace, run, "val", read_manifest(workspace, run.manifest_version))
    chosen = named(results, images) if images else picked(results)
    folder = output or workspace.reports / "explain" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(workspace, run)
    paths, lines = [], ["image_id,label,predicted,probability,methods"]
    for index in tqdm(chosen if drawn else [], desc="explain", disable=None):
        found = explain_one(workspace, model, results, index, drawn, layer, iterations)
        path = folder / f"{found.image_id[:12]}.png"
        sheet([found.seen, *found.maps.values()], len(found.maps) + 1).save(path)
        paths.append(path)
        lines.append(f'{found.image_id},"{found.label}","{found.said}",{found.probability:.6f},{" ".join(drawn)}')
    if CLASS_MODEL in methods:
        said = dict.fromkeys(int(results.probabilities[index].argmax()) for index in chosen)
        paths += _write_class_models(model, {results.categories[target]: target for target in said}, iterations, folder)
    write_text(folder / "explanations.csv", "\n".join(lines) + "\n")
    return [*paths, folder / "explanations.csv"]


def explain_one(
    workspace: Workspace,
    model: LoadedModel,
    results: Results,
    index: int,
    methods: Sequence[str],
    layer: str = "",
    iterations: int | None = None,
) -> Explanation:
    """Explain what the run said (in a multi-label task: its most probable category) of one picture of the results."""
    row = results.rows[index]
    tensor = model.preprocessing(stored_picture(workspace, row))
    target = int(results.probabilities[index].argmax())
    seen, maps = drawn_maps(model, tensor, target, methods, layer, iterations)
    return Explanation(row.image_id, row.label, results.said[index], float(results.probabilities[index, target]), seen, maps)


def drawn_maps(
    model: LoadedModel, tensor: torch.Tensor, target: int, methods: Sequence[str], layer: str = "", iterations: int | None = None
) -> tuple[Image.Image, dict[str, Image.Image]]:
    """A preprocessed picture (3, H, W) as the model saw it, and each method's map of category number `target` over it."""
    seen = shown_picture(tensor, model.preprocessing)
    found = {method: attribute(model, tensor, target, method, layer=layer, iterations=iterations) for method in methods}
    return seen, {method: overlay(seen, values) for method, values in found.items()}


def draw_class_models(model: LoadedModel, targets: Sequence[int], iterations: int | None = None) -> list[Image.Image]:
    """What the network would draw of each category, by number. FototecaError when the run's classifier is no network."""
    from analysis.attribution.class_model import ClassModel, class_models

    network = network_of(model, CLASS_MODEL)
    settings = ClassModel(iterations=iterations) if iterations else ClassModel()
    pictures = class_models(network, model.preprocessing.crop, targets, settings)
    tops = pictures.abs().flatten(1).quantile(0.98, dim=1)[:, None, None, None]
    visible = pictures * (2 / tops).clamp(max=1)  # two standard deviations are about what a picture can show
    return [shown_picture(picture, model.preprocessing) for picture in visible]


def _write_class_models(model: LoadedModel, targets: dict[str, int], iterations: int | None, folder: Path) -> list[Path]:
    paths = [folder / f"class-model-{name}.png" for name in targets]
    for path, picture in zip(paths, draw_class_models(model, list(targets.values()), iterations), strict=True):
        picture.save(path)
    return paths


def picked(results: Results) -> list[int]:
    """The surest wrong pictures, then the surest right ones."""
    return [*pick(results, right=False, number=EACH), *pick(results, right=True, number=EACH)]


def named(results: Results, images: Sequence[str]) -> list[int]:
    """The places of the pictures with these ids, or beginnings of ids."""
    found = []
    for name in images:
        places = [index for index, row in enumerate(results.rows) if row.image_id.startswith(name)]
        if len(places) != 1:
            what = "is none of" if not places else f"fits {len(places)} of"
            raise FototecaError(f"image {name!r} {what} the validation images", "name one by its image_id, from the manifest")
        found += places
    return list(np.unique(found))
