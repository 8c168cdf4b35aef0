"""Attribution maps equal their references, for several architectures, frozen or not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, LayerAttribution, LayerGradCam, Saliency
from torchvision.models import get_model

from fototeca.analysis.attribution.gradients import grad_cam, grad_cam_plus_plus, guided_backprop, saliency
from fototeca.analysis.attribution.layers import target_layer
from fototeca.analysis.attribution.maps import NetworkInput, attach_network_input
from fototeca.analysis.attribution.sampled import integrated_gradients, occlusion, rise, rise_masks, smoothgrad
from fototeca.core.errors import FototecaError

FAMILIES = ("resnet18", "squeezenet1_0", "mobilenet_v3_small", "regnet_y_400mf")


def network(name: str, frozen: bool = False) -> torch.nn.Module:
    """Return the model with fixed random weights."""
    torch.manual_seed(0)
    module: torch.nn.Module = get_model(name, weights=None, num_classes=5).eval()
    if name.startswith("vit"):  # torchvision initializes the head with zeros
        torch.nn.init.normal_(module.heads.head.weight)
    return module.requires_grad_(not frozen)


def image(side: int = 96) -> torch.Tensor:
    """Noise (1, 3, side, side)."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_grad_cam_equals_captum(name: str) -> None:
    """The same layer, the same map, also when the backbone is frozen."""
    module, seen = network(name), image()
    layer = target_layer(module, seen)
    with torch.enable_grad():
        theirs = LayerGradCam(module, layer).attribute(seen.clone().requires_grad_(), target=2)
    expected = LayerAttribution.interpolate(torch.relu(theirs.detach()), (96, 96), "bilinear")[0, 0].numpy()
    np.testing.assert_allclose(grad_cam(module, seen, 2), expected, atol=1e-5 + 1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(grad_cam(network(name, frozen=True), seen, 2), grad_cam(module, seen, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer2"), ("squeezenet1_0", "features.7"), ("mobilenet_v3_small", "features.4"), ("regnet_y_400mf", "stem")],
)
def test_grad_cam_of_an_explicit_layer_equals_captum(name: str, layer: str) -> None:
    """`layer` selects the map of that layer, also for a frozen backbone."""
    module, seen = network(name), image()
    with torch.enable_grad():
        theirs = LayerGradCam(module, module.get_submodule(layer)).attribute(seen.clone().requires_grad_(), target=2)
    expected = LayerAttribution.interpolate(torch.relu(theirs.detach()), (96, 96), "bilinear")[0, 0].numpy()
    found, near = grad_cam(module, seen, 2, layer), 1e-3 * float(expected.max())
    np.testing.assert_allclose(found, expected, atol=near)
    np.testing.assert_allclose(grad_cam(network(name, frozen=True), seen, 2, layer), found, atol=near)
    assert not np.allclose(found, grad_cam(module, seen, 2), atol=100 * near)


@pytest.mark.parametrize("name", FAMILIES)
def test_grad_cam_plus_plus_equals_the_paper(name: str) -> None:
    """Equations 10 and 19 for the score e^S, pixel by pixel, within 1e-4 of the maximum; frozen or not.

    pytorch-grad-cam adds 1e-6 below the fraction, and gives the same where gradients are large.
    """
    module, seen = network(name), image()
    kept: list[torch.Tensor] = []
    handle = target_layer(module, seen).register_forward_hook(lambda _, __, output: kept.append(output))
    score = module(seen)[0, 2]
    handle.remove()
    gradient = torch.autograd.grad(score, kept[0])[0][0].double()
    activation = kept[0][0].detach().double()
    expected = torch.zeros(activation.shape[1:], dtype=torch.float64)
    for channel, slope in zip(activation, gradient, strict=True):
        second, third = slope**2, slope**3  # over e^S
        below = 2 * second + channel.sum() * third
        alpha = torch.where(below == 0, 0.0, second / below)
        expected += (alpha * slope.relu()).sum() * channel
    enlarged = torch.nn.functional.interpolate(expected.relu()[None, None], size=(96, 96), mode="bilinear")[0, 0].numpy()
    assert enlarged.max() > 0
    np.testing.assert_allclose(grad_cam_plus_plus(module, seen, 2), enlarged, atol=1e-4 * enlarged.max())
    found = grad_cam_plus_plus(network(name, frozen=True), seen, 2)
    np.testing.assert_allclose(found, enlarged, atol=1e-4 * enlarged.max())


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "regnet_y_400mf"])
def test_guided_backprop_equals_captum(name: str) -> None:
    """Where every ReLU is a module, shared and in place or not; frozen or not."""
    module, seen = network(name), image(64)
    theirs = GuidedBackprop(module).attribute(seen.clone().requires_grad_(), target=1).detach()[0].abs().amax(dim=0).numpy()
    np.testing.assert_allclose(guided_backprop(module, seen, 1), theirs, atol=1e-5 * theirs.max())
    np.testing.assert_allclose(guided_backprop(network(name, frozen=True), seen, 1), theirs, atol=1e-5 * theirs.max())


