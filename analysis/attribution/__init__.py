"""Attribution: which pixels made a model say a category. One file per family of methods, one registry for all.

`attribute` is the only door: it finds the method, checks that it fits the model, and returns a map of the input's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.attribution.maps import Map
from workspace import FototecaError

if TYPE_CHECKING:
    import torch

    from train.runs import LoadedModel


@dataclass(frozen=True)
class Method:
    """How to draw one kind of map.

    `function(module, tensor (1, 3, H, W), target, layer)` returns (H, W), higher where it matters more; `layer` is a module's
    name or empty. `spatial`: it needs a layer whose activations still have a place on the picture.
    """

    function: Callable[[torch.nn.Module, torch.Tensor, int, str], Map]
    source: str
    """The paper."""
    spatial: bool = False


def _grad_cam(module: torch.nn.Module, tensor: torch.Tensor, target: int, layer: str) -> Map:
    from analysis.attribution.gradients import grad_cam

    return grad_cam(module, tensor, target, layer)


def _saliency(module: torch.nn.Module, tensor: torch.Tensor, target: int, layer: str) -> Map:
    from analysis.attribution.gradients import saliency

    return saliency(module, tensor, target)


def _smoothgrad(module: torch.nn.Module, tensor: torch.Tensor, target: int, layer: str) -> Map:
    from analysis.attribution.sampled import smoothgrad

    return smoothgrad(module, tensor, target)


def _integrated_gradients(module: torch.nn.Module, tensor: torch.Tensor, target: int, layer: str) -> Map:
    from analysis.attribution.sampled import integrated_gradients

    return integrated_gradients(module, tensor, target)


def _occlusion(module: torch.nn.Module, tensor: torch.Tensor, target: int, layer: str) -> Map:
    from analysis.attribution.sampled import occlusion

    return occlusion(module, tensor, target)


METHODS: dict[str, Method] = {
    "grad-cam": Method(_grad_cam, "Selvaraju et al. 2017", spatial=True),
    "saliency": Method(_saliency, "Simonyan et al. 2014"),
    "smoothgrad": Method(_smoothgrad, "Smilkov et al. 2017"),
    "integrated-gradients": Method(_integrated_gradients, "Sundararajan et al. 2017"),
    "occlusion": Method(_occlusion, "Zeiler and Fergus 2014"),
}
"""Every method by the name that `--method` takes."""


def check_method(name: str) -> Method:
    """The method of this name, or FototecaError with those there are."""
    if name not in METHODS:
        raise FototecaError(f"no attribution method {name!r}", f"choose from: {', '.join(METHODS)}")
    return METHODS[name]


def attribute(loaded_model: LoadedModel, tensor: torch.Tensor, target: int, method: str, *, layer: str = "") -> Map:
    """The map (H, W) of one preprocessed picture (3, H, W) for category number `target`, float32, higher where it matters more.

    FototecaError when there is no such method, or it does not fit the model (the hint says which do).
    """
    chosen = check_method(method)
    if loaded_model.module is None:
        raise FototecaError(
            f"{method} needs a network, and this run's classifier is none (boosting, an ensemble)",
            "explain a run with a linear, logistic or svm head",
        )
    return chosen.function(loaded_model.module, tensor.unsqueeze(0), target, layer)
