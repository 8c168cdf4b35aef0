"""Every family of torchvision, from a file with its published names to a prediction with a map."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import get_model

from fototeca.analysis.attribution import attribute
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs import load_model
from fototeca.train.trainer import train_run
from fototeca.vision.backbones import classifier_of, model_names, model_skeleton
from fototeca.vision.loading import load_state
from fototeca.vision.nets import OWN
from fototeca.vision.state_dicts import StateDict
from tests.conftest import draw_images
from tests.train.conftest import freeze_files

SMALLEST = {
    "alexnet": 96,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "googlenet": 32,
    "inception_v3": 128,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_x_400mf": 32,
    "resnet18": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 48,
    "swin_t": 32,
    "vit_b_32": 224,
}
"""A small member of each family, and a small side in pixels that it takes. VGG, of half a gigabyte, is built as AlexNet is."""

OLD_NAMES = {
    "vit": ((r"\.mlp\.0\.", ".mlp.linear_1."), (r"\.mlp\.3\.", ".mlp.linear_2.")),
    "densenet": ((r"(denselayer\d+\.(?:norm|relu|conv))([12])\.", r"\1.\2."),),
}
"""Names in published files by family, as torchvision's own loading replaces them."""


def published(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with the names of the published file: old layer names, and no step counts of batch norm."""
    renamed: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key, value in state.items():
        for pattern, old in OLD_NAMES.get(name.split("_")[0].rstrip("0123456789"), ()):
            key = re.sub(pattern, old, key)
        if not key.endswith("num_batches_tracked"):
            renamed[key] = value
    if name.startswith("mnasnet"):
        renamed._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    return renamed


@pytest.mark.parametrize("name", [name for name in model_names() if name not in OWN])
def test_published_names_of_every_model(name: str) -> None:
    """The file's names and shapes fit, without memory for its values."""
    state = model_skeleton(name, 1000).state_dict()
    result = load_state(model_skeleton(name, 1000), StateDict(published(name, state), {"": {"version": 2}}))
    assert not result.differences


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A frozen version of 12 images in two classes."""
    folder = draw_images(tmp_path_factory.mktemp("in"), {"red": 6, "green": 6})
    return freeze_files(tmp_path_factory.mktemp("work"), [(path, path.parent.name) for path in sorted(folder.rglob("*.jpg"))])


@pytest.mark.parametrize("name", SMALLEST)
def test_family_from_published_file_to_map(tiny: Workspace, tmp_path: Path, name: str) -> None:
    """Fine-tuned for one epoch, saved, loaded again with the same tensors, applied, and explained."""
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    torch.save(published(name, get_model(name, **options).state_dict()), path := tmp_path / "w.pth")
    config = TrainConfig(
        "v001", name, "finetune", unfreeze="1", weights=str(path), epochs=1, batch_size=16, image_size=SMALLEST[name]
    )
    run = train_run(tiny, config)
    path.unlink()
    model = load_model(tiny, run)
    assert model.module is not None
    saved = load_file(run.folder / "model.safetensors")
    assert all(torch.equal(saved[key], value) for key, value in model.module.state_dict().items())
    image = next(tiny.images.rglob("*.jpg"))
    probabilities = model.probabilities([image])
    assert probabilities.shape == (1, 2) and np.isfinite(probabilities).all()
    tensor = torch.rand(3, SMALLEST[name], SMALLEST[name])
    heat = attribute(model, tensor, 0, "grad-cam")
    assert heat.shape == tensor.shape[1:] and np.isfinite(heat).all()
    assert classifier_of(model.module)[1].out_features == 2
    for file in ("model.safetensors", "checkpoint.pt"):
        (run.folder / file).unlink()
