"""Build networks by name: torchvision's classification models, timm's and fototeca's own, with weights and preprocessing."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torchvision
from PIL import Image
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torchvision.models import get_model_builder, list_models

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.vision.loading import LoadResult, load_state
from fototeca.vision.nets import OWN, PLAIN
from fototeca.vision.origins import describe_average, describe_origin
from fototeca.vision.preprocessing import Preprocessing
from fototeca.vision.state_dicts import StateDict
from fototeca.vision.timm_models import build_timm, check_timm_model, is_timm, timm_preprocessing
from fototeca.vision.weights import WeightFile, find_weights, weight_members

NO_WEIGHTS = "none"
"""Weights id of a randomly initialized network."""

SKIPPED = ("AuxLogits", "aux1", "aux2", "boosting")
"""Parts of files that no network here has: auxiliary classifiers, and trees of a boosting head."""

OWN_SIDE = 64
"""Default input size of fototeca's own networks, in pixels."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network without its classifier: `module` maps (N, 3, H, W) to (N, dimension)."""

    name: str
    module: nn.Module
    dimension: int
    preprocessing: Preprocessing
    weights_id: str
    """SHA-256 of the weight file and of the tensors missing from it (CBAM, random); or NO_WEIGHTS."""


@cache
def model_names() -> tuple[str, ...]:
    """Return the names of all models: fototeca's own, then torchvision's."""
    return (*OWN, *list_models(module=torchvision.models))


def check_model(name: str) -> str:
    """Return `name`. FototecaError with the closest names if there is no such model."""
    if is_timm(name):
        check_timm_model(name)
    elif name not in model_names():
        close = difflib.get_close_matches(name, model_names(), n=4, cutoff=0.5) or model_names()[:6]
        raise FototecaError(f"unknown model {name!r}", f"similar names: {', '.join(close)}")
    return name


@dataclass(frozen=True)
class InitialWeights:
    """Initial state of a network, known before it is built: a weight file, or random values, and their preprocessing."""

    model: str
    file: WeightFile | None
    """None: random values."""
    preprocessing: Preprocessing
    transform_input: bool
    """torchvision's own switch for the published files of GoogLeNet and Inception v3."""

    @property
    def id(self) -> str:
        """SHA-256 of the weight file, or NO_WEIGHTS."""
        return NO_WEIGHTS if self.file is None else self.file.sha256

    def build(self, num_classes: int) -> tuple[nn.Module, str]:
        """Return the network with a new classifier of `num_classes` outputs, and the id of all weights below the classifier.

        FototecaError for weights of another architecture.
        """
        module = _build(self.model, num_classes, initialise=self.file is None)
        if self.file is None:
            return module, NO_WEIGHTS
        missing = _load(self.model, module, self.file)
        if self.transform_input:
            setattr(module, "transform_input", True)  # noqa: B010  (nn.Module types attributes as tensors)
        return module, _digest(self.file.sha256, module, missing)


def inspect_weights(name: str, weights: str | None) -> InitialWeights:
    """Find the weights of a model and read their preprocessing, without loading a tensor or building the network.

    `weights`: a torchvision name, a path, or None for random ones. FototecaError for an unknown model, for weights that cannot
    be found, and for a note on preprocessing that no run wrote.
    """
    check_model(name)
    if weights is None:
        return InitialWeights(name, None, default_preprocessing(name), False)
    file = find_weights(name, weights)
    noted = file.metadata()
    noted.pop("outputs", None)
    published = name in ("googlenet", "inception_v3") and file.member is not None  # torchvision's files for these two expect it
    transform_input = bool(noted.pop("transform_input", published))
    preprocessing = _stored_preprocessing(file, noted) if noted else default_preprocessing(name, file.member)
    return InitialWeights(name, file, preprocessing, transform_input)


def build_model(name: str, num_classes: int, weights: str | None = None) -> tuple[nn.Module, Preprocessing, str]:
    """The model with a new classifier of `num_classes` outputs, its preprocessing, and the weights' id.

    `weights`: a torchvision name, a path, or None for random ones. FototecaError for an unknown model, weights that cannot be
    found, that are of another architecture, or with a note on preprocessing that no run wrote.
    """
    initial = inspect_weights(name, weights)
    module, weights_id = initial.build(num_classes)
    return module, initial.preprocessing, weights_id


