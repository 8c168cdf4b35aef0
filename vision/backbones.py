"""Every network by name: torchvision's classification models and the project's own, with weights and preprocessing."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models import get_model_builder, list_models
from torchvision.transforms.v2 import functional

from fototeca.core.errors import FototecaError
from fototeca.vision.nets import OWN, PLAIN
from fototeca.vision.pixels import square
from fototeca.vision.weights import MEAN, STD, WeightFile, find_weights, weight_members

NO_WEIGHTS = "none"
"""The weights' id of a network that starts at random."""

OWN_SIDE = 64
"""Pixels that the project's own networks look at unless told otherwise."""


@dataclass(frozen=True)
class Preprocessing:
    """What turns an image into input: shorter edge to `resize`, middle `crop` × `crop`, channels minus `mean` over `std`."""

    resize: int
    crop: int
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    interpolation: str = "bilinear"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`."""
        plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**plain)

    def at(self, side: int | None) -> Preprocessing:
        """The same with `side` pixels of input, the margin around the crop in proportion; unchanged when None."""
        return self if side is None else replace(self, crop=side, resize=max(side, round(side * self.resize / self.crop)))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """(3, crop, crop) float32 of one image."""
        return self.tensor(square(np.array(image), self.resize, self.interpolation))

    def tensor(self, pixels: torch.Tensor) -> torch.Tensor:
        """(…, 3, crop, crop) float32 of uint8 squares (…, 3, resize, resize)."""
        return self.normalise(functional.center_crop(pixels, [self.crop, self.crop]))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 of uint8 (…, 3, H, W): to 0…1, minus mean, over std."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return pixels.float().div_(255).sub_(mean).div_(std)


@dataclass(frozen=True)
class Backbone:
    """A frozen network without its classifier: `module` takes (N, 3, H, W) and gives (N, dimension)."""

    name: str
    module: nn.Module
    dimension: int
    preprocessing: Preprocessing
    weights_id: str
    """SHA-256 of the weight file, and of what it lacks and started at random (CBAM); or NO_WEIGHTS."""


@cache
def model_names() -> tuple[str, ...]:
    """Every model that can be built: the project's own, then torchvision's."""
    return (*OWN, *list_models(module=torchvision.models))


def check_model(name: str) -> str:
    """Return `name` if there is such a model, else FototecaError with the closest names."""
    if name not in model_names():
        close = difflib.get_close_matches(name, model_names(), n=4, cutoff=0.5) or model_names()[:6]
        raise FototecaError(f"unknown model {name!r}", f"close ones: {', '.join(close)}")
    return name


def build_model(name: str, classes: int, weights: str | None = None) -> tuple[nn.Module, Preprocessing, str]:
    """The model with a new classifier of `classes` outputs, its preprocessing, and the weights' id.

    `weights`: a torchvision name, a path, or None for random ones. FototecaError for an unknown model, weights that are
    not to be had, that are of another architecture, or with a note on preprocessing that no run wrote.
    """
    check_model(name)
    module = _build(name, classes, initialise=weights is None)
    if weights is None:
        return module, default_preprocessing(name), NO_WEIGHTS
    file = find_weights(name, weights)
    new = _load(name, module, file)
    noted = file.metadata()
    noted.pop("answers", None)
    published = name in ("googlenet", "inception_v3") and file.member is not None  # torchvision's files for these two expect it
    if noted.pop("transform_input", published):
        setattr(module, "transform_input", True)  # noqa: B010  (nn.Module types attributes as tensors)
    preprocessing = _noted(file, noted) if noted else default_preprocessing(name, file.member)
    return module, preprocessing, _digest(file.sha256, module, new)


def _noted(file: WeightFile, values: dict[str, Any]) -> Preprocessing:
    """The preprocessing that a file tells of, tried on an image. FototecaError when there is no such one."""
    try:
        found = Preprocessing.from_dict(values)
        found(Image.new("RGB", (9, 9)))
    except (LookupError, RuntimeError, TypeError, ValueError):
        raise file.odd_note() from None
    return found


def take_classifier(name: str, module: nn.Module, weights: str, answers: Mapping[str, Any]) -> bool:
    """Give a model the classifier of a file too, if it fits what the model takes from that file; whether it does.

    `answers`: what the outputs mean, as a run notes it in its own file; others tell nothing. A classifier that learned without
    the layers that start at random here (CBAM) was given other features.
    """
    file = find_weights(name, weights)
    if file.metadata().get("answers") != answers:
        return False
    state = file.state()
    if any(_is_new(name, key) and key not in state for key in module.state_dict()):
        return False
    path, layer = classifier_of(module)
    layer.load_state_dict({leaf: state[f"{path}.{leaf}"] for leaf in layer.state_dict()})
    return True


def load_backbone(name: str, weights: str | None) -> Backbone:
    """The network without its classifier, in eval mode, its parameters frozen."""
    return backbone_of(name, *build_model(name, 1, weights))


def backbone_of(name: str, module: nn.Module, preprocessing: Preprocessing, weights_id: str) -> Backbone:
    """The network itself, which loses its classifier and learns no more, as a backbone."""
    dimension = classifier_of(module)[1].in_features
    module = remove_classifier(module).eval().requires_grad_(False)
    return Backbone(name, module, dimension, preprocessing, weights_id)


def classifier_of(module: nn.Module) -> tuple[str, nn.Linear]:
    """The dotted name and the layer of a model's classifier: its last linear one."""
    name, layer = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    return name, layer


def replace_classifier(module: nn.Module, classes: int) -> nn.Module:
    """The model with a new classifier of `classes` outputs."""
    path, old = classifier_of(module)
    _set(module, path, nn.Linear(old.in_features, classes))
    return module


def remove_classifier(module: nn.Module) -> nn.Module:
    """The model with its classifier replaced by nothing: what is left gives features (N, D)."""
    _set(module, classifier_of(module)[0], nn.Identity())
    return module


def default_preprocessing(name: str, member: Any | None = None) -> Preprocessing:  # noqa: ANN401  (torchvision ships no types)
    """What the weights' own `transforms()` say; for random weights and files of unknown origin the model's first ones'."""
    if PLAIN.get(name, name) in OWN:
        return Preprocessing(round(OWN_SIDE * 8 / 7), OWN_SIDE)
    transforms = (member or weight_members(name)[0]).transforms()
    return Preprocessing(
        transforms.resize_size[0],
        transforms.crop_size[0],
        tuple(transforms.mean),
        tuple(transforms.std),
        transforms.interpolation.value,
    )


def _build(name: str, classes: int, initialise: bool) -> nn.Module:
    if name in OWN:
        return OWN[name](classes)
    builder = get_model_builder(name)
    accepted = inspect.signature(inspect.unwrap(builder)).parameters
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # their extra classifiers only help training from nothing, at twice the memory
        options = {"aux_logits": False, "init_weights": initialise}
    assert "weights" in accepted
    module: nn.Module = builder(weights=None, **options)
    if name.startswith("squeezenet"):  # its classifier is a 1×1 convolution before pooling: the same sums, as a linear layer
        module.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 1000))
    return replace_classifier(module, classes)


def _load(name: str, module: nn.Module, file: WeightFile) -> list[str]:
    """Take all tensors but the classifier's; return the names of those that the file lacks and may lack.

    FototecaError when the file is of another architecture.
    """
    state = file.state()
    own = module.state_dict()
    classifier = classifier_of(module)[0]
    left_out = tuple(f"{prefix}." for prefix in (classifier, "AuxLogits", "aux1", "aux2", *_old_classifier(name)))
    lacking = [key for key in own if key not in state and not key.startswith(left_out) and "num_batches_tracked" not in key]
    new = [key for key in lacking if _is_new(name, key)]
    missing = [key for key in lacking if not _is_new(name, key)]
    strange = [key for key in state if key not in own and not key.startswith((*left_out, "boosting."))]
    unfit = [key for key in own if key in state and not key.startswith(left_out) and own[key].shape != state[key].shape]
    if missing or strange or unfit:
        first = (missing or strange or unfit)[0]
        raise FototecaError(
            f"{file.path} holds the weights of another architecture than {name} ({len(missing)} tensors missing, "
            f"{len(strange)} unknown, {len(unfit)} of another shape; the first is {first})",
            "pass the weights of this model, or name the model they belong to",
        )
    module.load_state_dict({key: state[key] for key in own if key in state and not key.startswith(left_out)}, strict=False)
    return new


def _digest(sha256: str, module: nn.Module, new: list[str]) -> str:
    """A file's digest; with tensors that it lacks, of both: another seed makes another network of the same file."""
    if not new:
        return sha256
    digest, state = hashlib.sha256(sha256.encode()), module.state_dict()
    for key in new:
        digest.update(state[key].numpy().tobytes())
    return digest.hexdigest()


def _old_classifier(name: str) -> tuple[str, ...]:
    """Where a published file keeps the classifier that was replaced."""
    return ("classifier.1", "classifier.3") if name.startswith("squeezenet") else ()


def _is_new(name: str, key: str) -> bool:
    """Whether the plain twin's weights cannot have this tensor."""
    return name in PLAIN and ".cbam." in key


def _set(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, layer)
