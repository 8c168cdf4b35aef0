"""Load tensors into a network through its own hooks and versions: the one place for training, runs, ensembles and export.

torchvision renames tensors while a module loads them (ViT's `mlp.linear_1` of published files is `mlp.0`) and reads the version
of a file's format (MNASNet), so names are compared after loading, never before. Checkpoints put the names of wrappers before
those of the network, or number its children; each such reading is tried, and the first one that fits counts.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fototeca.vision.state_dicts import StateDict, Versions

AVERAGED_WRAPPERS = ("ema", "ema_model", "model_ema", "averaged_model")
"""Attributes under which training modules keep the moving average of their network."""

WRAPPERS = ("module", "_orig_mod", "model", "backbone", "net", "network", "encoder", *AVERAGED_WRAPPERS)
"""Attributes under which DDP, torch.compile, Lightning and others keep a network."""

PREFIX = re.compile(rf"(?:(?:{'|'.join(WRAPPERS)})\.)+")

MAX_READINGS = 4
"""Readings of a file that are loaded, those with the most names of the network first."""

Names = Mapping[str, torch.Tensor]
MayLack = Callable[[str], bool]


@dataclass(frozen=True)
class LoadResult:
    """Names of the tensors in which a file and a network differ; empty where they fit."""

    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    """Tensors that the file lacks and may lack; they keep their values."""
    prefix: str = ""
    """Wrapper's name before each name of the network in the file."""

    @property
    def differences(self) -> tuple[str, ...]:
        """All names in which the two differ."""
        return (*self.missing, *self.unknown, *self.misshapen)


def load_state(module: nn.Module, state: StateDict, *, skip: tuple[str, ...] = (), may_lack: MayLack | None = None) -> LoadResult:
    """Load a state dict into a module in place, by the first reading that fits.

    Args:
        module: the network; it is left partly loaded if no reading fits.
        state: tensors of any precision and device.
        skip: prefixes of names that are loaded from no file and may be in it, such as a classifier's.
        may_lack: True for names that a file may lack; batch norm's step counts always may.

    Returns:
        The differences of the reading that fits best.
    """
    results = []
    for prefix, tensors, versions in _readings(module, state):
        wanted = {name: value for name, value in tensors.items() if not name.startswith(skip)} if skip else tensors
        for variant in _version_variants(module, versions):
            result = _load_once(module, wanted, variant, skip, may_lack or (lambda _: False), prefix)
            if not result.differences:
                return result
            results.append(result)
    return min(results, key=lambda result: len(result.differences))


def load_own(module: nn.Module, tensors: Names) -> None:
    """Load the tensors that a module of the same network had, as training stored them. RuntimeError if they do not fit."""
    result = load_state(module, StateDict(tensors, getattr(tensors, "_metadata", None)))
    if result.differences:
        raise RuntimeError(f"{len(result.differences)} tensors differ; the first is {result.differences[0]}")


def _readings(module: nn.Module, state: StateDict) -> Iterator[tuple[str, Names, Versions | None]]:
    """Yield the readings of a file, those that share the most names with the module first: prefix, tensors, versions."""
    own = module.state_dict().keys()
    tensors = {current_name(name): value for name, value in state.tensors.items()}
    readings = [(prefix, *_strip(prefix, tensors, state.versions)) for prefix in _prefixes(tensors)]
    readings += [
        (prefix, numbered, None) for prefix, names, _ in readings if (numbered := _from_numbered_children(module, names))
    ]

    def num_shared(reading: tuple[str, Names, Versions | None]) -> tuple[int, bool]:
        """Rank by shared names; of two that share the same ones an average of the weights counts before the last step's."""
        prefix, names, _ = reading
        return len(own & names.keys()), any(part in AVERAGED_WRAPPERS for part in prefix.split("."))

    yield from sorted(readings, key=num_shared, reverse=True)[:MAX_READINGS]


