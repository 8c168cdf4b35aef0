"""Build reviewed image datasets and train classifiers on them.

The Python API does what the commands do; importing it loads no heavy library. See docs/python-api.md.

Example:
    >>> import fototeca as ft
    >>> ws = ft.Workspace.create("perros", ["beagle", "pug"])
    >>> ws.collect_folder("photos", label_from_folder=True)
    >>> ws.deduplicate()
    >>> ws.freeze()
    >>> manifest = ft.load_manifest("perros/manifests/v001.csv")
    >>> run = ft.train(manifest, ft.TrainConfig(model="resnet18", regime="features"))
    >>> run.predict(["new-photo.jpg"])[0].label
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fototeca.analysis.predict.results import Prediction
    from fototeca.collect.http.options import FetchOptions
    from fototeca.core.errors import ExternalError, FototecaError, ShortfallError
    from fototeca.core.results import Result
    from fototeca.manifest import Manifest, load_manifest
    from fototeca.run import Run, list_models, load_run, train
    from fototeca.train.config import TrainConfig
    from fototeca.workspace import Workspace

    __version__: str

_HOMES = {
    "FetchOptions": "fototeca.collect.http.options",
    "ExternalError": "fototeca.core.errors",
    "FototecaError": "fototeca.core.errors",
    "Manifest": "fototeca.manifest",
    "Prediction": "fototeca.analysis.predict.results",
    "Result": "fototeca.core.results",
    "Run": "fototeca.run",
    "ShortfallError": "fototeca.core.errors",
    "TrainConfig": "fototeca.train.config",
    "Workspace": "fototeca.workspace",
    "list_models": "fototeca.run",
    "load_manifest": "fototeca.manifest",
    "load_run": "fototeca.run",
}
"""The module of each public name, imported when the name is first used."""

__all__ = [
    "ExternalError",
    "FetchOptions",
    "FototecaError",
    "Manifest",
    "Prediction",
    "Result",
    "Run",
    "ShortfallError",
    "TrainConfig",
    "Workspace",
    "__version__",
    "list_models",
    "load_manifest",
    "load_run",
    "train",
]


class _TrainPackage(ModuleType):
    """The package `fototeca.train`, callable as the API function of the same name: `ft.train(manifest, config)`."""

    def __call__(self, manifest: Manifest, config: TrainConfig, *, resume: bool = True) -> Run:
        """Train a run; see `fototeca.run.train`."""
        from fototeca.run import train

        return train(manifest, config, resume=resume)


class _Package(ModuleType):
    """The package `fototeca`: resolves public names when they are first used, and makes `fototeca.train` callable."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "train" and isinstance(value, ModuleType):
            value.__class__ = _TrainPackage
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name == "__version__":
            from importlib.metadata import version

            return version("fototeca")
        if name == "train":
            return import_module("fototeca.train")
        if name not in _HOMES:
            raise AttributeError(f"module 'fototeca' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__(self) -> list[str]:
        return sorted(__all__)


sys.modules[__name__].__class__ = _Package
