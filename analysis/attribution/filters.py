"""`filters`: filters of the first convolution, and feature maps of chosen layers for one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fototeca.analysis.attribution import network_of
from fototeca.analysis.attribution.explain import find_images, pick_images
from fototeca.analysis.evaluation.predictions import find_run, read_split_predictions
from fototeca.analysis.images import contact_sheet, heatmap, read_stored_image, tensor_to_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, load_model

if TYPE_CHECKING:
    import torch
    from torch import nn

MAX_MAPS = 32
"""Feature maps drawn per layer, those with the largest mean first."""

TILE_SIZE = 64
"""Minimum side of a drawn filter or map, in pixels."""

NUM_LAYERS = 4
"""Layers drawn by default: the last of each map size, evenly spaced from the first to the last size."""


def filter_figures(
    workspace: Workspace, run_id: str, *, layers: Sequence[str] = (), image: str | None = None, output: Path | None = None
) -> list[Path]:
    """Write `filters.png`, `seen.png` (the preprocessed image) and `maps-LAYER.png`; return the paths.

    The default image is the most confident wrong prediction, else the most confident correct one.

    FototecaError if the run has no network, a layer is unknown or has no maps, or the image is unknown.
    """
    run = find_run(workspace, run_id)
    results = read_split_predictions(workspace, run, "val")
    index = (find_images(results, [image]) if image else pick_images(results))[0]
    model = load_model(workspace, run)
    folder = output or workspace.reports / "filters" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    tensor = model.preprocessing(read_stored_image(workspace, results.rows[index]))
    drawings = {"seen": tensor_to_image(tensor, model.preprocessing), **draw_filter_sheets(model, tensor, layers)}
    for name, drawing in drawings.items():
        drawing.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawings]


def draw_filter_sheets(model: LoadedModel, tensor: torch.Tensor, layers: Sequence[str] = ()) -> dict[str, Image.Image]:
    """Return contact sheets of a preprocessed image (3, H, W): `filters`, and `maps-LAYER` for each layer."""
    network = network_of(model, "filters")
    maps = compute_feature_maps(network, tensor[None], layers)
    return {
        "filters": draw_filters(read_first_filters(network)),
        **{f"maps-{name}": draw_maps(channels) for name, channels in maps.items()},
    }


def read_first_filters(module: nn.Module) -> npt.NDArray[np.float32]:
    """Return the weights (K, 3, h, w) of the first convolution over RGB. FototecaError if there is none."""
    from torch import nn

    for inner in module.modules():
        if isinstance(inner, nn.Conv2d) and inner.in_channels == 3:
            return np.asarray(inner.weight.detach().numpy(), dtype=np.float32)
    raise FototecaError("the model has no convolution over RGB", "filters are drawn of convolutional models")


def compute_feature_maps(
    module: nn.Module, tensor: torch.Tensor, names: Sequence[str] = ()
) -> dict[str, npt.NDArray[np.float32]]:
    """Return maps (C, h, w) by layer for an image (1, 3, H, W), in the order of the network; default: NUM_LAYERS layers.

    FototecaError if a name is not a layer (the hint lists likely ones) or its output is not spatial.
    """
    import torch

    from fototeca.analysis.attribution.layers import as_maps, capture_outputs, target_layer

    wanted = {id(target_layer(module, tensor, name)): name for name in names}
    seen: dict[str, npt.NDArray[np.float32]] = {}

    def keep(name: str, output: Any) -> None:  # noqa: ANN401  (a module may return anything)
        if isinstance(output, torch.Tensor) and output.dim() in (3, 4):
            activations = as_maps(output.detach())[0]
            if activations.shape[-1] > 1:
                seen[name] = np.array(activations.numpy(), dtype=np.float32)

    inner = [
        (name, layer) for name, layer in module.named_modules() if (id(layer) in wanted if names else not [*layer.children()])
    ]
    with capture_outputs(inner, keep), torch.no_grad():
        module(tensor)
    flat = [name for name in names if name not in seen]
    if flat or not seen:
        raise FototecaError(f"layer {', '.join(flat) or 'of any name'} has no maps", "name a layer before pooling, or none")
    return seen if names else _last_of_each_size(seen)


def _last_of_each_size(seen: dict[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
    last = list({maps.shape[1:]: name for name, maps in seen.items()}.values())
    places = np.unique(np.linspace(0, len(last) - 1, min(NUM_LAYERS, len(last))).round().astype(int))
    return {last[place]: seen[last[place]] for place in places}


def draw_filters(filters: npt.NDArray[np.float32]) -> Image.Image:
    """Draw each filter (3, h, w) as a color tile: gray is zero, full color its largest weight."""
    tops = np.maximum(np.abs(filters).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    colors = ((filters / tops + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return contact_sheet([_enlarged(Image.fromarray(one)) for one in colors], 12)


def draw_maps(maps: npt.NDArray[np.float32]) -> Image.Image:
    """Draw the MAX_MAPS maps (C, h, w) with the largest mean, each on its own scale, bright for high values."""
    order = np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[:MAX_MAPS]
    return contact_sheet([_enlarged(Image.fromarray(heatmap(maps[channel]).round().astype(np.uint8))) for channel in order], 8)


def _enlarged(tile: Image.Image) -> Image.Image:
    """Enlarge without interpolation, so that each value stays a square."""
    times = max(1, -(-TILE_SIZE // tile.width))
    return tile.resize((tile.width * times, tile.height * times), Image.Resampling.NEAREST)
