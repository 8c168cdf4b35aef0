"""Attribution maps equal their references, on several families, frozen or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam, Saliency
from torchvision.models import get_model

from analysis.attribution.gradients import grad_cam, saliency
from analysis.attribution.layers import target_layer
from workspace import FototecaError

FAMILIES = ("resnet18", "squeezenet1_0", "mobilenet_v3_small", "regnet_y_400mf")


def network(name: str, frozen: bool = False) -> torch.nn.Module:
    """The model with fixed random weights."""
    torch.manual_seed(0)
    module: torch.nn.Module = get_model(name, weights=None, num_classes=5).eval()
    if name.startswith("vit"):  # torchvision begins its classifier with zeros
        torch.nn.init.normal_(module.heads.head.weight)
    return module.requires_grad_(not frozen)


def picture(side: int = 96) -> torch.Tensor:
    """Noise (1, 3, side, side)."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_grad_cam_equals_captums(name: str) -> None:
    """The same layer, the same map, also when the backbone is frozen."""
    module, seen = network(name), picture()
    layer = target_layer(module, seen)
    with torch.enable_grad():
        theirs = LayerGradCam(module, layer).attribute(seen.clone().requires_grad_(), target=2)
    expected = LayerAttribution.interpolate(torch.relu(theirs.detach()), (96, 96), "bilinear")[0, 0].numpy()
    np.testing.assert_allclose(grad_cam(module, seen, 2), expected, atol=1e-5 + 1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(grad_cam(network(name, frozen=True), seen, 2), grad_cam(module, seen, 2), atol=1e-6)


def test_saliency_equals_captums() -> None:
    """The largest absolute gradient over the colours."""
    module, seen = network("resnet18"), picture(64)
    theirs = Saliency(module).attribute(seen.clone().requires_grad_(), target=1).detach()[0].amax(dim=0).numpy()
    np.testing.assert_allclose(saliency(module, seen, 1), theirs, atol=1e-7)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_transformers_have_maps_too(name: str) -> None:
    """Tokens are laid out on the picture again; the map depends on the category."""
    module, seen = network(name), picture(224)
    first, second = grad_cam(module, seen, 0), grad_cam(module, seen, 3)
    assert first.shape == (224, 224)
    assert np.isfinite(first).all() and first.max() > 0
    assert not np.allclose(first, second)


def test_an_unknown_layer_is_named_with_those_there_are() -> None:
    """A wrong --layer says which there are."""
    with pytest.raises(FototecaError, match="no layer 'layer9'") as error:
        target_layer(network("resnet18"), picture(), "layer9")
    assert "layer4" in error.value.hint
