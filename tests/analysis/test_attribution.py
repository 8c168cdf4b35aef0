"""Attribution maps equal their references, on several families, frozen or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam, Saliency
from torchvision.models import get_model

from analysis.attribution.gradients import grad_cam, saliency
from analysis.attribution.layers import target_layer
from analysis.attribution.sampled import integrated_gradients, occlusion, smoothgrad
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


def test_smoothgrad_without_noise_is_saliency() -> None:
    """Noise is all that it adds; with noise the same call gives the same map, and leaves the random numbers as they were."""
    module, seen = network("resnet18"), picture(64)
    np.testing.assert_allclose(smoothgrad(module, seen, 1, noise=0.0), saliency(module, seen, 1), rtol=1e-4, atol=1e-7)
    state = torch.random.get_rng_state()
    first, second = smoothgrad(module, seen, 1), smoothgrad(module, seen, 1)
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, saliency(module, seen, 1))
    assert torch.equal(state, torch.random.get_rng_state())


def test_integrated_gradients_add_up() -> None:
    """The map sums to the rise of the score from black to the picture (the axiom of completeness), within 2%."""
    module, seen = network("resnet18"), picture(64)
    with torch.no_grad():
        rise = float(module(seen)[0, 2] - module(torch.full_like(seen, float(seen.min())))[0, 2])
    assert integrated_gradients(module, seen, 2).sum() == pytest.approx(rise, rel=0.02, abs=0.02)


def test_occlusion_finds_the_only_place_that_counts() -> None:
    """A network that looks at one corner alone is explained by that corner alone."""

    class Corner(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            corner = pictures[:, :, :16, :16].mean(dim=(1, 2, 3))
            return torch.stack([corner, -corner], dim=1)

    found = occlusion(Corner(), torch.ones(1, 3, 64, 64), 0)
    assert found[:16, :16].min() > 0
    assert np.allclose(found[40:, 40:], 0)
    assert (occlusion(Corner(), torch.ones(1, 3, 64, 64), 1)[:16, :16] < 0).all()
