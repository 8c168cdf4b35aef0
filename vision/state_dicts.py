"""Read tensors by name from weight files and training checkpoints of any program, without running code from the file.

torch unpickles with `weights_only`. Classes that a checkpoint names beside its tensors (`argparse.Namespace` of torchvision's
and timm's training scripts, configurations of Lightning, lists of fastai) are read as inert stand-ins, so nothing is imported or
called for them. A file that is a pickled object itself is refused with the name of its class.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from fototeca.core.errors import FototecaError

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema")
"""Entries of checkpoints with the moving average of the weights, which the programs that write them evaluate."""

PLAIN_ENTRIES = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
"""Entries of checkpoints with the weights of the last step."""

CLASS = "_fototeca_class"
"""Attribute of a stand-in with the name of the class that it replaces."""

HINT = "pass a state dict as .pth or .safetensors: torch.save(model.state_dict(), FILE)"

Versions = Mapping[str, Mapping[str, Any]]
"""torch's `_metadata` of a state dict: by module path, at least the `version` of the module's format."""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name as a file holds them."""

    tensors: Mapping[str, torch.Tensor]
    versions: Versions | None = None
    """None: the file has none, as safetensors and dicts that were built by hand."""
    entry: str = ""
    """Entry of the checkpoint that the tensors were taken from; empty for a bare state dict."""
    other_entry: str = ""
    """Entry with other weights of the same network that was not taken: the last step's beside their average."""


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a weight file or checkpoint. FototecaError says what the file is if it has none."""
    if path.suffix == ".safetensors":
        try:
            return StateDict(dict(load_file(path)))
        except (SafetensorError, OSError):
            raise _unreadable(path) from None
    return _find_state_dict(path, _load(path))


def read_tensor_names(path: Path) -> frozenset[str]:
    """Return the names of the tensors in the header of a .safetensors file."""
    with safe_open(path, "pt") as file:
        return frozenset(file.keys())


def _load(path: Path) -> Any:  # noqa: ANN401  (any object)
    """Unpickle with stand-ins for classes that torch does not allow. FototecaError if that fails."""
    try:
        named = get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []
        with safe_globals([(_stand_in(name), name) for name in named]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError, TypeError, AttributeError):
        raise _unreadable(path) from None


class _Inert:
    """Stand-in for NumPy's arrays and types, whose state is a tuple."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


def _stand_in(name: str) -> type:
    """Return a class that stands for `name` while unpickling: calling it makes an empty dict that remembers the name.

    Objects and subclasses of dict can be built from it, since torch sets the items or attributes of dicts only.
    """
    if name.startswith("numpy."):
        return _Inert

    def create(_cls: type, *_: object, **__: object) -> OrderedDict[Any, Any]:
        value: OrderedDict[Any, Any] = OrderedDict()
        setattr(value, CLASS, name)
        return value

    return type("StandIn", (), {"__new__": create})


def _find_state_dict(path: Path, document: object) -> StateDict:
    """Return the state dict in what was unpickled. FototecaError if there is none."""
    if pickled := getattr(document, CLASS, ""):
        raise FototecaError(f"{path} is a pickled object of {pickled}; reading it would run code", HINT)
    bare = _as_state_dict(document)
    if bare is not None:
        return bare
    entries: Mapping[str, Any] = document if isinstance(document, dict) else {}
    found = {key: state for key in (*AVERAGED, *PLAIN_ENTRIES) if (state := _in_entry(entries.get(key))) is not None}
    if found:
        first, *others = found
        state = found[first]
        other = next((key for key in others if key in PLAIN_ENTRIES), "") if first in AVERAGED else ""
        return StateDict(state.tensors, state.versions, first, other)
    for key, value in entries.items():
        if pickled := getattr(value, CLASS, ""):
            message = f"{path} holds a pickled object of {pickled} as {key!r}; reading it would run code"
            raise FototecaError(message, HINT)
    keys = ", ".join(key for key in list(entries)[:6] if isinstance(key, str))
    content = f"; it is a dict of {keys}" if keys else ""
    raise FototecaError(f"{path} does not contain a state dict{content}", "save model.state_dict() and pass that file")


def _as_state_dict(value: object) -> StateDict | None:
    """Return a mapping of names to tensors; None for anything else.

    Entries that are no tensors (a step count, `None` of an empty buffer) are left out where most are tensors.
    """
    if not isinstance(value, dict) or hasattr(value, CLASS) or not all(isinstance(key, str) for key in value):
        return None
    tensors = {key: item for key, item in value.items() if isinstance(item, torch.Tensor)}
    return StateDict(tensors, getattr(value, "_metadata", None)) if len(tensors) * 2 > len(value) else None


def _in_entry(value: object) -> StateDict | None:
    """Return the state dict that an entry of a checkpoint is, or has as an entry of its own."""
    inner = [value, *(value.get(key) for key in PLAIN_ENTRIES)] if isinstance(value, dict) else []
    return next((state for item in inner if (state := _as_state_dict(item)) is not None), None)


def _unreadable(path: Path) -> FototecaError:
    return FototecaError(f"{path} is not a readable weight file{_describe(path)}", HINT)


def _describe(path: Path) -> str:
    """Return what a file that is no weight file looks like, as a clause; empty if unknown."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
        names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    except (OSError, zipfile.BadZipFile):
        return ""
    text = start.lstrip().lower()
    kinds = {
        "it is empty": not start,
        "it is a pointer of Git LFS: run git lfs pull": start.startswith(b"version https://git-lfs"),
        "it is a web page, so its download failed": text.startswith((b"<!doctype", b"<html")),
        "it is TorchScript": any(name.endswith("/constants.pkl") or "/code/" in name for name in names),
        "it is a program of torch.export": any(name.endswith("exported_program.json") or "/models/" in name for name in names),
        "it is a Keras model": "config.json" in names and any(name.endswith(".h5") for name in names),
        "it is an HDF5 file, as Keras writes": start.startswith(b"\x89HDF"),
        "it is an archive of NumPy": any(name.endswith(".npy") for name in names),
        "it is a NumPy array": start.startswith(b"\x93NUMPY"),
        "it is ONNX": path.suffix.lower() == ".onnx",
        "it is TensorFlow Lite": start[4:8] == b"TFL3",
    }
    kind = next((kind for kind, is_so in kinds.items() if is_so), "")
    return f": {kind}" if kind else ""
