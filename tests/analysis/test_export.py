"""Exported networks say what the run says, for any number of images, with all that is needed to use them."""

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


def logits(studied: Studied, run: str, image: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Five views of an image, preprocessed, and what the run's own network says of them."""
    model = load_model(studied[0], read_run(studied[0], run))
    assert model.module is not None
    seen = model.preprocessing(decode(image))
    batch = torch.stack([seen, seen.flip(2), seen.flip(1), seen * 0.5, torch.randn(seen.shape)])
    with torch.no_grad():
        return batch, model.module(batch).numpy()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_onnx_equals_the_network(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """Through onnxruntime within 1e-4, one image or five; labels, preprocessing and temperature inside and beside."""
    onnxruntime = pytest.importorskip("onnxruntime")
    run = studied[1][1]
    paths = export_run(studied[0], run, "onnx", tmp_path)
    assert [path.name for path in paths] == [f"{run}.onnx", f"{run}.json", f"{run}.md"]
    batch, expected = logits(studied, run, first_image("val"))
    session = onnxruntime.InferenceSession(str(paths[0]), providers=["CPUExecutionProvider"])
    for n in (5, 1):
        (found,) = session.run(["logits"], {"images": batch[:n].numpy()})
        np.testing.assert_allclose(found, expected[:n], atol=1e-4)
    told = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert told == json.loads(paths[1].read_text(encoding="utf-8"))
    assert told["labels"] == ["red", "green", "olive"]
    assert told["preprocessing"]["crop"] == 32
    assert told["temperature"] > 0
    assert "Intended use" in paths[2].read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_program_of_the_documents_says_what_predict_says(
    copied: Studied, first_image: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copied from docs/analysis.md, with the names of the files: the same label, and nearly the same probability."""
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
    (fact,) = predict_paths(copied[0], run, [str(image)])
    assert label == fact["label"] and float(probability) == pytest.approx(fact["probability"], abs=0.03)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_export_equals_the_network(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """Loaded again within 1e-5, one image or five, with the facts inside the file."""
    run = studied[1][0]
    batch, expected = logits(studied, run, first_image("val"))
    extra = {"fototeca.json": ""}
    program = torch.export.load(export_run(studied[0], run, "torch", tmp_path)[0], extra_files=extra).module()
    for n in (5, 1):
        np.testing.assert_allclose(program(batch[:n]).detach().numpy(), expected[:n], atol=1e-5)
    assert json.loads(extra["fototeca.json"])["run"] == run


def with_something_to_say(name: str, side: int) -> LoadedModel:
    """A network of random weights whose norms know what they see and whose logits are about 1: those of a new one are nearly 0,
    and would be equal to anything."""
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
def test_onnx_equals_networks_of_every_kind(name: str, side: int, tmp_path: Path) -> None:
    """Squeezes and hard swishes, fire modules, shuffled channels, dense links, attention: within 1e-4, one image or five."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = with_something_to_say(name, side)
    assert model.module is not None
    _write_onnx(model, tmp_path / "network.onnx", {"labels": list("abcde")})
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    batch = torch.randn(5, 3, side, side)
    with torch.no_grad():
        expected = model.module(batch).numpy()
    assert expected.std() > 0.1
    for n in (5, 1):
        (found,) = session.run(["logits"], {"images": batch[:n].numpy()})
        np.testing.assert_allclose(found, expected[:n], atol=1e-4)
