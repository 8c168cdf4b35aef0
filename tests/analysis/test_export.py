"""Exported networks equal the run's network for any batch size, with the metadata needed to use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fototeca.analysis.export import _write_onnx, export_run
from fototeca.analysis.predict.predict import predict_paths
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, load_model, read_run
from fototeca.vision.backbones import build_model, classifier_of
from fototeca.vision.image import decode

Studied = tuple[Workspace, list[str]]


def reference_logits(studied: Studied, run: str, image: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Return five views of an image, preprocessed, and the logits of the run's own network."""
    model = load_model(studied[0], read_run(studied[0], run))
    assert model.module is not None
    seen = model.preprocessing(decode(image))
    batch = torch.stack([seen, seen.flip(2), seen.flip(1), seen * 0.5, torch.randn(seen.shape)])
    with torch.no_grad():
        return batch, model.module(batch).numpy()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx_equals_the_network(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """In onnxruntime within 1e-4 for one and five images; metadata in the file and beside it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    run = studied[1][1]
    paths = export_run(studied[0], run, "onnx", tmp_path)
    assert [path.name for path in paths] == [f"{run}.onnx", f"{run}.json", f"{run}.md"]
    batch, expected = reference_logits(studied, run, first_image("val"))
    session = onnxruntime.InferenceSession(str(paths[0]), providers=["CPUExecutionProvider"])
    for n in (5, 1):
        (result,) = session.run(["logits"], {"images": batch[:n].numpy()})
        np.testing.assert_allclose(result, expected[:n], atol=1e-4)
    content = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert content == json.loads(paths[1].read_text(encoding="utf-8"))
    assert content["labels"] == ["red", "green", "olive"]
    assert content["preprocessing"]["crop"] == 32
    assert content["temperature"] > 0
    assert "Intended use" in paths[2].read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_documented_program_agrees_with_predict(
    copied: Studied, first_image: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program in docs/analysis.md gives the same label and nearly the same probability."""
    pytest.importorskip("onnxruntime")
    run = copied[1][1]
    export_run(copied[0], run, "onnx", tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    image = first_image("val")
    for name in ("RUN.json", "RUN.onnx"):
        program = program.replace(name, str(tmp_path / name.replace("RUN", run)))
    exec(program.replace("photo.jpg", str(image)), {})
    label, probability = capsys.readouterr().out.split()
    (prediction,) = predict_paths(copied[0], run, [str(image)])
    assert label == prediction.label and float(probability) == pytest.approx(prediction.probability, abs=0.03)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_export_equals_the_network(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """Loaded again within 1e-5 for one and five images, with the metadata in the file."""
    run = studied[1][0]
    batch, expected = reference_logits(studied, run, first_image("val"))
    extra = {"fototeca.json": ""}
    program = torch.export.load(export_run(studied[0], run, "torch", tmp_path)[0], extra_files=extra).module()
    for n in (5, 1):
        np.testing.assert_allclose(program(batch[:n]).detach().numpy(), expected[:n], atol=1e-5)
    assert json.loads(extra["fototeca.json"])["run"] == run


def make_random_network(name: str, side: int) -> LoadedModel:
    """Return a network whose random weights give logits of about 1; a new one's are near 0 and would equal anything."""
    torch.manual_seed(0)
    module, preprocessing, _ = build_model(name, 5)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None  # the statistics of what was seen, and no mean with what was there
    head, seen = classifier_of(module)[1], torch.randn(8, 3, side, side)
    torch.nn.init.normal_(head.weight)
    with torch.no_grad():
        module.train()(seen)
        head.weight /= module.eval()(seen).std()
    return LoadedModel(False, module, preprocessing.at(side), None)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "side"),
    [("mobilenet_v3_small", 64), ("squeezenet1_0", 64), ("shufflenet_v2_x0_5", 64), ("densenet121", 64), ("vit_b_32", 224)],
)
def test_onnx_equals_each_architecture(name: str, side: int, tmp_path: Path) -> None:
    """Squeeze-excitation, fire modules, channel shuffle, dense connections and attention, within 1e-4."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make_random_network(name, side)
    assert model.module is not None
    _write_onnx(model, tmp_path / "network.onnx", {"labels": list("abcde")})
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    batch = torch.randn(5, 3, side, side)
    with torch.no_grad():
        expected = model.module(batch).numpy()
    assert expected.std() > 0.1
    for n in (5, 1):
        (result,) = session.run(["logits"], {"images": batch[:n].numpy()})
        np.testing.assert_allclose(result, expected[:n], atol=1e-4)
