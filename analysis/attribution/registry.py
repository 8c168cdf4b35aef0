"""Registry of attribution methods, and their lookup by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fototeca.core.errors import FototecaError

if TYPE_CHECKING:
    import torch

    from fototeca.analysis.attribution.maps import Map
    from fototeca.train.runs import LoadedModel


@dataclass(frozen=True)
class AttributionMethod:
    """One attribution method: `function` in the module `home` of this package, imported on first use.

    The function takes (module, tensor (1, 3, H, W), target) and returns a map (H, W); higher values are more important.
    `spatial`: it also takes the name of a layer (empty for the default), since it needs spatial activations.
    """

    home: str
    function: str
    source: str
    """The paper."""
    spatial: bool = False
    iterates: bool = False
    """True if the number of iterations can be set."""
    slow: bool = False
    """True if a map takes more than a few seconds on a CPU."""

    def draw(self, module: torch.nn.Module, tensor: torch.Tensor, target: int, layer: str, iterations: int | None) -> Map:
        """Return the map (H, W)."""
        home: Any = import_module(f"fototeca.analysis.attribution.{self.home}")
        extra: list[Any] = [layer] if self.spatial else []
        if self.iterates and iterations:
            extra.append(home.ExtremalConfig.within(iterations))
        drawn: Map = getattr(home, self.function)(module, tensor, target, *extra)
        return drawn


METHODS: dict[str, AttributionMethod] = {
    "grad-cam": AttributionMethod("gradients", "grad_cam", "Selvaraju et al. 2017", spatial=True),
    "grad-cam++": AttributionMethod("gradients", "grad_cam_plus_plus", "Chattopadhay et al. 2018", spatial=True),
    "saliency": AttributionMethod("gradients", "saliency", "Simonyan et al. 2014"),
    "guided-backprop": AttributionMethod("gradients", "guided_backprop", "Springenberg et al. 2015"),
    "smoothgrad": AttributionMethod("sampled", "smoothgrad", "Smilkov et al. 2017"),
    "integrated-gradients": AttributionMethod("sampled", "integrated_gradients", "Sundararajan et al. 2017"),
    "occlusion": AttributionMethod("sampled", "occlusion", "Zeiler and Fergus 2014"),
    "rise": AttributionMethod("sampled", "rise", "Petsiuk et al. 2018", slow=True),
    "extremal": AttributionMethod("extremal", "extremal_map", "Fong et al. 2019", iterates=True, slow=True),
}
"""All methods by the name that `--method` takes."""

CLASS_MODEL = "class-model"
"""Method of `explain --method` that draws an image of a category instead of a map of an image (Simonyan et al. 2014)."""


def check_method(name: str, *others: str) -> AttributionMethod:
    """Return the method of this name. FototecaError lists all methods and the `others` that a command accepts."""
    if name not in METHODS:
        raise FototecaError(f"no attribution method {name!r}", f"choose from: {', '.join((*METHODS, *others))}")
    return METHODS[name]


def network_of(model: LoadedModel, purpose: str) -> torch.nn.Module:
    """Return the model's network, images to logits, in channels-last layout. FototecaError if the model has no network."""
    import torch

    from fototeca.analysis.attribution.maps import NetworkInput, attach_network_input

    if model.module is None:
        raise FototecaError(
            f"{purpose} needs a network, and this run has none (boosting, an ensemble)",
            "explain a run with a linear, logistic or svm head",
        )
    shades = zip(model.preprocessing.mean, model.preprocessing.std, strict=True)
    attach_network_input(model.module, NetworkInput(tuple(-mean / std for mean, std in shades), model.multi, model.mirror))
    return model.module.to(memory_format=torch.channels_last)


def attribute(
    loaded_model: LoadedModel, tensor: torch.Tensor, target: int, method: str, *, layer: str = "", iterations: int | None = None
) -> Map:
    """Return the map (H, W), float32, of one preprocessed image (3, H, W) for category number `target`.

    Higher values are more important. `iterations` replaces the default of an iterative method. FototecaError for an unknown
    method or one that does not fit the model; the hint names alternatives.
    """
    chosen = check_method(method)
    return chosen.draw(network_of(loaded_model, method), tensor.unsqueeze(0), target, layer, iterations)
