"""Pretrained weights: by torchvision's name, or by path; what they are (SHA-256), and what is to be had without a network."""

from __future__ import annotations

import hashlib
import http.client
import json
import pickle
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torchvision.models import get_model_weights
from tqdm import tqdm

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import atomic_write
from fototeca.vision.nets import OWN, PLAIN

TIMEOUT = 10.0
"""Seconds without an answer after which a download is given up."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which every torchvision model expects."""


@dataclass(frozen=True)
class WeightFile:
    """A file of weights, its SHA-256, and the torchvision member it is, if it is one."""

    path: Path
    sha256: str
    member: Any | None

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors by name, read without running any code of the file; FototecaError when it is no such file."""
        try:
            if self.path.suffix == ".safetensors":
                return dict(load_file(self.path))
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError):
            raise FototecaError(
                f"{self.path} is no file of weights that can be read", "pass a state dict as .pth or .safetensors"
            ) from None
        for key in ("state_dict", "model"):  # how training scripts wrap it
            if isinstance(state, dict) and isinstance(state.get(key), dict):
                state = state[key]
        if (
            not isinstance(state, dict)
            or not state
            or not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items())
        ):
            raise FototecaError(f"{self.path} holds no state dict", "save model.state_dict() and pass that file")
        return {_modern(key.removeprefix("module.")): value for key, value in state.items()}

    def tensor_names(self) -> frozenset[str]:
        """The names of the tensors of a .safetensors file, read from its header; of other files none."""
        if self.path.suffix != ".safetensors":
            return frozenset()
        with safe_open(self.path, "pt") as file:
            return frozenset(_modern(key.removeprefix("module.")) for key in file.keys())  # noqa: SIM118  (not a mapping)

    def metadata(self) -> dict[str, Any]:
        """What a run wrote into its own file: its preprocessing, transform_input, what it answers; empty for others.

        FototecaError when something else wrote there.
        """
        if self.path.suffix != ".safetensors":
            return {}
        with safe_open(self.path, "pt") as file:
            noted = (file.metadata() or {}).get("preprocessing")
        try:
            return dict(json.loads(noted).items()) if noted else {}
        except (AttributeError, ValueError):
            raise self.odd_note() from None

    def odd_note(self) -> FototecaError:
        """What to say of a file whose note on preprocessing is none of ours."""
        return FototecaError(
            f"{self.path} has a note on preprocessing that no run of fototeca wrote", "save the tensors without metadata"
        )


def find_weights(model: str, weights: str, *, fetch: bool = True) -> WeightFile:
    """The file that `weights` names for `model`: a torchvision member (DEFAULT, IMAGENET1K_V1…) or a path.

    A member's file is looked for in torchvision's cache and, with `fetch`, fetched when it is not there; its digest is checked
    either way. A file at a path is the member whose digest it has, whatever its name; one that bears a member's name must be it.
    FototecaError (exit 4) says what to fetch and where to put it when there is no network.
    """
    members = weight_members(model)
    if weights == "DEFAULT" or weights in {member.name for member in members}:
        return _member_file(model, weights, fetch)
    path = Path(weights).expanduser()
    if not path.is_file():
        names = ", ".join(["DEFAULT", *(member.name for member in members)]) if members else "none by name"
        raise FototecaError(f"no weights {weights!r} for {model}", f"pass a file, run:ID, or a torchvision name: {names}")
    sha256 = file_sha256(path)
    for member in members:
        if cached_path(member).name == path.name:
            _check_digest(sha256, member.url, path)
    same = [member for member in members if (start := _announced(member.url)) and sha256.startswith(start)]
    return WeightFile(path, sha256, same[0] if same else None)


def weight_members(model: str) -> list[Any]:
    """torchvision's weights for a model; none for the project's own networks without a plain twin."""
    name = PLAIN.get(model, model)
    return [] if name in OWN else list(get_model_weights(name))


def _member_file(model: str, weights: str, fetch: bool) -> WeightFile:
    enum = get_model_weights(PLAIN.get(model, model)) if weight_members(model) else None
    if enum is None:
        raise FototecaError(f"{model} has no published weights", "use --regime scratch, or pass a file or run:ID")
    member = enum.DEFAULT if weights == "DEFAULT" else enum[weights]
    path = cached_path(member)
    if not path.is_file():
        if not fetch:
            raise _not_to_be_had(member.url, path, "its host could not be reached a moment ago")
        _fetch(member.url, path)
    sha256 = file_sha256(path)
    _check_digest(sha256, member.url, path)
    return WeightFile(path, sha256, member)


def _check_digest(sha256: str, url: str, path: Path) -> None:
    if not sha256.startswith(_announced(url)):
        raise FototecaError(
            f"{path} is not the file that {url} names: its SHA-256 differs",
            "delete it and try again, or rename it if it is your own",
        )


def checkpoints_folder() -> Path:
    """Where torchvision keeps what it has fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def cached_path(member: Any) -> Path:  # noqa: ANN401  (torchvision ships no types)
    """Where torchvision keeps a member's file."""
    return checkpoints_folder() / str(member.url).rsplit("/", 1)[-1]


def best_weights(model: str) -> str | None:
    """The name of the best weights for `model` that lie on disk (DEFAULT first); None when there are none."""
    members = weight_members(model)
    there = [member for member in members if cached_path(member).is_file()]
    if not there:
        return None
    default = get_model_weights(PLAIN.get(model, model)).DEFAULT
    return str((default if default in there else there[-1]).name)


def file_sha256(path: Path) -> str:
    """SHA-256 hex of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _announced(url: str) -> str:
    """The start of the SHA-256 that torchvision puts into file names."""
    found = re.search(r"-([0-9a-f]{8,})\.", url)
    return found.group(1) if found else ""


def _fetch(url: str, path: Path) -> None:
    """Fetch a file; nothing stays at `path` unless it is whole and has the digest that its name announces."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, atomic_write(path) as file:
            size = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
                while block := answer.read(1 << 20):
                    file.write(block)
                    digest.update(block)
                    bar.update(len(block))
            if not digest.hexdigest().startswith(_announced(url)):
                raise OSError("what came is not that file: its SHA-256 differs")
    except (OSError, http.client.HTTPException) as error:
        raise _not_to_be_had(url, path, str(getattr(error, "reason", error))) from None


def _not_to_be_had(url: str, path: Path, why: str) -> FototecaError:
    """What to fetch and where to put it."""
    hint = f"fetch {url} where there is a network and put it at {path}, or pass --weights FILE"
    return FototecaError(f"cannot fetch the weights {path.name}: {why}", hint, EXIT_OUTSIDE)


def _modern(key: str) -> str:
    """DenseNet's files name layers as an old torch did: `norm.1` is `norm1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key)