def _prefixes(tensors: Names) -> list[str]:
    """Return every chain of wrappers before a name, the empty one first."""
    chains = {""}
    for name in tensors:
        match = PREFIX.match(name)
        parts = match.group().split(".")[:-1] if match else []
        chains |= {"".join(f"{part}." for part in parts[:end]) for end in range(1, len(parts) + 1)}
    return sorted(chains, key=len)


def _strip(prefix: str, tensors: Names, versions: Versions | None) -> tuple[Names, Versions | None]:
    """Return the tensors and versions below a prefix, by their names without it."""
    if not prefix:
        return tensors, versions
    inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if versions is None:
        return inside, None
    paths = ((_without_compile(f"{path}."), value) for path, value in versions.items())  # the inner of equal paths comes last
    return inside, {path.removeprefix(prefix).rstrip("."): value for path, value in paths if path.startswith(prefix)}


def _from_numbered_children(module: nn.Module, tensors: Names) -> Names:
    """Return fastai's names as the network's own: `0.N.` is the network's Nth child, `1.` fastai's head, which is left out."""
    children = [name for name, _ in module.named_children()]
    renamed = {}
    for name, value in tensors.items():
        match = re.match(r"0\.(\d+)\.", name)
        if match and int(match.group(1)) < len(children):
            renamed[f"{children[int(match.group(1))]}.{name[match.end() :]}"] = value
    return renamed


def _version_variants(module: nn.Module, versions: Versions | None) -> Iterator[Versions]:
    """Yield versions for a module's hooks: the file's; without any in it none, the current ones, and the first of the network's.

    A module that has the layers of the file's version already is loaded as if both were current: hooks would replace layers whose
    parameters an optimizer has.
    """
    current = module.state_dict()._metadata  # type: ignore[attr-defined]  # torch documents it, its types do not
    if versions is None:
        yield {}
        for version in sorted({type(module)._version, 1}, reverse=True):
            yield _with_version(current, version)
        return
    root = versions.get("", {}).get("version")
    yield _with_version(versions, type(module)._version) if root == module._version else versions


def _with_version(versions: Versions, version: int | None) -> Versions:
    return {**versions, "": {"version": version}}


def _load_once(
    module: nn.Module, tensors: Names, versions: Versions, skip: tuple[str, ...], may_lack: MayLack, prefix: str
) -> LoadResult:
    """Load one reading and compare the names after the module's hooks have renamed them."""
    state: OrderedDict[str, torch.Tensor] = OrderedDict(tensors)
    state._metadata = versions  # type: ignore[attr-defined]
    missing: list[str] = []
    unknown: list[str] = []
    errors: list[str] = []
    handle = _note_keys(module, missing, unknown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision's on old files, torch's on parameters without memory
            module.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:  # other shapes, and MNASNet's hook without a version
        errors = re.findall(r"size mismatch for ([^:]+):", str(error)) or [str(error)]
    finally:
        handle.remove()
    if skip:
        missing, unknown = ([name for name in names if not name.startswith(skip)] for names in (missing, unknown))
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    lacking = tuple(name for name in missing if may_lack(name))
    return LoadResult(tuple(name for name in missing if name not in lacking), tuple(unknown), tuple(errors), lacking, prefix)


def _note_keys(module: nn.Module, missing: list[str], unknown: list[str]) -> Any:  # noqa: ANN401  (a handle to remove the hook)
    """Register a hook that copies the missing and unexpected names of a load, which an error about shapes would hide."""

    def note(_: nn.Module, keys: Any) -> None:  # noqa: ANN401  (torch's _IncompatibleKeys)
        missing.extend(keys.missing_keys)
        unknown.extend(keys.unexpected_keys)

    return module.register_load_state_dict_post_hook(note)  # type: ignore[no-untyped-call]


def current_name(name: str) -> str:
    """Translate the layer names of old DenseNet files, `norm.1` is `norm1`, and leave out torch.compile's `_orig_mod`."""
    name = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", name)
    return _without_compile(name)


def _without_compile(name: str) -> str:
    return name.replace("._orig_mod.", ".")