def test_guided_backprop_covers_functional_relus() -> None:
    """Only positive gradients pass a ReLU, however it is called."""

    class Called(torch.nn.Module):
        def __init__(self, activate: Callable[[torch.Tensor], torch.Tensor]) -> None:
            super().__init__()
            self.first, self.last, self.activate = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 2, 30), activate
            self.first.weight.data.abs_()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.last(self.activate(self.first(images))).flatten(1)
            return found

    torch.manual_seed(0)
    plain, seen = Called(torch.relu), image(32)
    maps = []
    for activate in (torch.relu, torch.nn.functional.relu, torch.nn.ReLU(inplace=True).forward, lambda x: x.relu_()):
        plain.activate = activate
        maps.append(guided_backprop(plain, seen, 1))
        np.testing.assert_array_equal(maps[0], maps[-1])
    slopes = plain.last.weight[1].detach().relu() * (plain.first(seen)[0] > 0)  # only what is positive, where the ReLU is open
    expected = torch.nn.functional.conv_transpose2d(slopes[None], plain.first.weight)[0].amax(dim=0)
    np.testing.assert_allclose(maps[0], expected.detach().numpy(), rtol=1e-4, atol=1e-7)
    plain.activate = torch.nn.functional.gelu
    with pytest.raises(FototecaError, match="needs ReLUs"):
        guided_backprop(plain, seen, 1)


class Ceiling(torch.nn.Module):
    """Clamp at `top` without a ReLU."""

    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        return values.clamp(max=self.top)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_backprop_of_relu6_and_densenet() -> None:
    """Captum misses ReLU6 and the final functional ReLU of DenseNet; it agrees once these are modules."""
    for name in ("mobilenet_v2", "densenet121"):
        module, seen = network(name), 20 * image(64)  # bright enough for the ceiling
        found = guided_backprop(module, seen, 1)
        for part in list(module.modules()):
            for place, layer in part.named_children():
                if isinstance(layer, torch.nn.ReLU6):
                    part.add_module(place, torch.nn.Sequential(torch.nn.ReLU(), Ceiling(6.0)))
        if name == "densenet121":
            module.features.add_module("last", torch.nn.Sequential(torch.nn.ReLU(), Ceiling(float("inf"))))
        theirs = GuidedBackprop(module).attribute(seen.clone().requires_grad_(), target=1).detach()[0].abs().amax(dim=0).numpy()
        np.testing.assert_allclose(found, theirs, atol=1e-4 * theirs.max())


def test_rise_equals_the_formula() -> None:
    """The paper's formula within 1e-5; masks keep half of the image on average; deterministic."""
    module, seen = network("resnet18"), image(48)
    torch.manual_seed(0)
    masks = torch.cat(list(rise_masks(40, (48, 48))))
    said = [float(module(seen * mask).detach().softmax(dim=1)[0, 2]) for mask in masks]
    expected = np.mean([probability * mask[0].numpy() for probability, mask in zip(said, masks, strict=True)], axis=0) / 0.5
    expected -= np.mean(said)
    state = torch.random.get_rng_state()
    np.testing.assert_allclose(rise(module, seen, 2, count=40), expected, atol=1e-5)
    assert torch.equal(state, torch.random.get_rng_state())
    many = torch.cat(list(rise_masks(600, (45, 60))))
    assert many.shape == (600, 1, 45, 60)
    assert float(many.min()) >= 0 and float(many.max()) <= 1
    np.testing.assert_allclose(many.mean(dim=0)[0].numpy(), 0.5, atol=0.08)


def test_saliency_equals_captum() -> None:
    """Maximum absolute gradient over the color channels."""
    module, seen = network("resnet18"), image(64)
    theirs = Saliency(module).attribute(seen.clone().requires_grad_(), target=1).detach()[0].amax(dim=0).numpy()
    np.testing.assert_allclose(saliency(module, seen, 1), theirs, atol=1e-7)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_grad_cam_of_transformers(name: str) -> None:
    """Tokens are arranged as an image; the map depends on the category."""
    module, seen = network(name), image(224)
    first, second = grad_cam(module, seen, 0), grad_cam(module, seen, 3)
    assert first.shape == (224, 224)
    assert np.isfinite(first).all() and first.max() > 0
    assert not np.allclose(first, second)


