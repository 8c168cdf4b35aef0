"""Weight files of any origin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fototeca.core.errors import FototecaError
from fototeca.vision.backbones import build_model


@pytest.mark.parametrize(
    "content", [{1: torch.ones(2)}, {"epoch": 3}, {}, [torch.ones(2)]], ids=["keys", "values", "none", "list"]
)
def test_file_without_state_dict(tmp_path: Path, content: object) -> None:
    """A list of tensors, or tensors by number as an optimizer saves them, is reported in one line."""
    torch.save(content, path := tmp_path / "f.pth")
    with pytest.raises(FototecaError, match=r"f.pth does not contain a state dict.*; save model.state_dict\(\)"):
        build_model("cnn", 3, str(path))


@pytest.mark.parametrize(
    "note",
    [
        "bicubic, 224",
        "[224, 224]",
        '{"size": 224}',
        '{"resize": "224", "crop": 224}',
        '{"resize": 73, "crop": 64, "mean": 0.5}',
        '{"resize": 73, "crop": 64, "std": [1, 1]}',
        '{"resize": 73, "crop": 64, "interpolation": "best"}',
    ],
)
def test_foreign_preprocessing_metadata(tmp_path: Path, note: str) -> None:
    """Metadata of another program under the same key is rejected."""
    save_file(build_model("cnn", 3)[0].state_dict(), path := tmp_path / "f.safetensors", metadata={"preprocessing": note})
    with pytest.raises(FototecaError, match=r"f.safetensors has metadata on preprocessing that fototeca did not write"):
        build_model("cnn", 3, str(path))
