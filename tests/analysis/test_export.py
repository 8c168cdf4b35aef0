"""Exported networks say what the run says, for any number of pictures, with all that is needed to use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.export import export_run
from train.runs import load_model, read_run
from vision.image import decode
from workspace import Workspace

Studied = tuple[Workspace, list[str]]


def logits(studied: Studied, run: str, picture: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Five views of a picture, preprocessed, and what the run's own network says of them."""
    model = load_model(studied[0], read_run(studied[0], run))
    assert model.module is not None
    seen = model.preprocessing(decode(picture))
    batch = torch.stack([seen, seen.flip(2), seen.flip(1), seen * 0.5, torch.randn(seen.shape)])
    with torch.no_grad():
        return batch, model.module(batch).numpy()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx_equals_the_network(studied: Studied, first_picture: Callable[[str], Path], tmp_path: Path) -> None:
    """Through onnxruntime within 1e-4, one picture or five; labels, preprocessing and temperature inside and beside."""
    onnxruntime = pytest.importorskip("onnxruntime")
    run = studied[1][1]
    paths = export_run(studied[0], run, "onnx", tmp_path)
    assert [path.name for path in paths] == [f"{run}.onnx", f"{run}.json", f"{run}.md"]
    batch, expected = logits(studied, run, first_picture("val"))
    session = onnxruntime.InferenceSession(str(paths[0]), providers=["CPUExecutionProvider"])
    for n in (5, 1):
        (found,) = session.run(["logits"], {"pictures": batch[:n].numpy()})
        np.testing.assert_allclose(found, expected[:n], atol=1e-4)
    told = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert told == json.loads(paths[1].read_text(encoding="utf-8"))
    assert told["labels"] == ["red", "green", "olive"]
    assert told["preprocessing"]["crop"] == 32
    assert told["temperature"] > 0
    assert "Intended use" in paths[2].read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_export_equals_the_network(studied: Studied, first_picture: Callable[[str], Path], tmp_path: Path) -> None:
    """Loaded again within 1e-5, one picture or five, with the facts inside the file."""
    run = studied[1][0]
    batch, expected = logits(studied, run, first_picture("val"))
    extra = {"fototeca.json": ""}
    program = torch.export.load(export_run(studied[0], run, "torch", tmp_path)[0], extra_files=extra).module()
    for n in (5, 1):
        np.testing.assert_allclose(program(batch[:n]).detach().numpy(), expected[:n], atol=1e-5)
    assert json.loads(extra["fototeca.json"])["run"] == run