def test_unknown_layer_lists_alternatives() -> None:
    """The hint of an unknown layer names existing ones."""
    with pytest.raises(FototecaError, match="no layer 'layer9'") as error:
        target_layer(network("resnet18"), image(), "layer9")
    assert "layer4" in error.value.hint


@pytest.mark.parametrize(
    ("name", "layer"), [("resnet18", "fc"), ("resnet18", "avgpool"), ("vit_b_32", "heads"), ("swin_t", "head")]
)
def test_layer_without_spatial_output_is_an_error(name: str, layer: str) -> None:
    """Classifier and pooled layers are errors, and the layers in the hint work."""
    module, seen = network(name), image(224 if name.startswith("vit") else 96)
    with pytest.raises(FototecaError, match=f"layer '{layer}' has no spatial output") as error:
        grad_cam(module, seen, 2, layer)
    for fitting in error.value.hint.removeprefix("layers with a spatial output: ").split(", ")[-2:]:
        assert grad_cam(module, seen, 2, fitting).shape == seen.shape[2:]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet50", "layer4.2"),
        ("resnext50_32x4d", "layer4.2"),
        ("regnet_y_400mf", "trunk_output.block4.block4-5"),
        ("efficientnet_b0", "features.8"),
        ("efficientnet_v2_s", "features.7"),
        ("convnext_tiny", "features.7"),
        ("mobilenet_v2", "features.18"),
        ("mobilenet_v3_small", "features.12"),
        ("mnasnet0_5", "layers.16"),
        ("shufflenet_v2_x0_5", "conv5.2"),
        ("squeezenet1_0", "features.12"),
        ("vgg11", "features.20"),
        ("densenet121", "features.norm5"),
        ("googlenet", "inception5b"),
        ("inception_v3", "Mixed_7c"),
        ("alexnet", "features.12"),
        ("swin_t", "features.7.1.norm2"),
        ("swin_v2_t", "features.7.1.norm2"),
        ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1"),
        ("maxvit_t", "blocks.3"),
    ],
)
def test_default_layer_of_each_architecture(name: str, layer: str) -> None:
    """The default layer of Grad-CAM in every torchvision architecture."""
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # whose widths are computed with tensors
        module = get_model(name, weights=None, **({"init_weights": False} if name in ("googlenet", "inception_v3") else {}))
    assert target_layer(module, image()) is module.get_submodule(layer)


def test_smoothgrad_without_noise_is_saliency() -> None:
    """Without noise it equals saliency; with noise it is deterministic and leaves the global random state unchanged."""
    module, seen = network("resnet18"), image(64)
    np.testing.assert_allclose(smoothgrad(module, seen, 1, noise=0.0), saliency(module, seen, 1), rtol=1e-4, atol=1e-7)
    state = torch.random.get_rng_state()
    first, second = smoothgrad(module, seen, 1), smoothgrad(module, seen, 1)
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, saliency(module, seen, 1))
    assert torch.equal(state, torch.random.get_rng_state())


def test_integrated_gradients_use_the_runs_black() -> None:
    """The map of a black image is zero, with torchvision's normalization and with another one."""
    module = network("resnet18")
    for reading in (NetworkInput(), NetworkInput(black=(-1.0, -2.0, 0.5))):
        attach_network_input(module, reading)
        black = torch.tensor(reading.black)[None, :, None, None].expand(1, 3, 64, 64)
        assert not integrated_gradients(module, black, 1).any()


def test_integrated_gradients_satisfy_completeness() -> None:
    """The map sums to the score difference between image and black within 2%."""
    module, seen = network("resnet18"), image(64)
    with torch.no_grad():
        black = torch.tensor(NetworkInput().black)[None, :, None, None].expand_as(seen)
        rise = float(module(seen)[0, 2] - module(black)[0, 2])
    assert integrated_gradients(module, seen, 2).sum() == pytest.approx(rise, rel=0.02, abs=0.02)


def test_occlusion_and_rise_locate_the_relevant_corner() -> None:
    """A network that uses one corner only is explained by that corner."""

    class Corner(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            corner = images[:, :, :16, :16].mean(dim=(1, 2, 3))
            return torch.stack([corner, -corner], dim=1)

    drawn = rise(Corner(), torch.ones(1, 3, 64, 64), 0)
    assert drawn[:10, :10].mean() > drawn[24:, 24:].max()
    found = occlusion(Corner(), torch.ones(1, 3, 64, 64), 0)
    assert found[:16, :16].min() > 0
    assert np.allclose(found[40:, 40:], 0)
    assert (occlusion(Corner(), torch.ones(1, 3, 64, 64), 1)[:16, :16] < 0).all()
