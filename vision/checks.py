"""Checks of `fototeca doctor` for torch and pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """Result of one check of `fototeca doctor`; `needed` marks what the main job requires."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = False


def checks() -> list[Check]:
    """Check torch, the training device and the pretrained weights on disk."""
    try:
        import torch
        import torchvision  # noqa: F401  (a torch that does not fit it fails here)
    except (ImportError, RuntimeError) as error:
        fix = "install matching releases of torch and torchvision: make setup"
        return [Check("torch", False, str(error).splitlines()[0], fix, needed=True)]
    return [Check("torch", True, f"{torch.__version__}, training on {_device()}", needed=True), _weights()]


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    if torch.backends.mps.is_available():
        return "the Apple GPU"
    return f"the CPU with {torch.get_num_threads()} threads"


def _weights() -> Check:
    from fototeca.vision.weights import checkpoints_folder

    folder = checkpoints_folder()
    files = sorted(path.name for path in folder.glob("*.pth")) if folder.is_dir() else []
    detail = f"{len(files)} in {folder}: {', '.join(files)}" if files else f"none in {folder}"
    fix = f"downloaded when needed; offline, put torchvision's .pth files into {folder} or pass --weights FILE"
    return Check("pretrained weights", bool(files), detail, fix)
