"""Drawings of filters and feature maps show the network's values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model

from fototeca.analysis.attribution.filters import (
    TILE_SIZE,
    compute_feature_maps,
    draw_filters,
    draw_maps,
    filter_figures,
    read_first_filters,
)
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "swin_t", "vit_b_32"])
def test_feature_maps_equal_layer_outputs(name: str) -> None:
    """Default layers of each architecture have decreasing map sizes; a named layer's maps equal its output."""
    torch.manual_seed(0)
    module, seen = (
        get_model(name, weights=None, num_classes=3).eval(),
        torch.randn(1, 3, 224 if name.startswith("vit") else 96, 224),
    )
    seen = seen[..., : seen.shape[2]]
    sizes = [found.shape[1] for found in compute_feature_maps(module, seen).values()]
    assert 1 <= len(sizes) <= 4
    assert sizes == sorted(sizes, reverse=True) and min(sizes) > 1
    if name == "resnet18":
        found = compute_feature_maps(module, seen, ["layer2"])
        stem = module.maxpool(module.relu(module.bn1(module.conv1(seen))))
        np.testing.assert_allclose(found["layer2"], module.layer2(module.layer1(stem))[0].detach().numpy(), atol=1e-5)
        with pytest.raises(FototecaError, match="no spatial output"):
            compute_feature_maps(module, seen, ["fc"])
        with pytest.raises(FototecaError, match="no layer 'nothing'"):
            compute_feature_maps(module, seen, ["nothing"])


def test_filters_show_the_first_convolution() -> None:
    """Zero is gray, the largest weight full color, every weight a square."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 4, bias=False))
    module[0].weight.data.zero_()
    module[0].weight.data[0, 1, 0, 0] = 0.3
    module[0].weight.data[0, 2, 3, 3] = -0.3
    page = np.asarray(draw_filters(read_first_filters(module)))
    assert page[6, 6].tolist() == [128, 255, 128]
    assert page[6 + TILE_SIZE - 1, 6 + TILE_SIZE - 1].tolist() == [128, 128, 0]
    assert (page[6 : 6 + TILE_SIZE, 12 + TILE_SIZE : 12 + 2 * TILE_SIZE] == 128).all()
    with pytest.raises(FototecaError, match="no convolution"):
        read_first_filters(torch.nn.Linear(3, 3))


def test_maps_are_sorted_by_mean() -> None:
    """The map with the largest mean is at the upper left."""
    maps = np.stack([np.full((8, 8), 0.1), np.eye(8) * 4]).astype(np.float32)
    page = np.asarray(draw_maps(maps))
    assert page[8, 8].sum() > page[8, 20].sum()


def test_filter_figures_writes_images(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """One file for the image, one for the filters, one per layer."""
    workspace, runs = studied
    paths = filter_figures(workspace, runs[0], output=tmp_path)
    assert [path.name for path in paths[:2]] == ["seen.png", "filters.png"]
    assert len(paths) > 2
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) >= 32
    with pytest.raises(FototecaError, match="is none of the validation images"):
        filter_figures(workspace, runs[0], image="zzz", output=tmp_path)