def model_skeleton(name: str, num_classes: int) -> nn.Module:
    """The model's modules and parameter names with all parameters on the meta device: no weights and no memory for them."""

    def to_meta(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        return None if parameter is None else nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    check_model(name)
    # a meta device context fails in RegNet, which computes its widths with tensors
    hook = register_module_parameter_registration_hook(to_meta)  # type: ignore[arg-type]  # torch's hint lacks the return value
    try:
        return _build(name, num_classes, initialise=False)
    finally:
        hook.remove()


def _stored_preprocessing(file: WeightFile, values: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing in a file's metadata, tried on an image. FototecaError when it is invalid."""
    try:
        preprocessing = Preprocessing.from_dict(values)
        preprocessing(Image.new("RGB", (9, 9)))
    except (LookupError, RuntimeError, TypeError, ValueError):
        raise file.metadata_error() from None
    return preprocessing


def provides_classifier(name: str, file: WeightFile, outputs: Mapping[str, Any]) -> bool:
    """Return True if a run's weight file holds a classifier for the same outputs over the same features.

    `outputs`: task and categories, as a run writes them into its own file. A classifier trained without the layers that
    start at random here (CBAM) was trained on other features.
    """
    if file.metadata().get("outputs") != outputs:
        return False
    if name not in PLAIN:
        return True
    tensors = file.tensor_names()
    return all(key in tensors for key in model_skeleton(name, 1).state_dict() if _is_new(name, key))


def load_classifier(module: nn.Module, file: WeightFile) -> None:
    """Copy the classifier of a weight file for which `provides_classifier` is True into a model."""
    state = file.state().tensors
    path, layer = classifier_of(module)
    layer.load_state_dict({leaf: state[f"{path}.{leaf}"] for leaf in layer.state_dict()})


def load_backbone(name: str, weights: str | None) -> Backbone:
    """Build a model without its classifier, in eval mode, with frozen parameters."""
    return backbone_of(name, *build_model(name, 1, weights))


def backbone_of(name: str, module: nn.Module, preprocessing: Preprocessing, weights_id: str) -> Backbone:
    """Turn a network into a backbone in place: remove its classifier and freeze its parameters."""
    dimension = classifier_of(module)[1].in_features
    module = remove_classifier(module).eval().requires_grad_(False)
    return Backbone(name, module, dimension, preprocessing, weights_id)


def classifier_of(module: nn.Module) -> tuple[str, nn.Linear]:
    """Return the dotted name and the layer of a model's classifier: what a network of timm names, else the last linear layer."""
    get_classifier: Any = getattr(module, "get_classifier", None)
    own = get_classifier() if get_classifier else None
    if isinstance(own, nn.Linear):
        return next(name for name, layer in module.named_modules() if layer is own), own
    name, layer = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    return name, layer


def replace_classifier(module: nn.Module, classes: int) -> nn.Module:
    """Replace the classifier by a new one of `classes` outputs, in place; return the model."""
    path, old = classifier_of(module)
    _set(module, path, nn.Linear(old.in_features, classes))
    return module


def remove_classifier(module: nn.Module) -> nn.Module:
    """Replace the classifier by the identity, in place; the model then returns features (N, D)."""
    _set(module, classifier_of(module)[0], nn.Identity())
    return module


def default_preprocessing(name: str, member: Any | None = None) -> Preprocessing:  # noqa: ANN401  (torchvision ships no types)
    """Return the preprocessing of the weights' `transforms()`; for other weights that of the model's first published ones."""
    if is_timm(name):
        return timm_preprocessing(name)
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
    if is_timm(name):
        return build_timm(name, classes)
    builder = get_model_builder(name)
    accepted = inspect.signature(inspect.unwrap(builder)).parameters
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # auxiliary classifiers help training from scratch only, at twice the memory
        options = {"aux_logits": False, "init_weights": initialise}
    assert "weights" in accepted
    module: nn.Module = builder(weights=None, **options)
    if name.startswith("squeezenet"):  # a linear layer after pooling equals its 1×1 convolution before pooling
        module.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 1000))
    return replace_classifier(module, classes)


def _load(name: str, module: nn.Module, file: WeightFile) -> list[str]:
    """Load all tensors except the classifier's; return the names of tensors that the file may lack and does.

    Says which weights of several in the file were taken. FototecaError if the file belongs to another architecture.
    """
    state = file.state()
    skip = tuple(f"{prefix}." for prefix in (classifier_of(module)[0], *SKIPPED, *_old_classifier(name)))
    result = load_state(module, state, skip=skip, may_lack=lambda key: _is_new(name, key))
    if result.differences:
        raise _other_architecture(name, file, state, result)
    if averaged := describe_average(state, result):
        notify(f"{file.path.name}: {averaged}")
    return list(result.lacking)


def _other_architecture(name: str, file: WeightFile, state: StateDict, result: LoadResult) -> FototecaError:
    """Return the error that says whose weights a file holds, as far as its names tell."""
    counts = f"{len(result.missing)} tensors missing, {len(result.unknown)} unknown, {len(result.misshapen)} of another shape"
    origin = describe_origin(state.tensors)
    fitting = next((model for model in origin.models if _fits(model, state)), None)
    is_of = f"; they are {'of ' + fitting if fitting else origin.text}" if fitting or origin.text else ""
    return FototecaError(
        f"{file.path} holds weights of another architecture than {name} ({counts}; the first is {result.differences[0]}){is_of}",
        f"pass --model {fitting}" if fitting else "pass weights for this model, or the --model that these weights belong to",
    )


def _fits(name: str, state: StateDict) -> bool:
    """Return True if the shapes of all tensors below the classifier are those of a model."""
    module = model_skeleton(name, 1)
    skip = tuple(f"{prefix}." for prefix in (classifier_of(module)[0], *SKIPPED, *_old_classifier(name)))
    return not load_state(module, state, skip=skip).differences


def _digest(sha256: str, module: nn.Module, new: list[str]) -> str:
    """Return the digest of the file, extended by the randomly initialized tensors if there are any: they depend on the seed."""
    if not new:
        return sha256
    digest, state = hashlib.sha256(sha256.encode()), module.state_dict()
    for key in new:
        digest.update(state[key].numpy().tobytes())
    return digest.hexdigest()


def _old_classifier(name: str) -> tuple[str, ...]:
    """Return the prefixes of a published classifier that `_build` replaced."""
    return ("classifier.1", "classifier.3") if name.startswith("squeezenet") else ()


def _is_new(name: str, key: str) -> bool:
    """Return True for a tensor that published weights of the model without CBAM cannot have."""
    return name in PLAIN and ".cbam." in key


def _set(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, layer)
