"""Attribution maps equal those of pytorch-grad-cam, TorchRay and Captum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchray.attribution.extremal_perturbation import MaskGenerator, extremal_perturbation
from torchray.attribution.rise import rise as torchrays_rise
from torchvision.models import SwinTransformer, VisionTransformer, get_model
from torchvision.transforms.functional import normalize

from fototeca.analysis.attribution.extremal import ExtremalConfig, extremal_masks
from fototeca.analysis.attribution.gradients import grad_cam, grad_cam_plus_plus
from fototeca.analysis.attribution.layers import target_layer
from fototeca.analysis.attribution.mask_grid import MaskGrid
from fototeca.analysis.attribution.sampled import (
    KEPT,
    NOISE,
    SAMPLES,
    integrated_gradients,
    occlusion,
    rise,
    rise_masks,
    smoothgrad,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries use deprecated torch features


def network(name: str = "resnet18", scale: float = 1.0) -> torch.nn.Module:
    """The model with fixed random weights, its last layer's multiplied by `scale`."""
    torch.manual_seed(0)
    module: torch.nn.Module = get_model(name, weights=None, num_classes=5).eval()
    for parameter in list(module.parameters())[-2:]:
        parameter.data.mul_(scale)
    return module


def image(side: int) -> torch.Tensor:
    """Noise (1, 3, side, side)."""
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def in_unit(values: np.ndarray) -> np.ndarray:
    """Scale to 0…1, as pytorch-grad-cam scales every map."""
    return np.asarray((values - values.min()) / np.ptp(values))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "mobilenet_v3_small", "regnet_y_400mf"])
def test_grad_cam_equals_pytorch_grad_cam(name: str) -> None:
    """Within 1e-4 of the largest, each scaled to 0…1. Grad-CAM++ too, where gradients are so large that the 1e-6 that it adds to
    a denominator does not count."""
    seen, targets = image(96), [ClassifierOutputTarget(2)]
    module = network(name, 1e4)
    layer = target_layer(module, seen)
    with torch.enable_grad():
        first = GradCAM(model=module, target_layers=[layer])(input_tensor=seen, targets=targets)[0]
        second = GradCAMPlusPlus(model=module, target_layers=[layer])(input_tensor=seen, targets=targets)[0]
    np.testing.assert_allclose(in_unit(grad_cam(module, seen, 2)), first, atol=1e-4)
    np.testing.assert_allclose(in_unit(grad_cam_plus_plus(module, seen, 2)), second, atol=1e-4)


def vit() -> torch.nn.Module:
    """Return a small ViT with a random head; torchvision initializes it with zeros."""
    module = VisionTransformer(image_size=64, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=5)
    torch.nn.init.normal_(module.heads.head.weight)
    return module


def swin() -> torch.nn.Module:
    """Return a small Swin transformer."""
    return SwinTransformer([4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], num_classes=5)


@pytest.mark.parametrize(
    ("make", "layer", "on_image"),
    [
        (vit, "encoder.layers.encoder_layer_1.ln_1", lambda tokens: tokens[:, 1:].unflatten(1, (8, 8)).permute(0, 3, 1, 2)),
        (swin, "features.3.1.norm2", lambda maps: maps.permute(0, 3, 1, 2)),
    ],
)
def test_grad_cam_of_transformers_equals_pytorch_grad_cam(
    make: Callable[[], torch.nn.Module], layer: str, on_image: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Within 1e-4, scaled to 0…1; that library needs the layer and the token layout, fototeca infers both."""
    torch.manual_seed(0)
    module, seen = make().eval(), image(64)
    with torch.enable_grad():
        cam = GradCAM(model=module, target_layers=[module.get_submodule(layer)], reshape_transform=on_image)
        for target in (0, 3):
            theirs = cam(input_tensor=seen, targets=[ClassifierOutputTarget(target)])[0]
            assert np.ptp(theirs) > 0.99
            np.testing.assert_allclose(in_unit(grad_cam(module, seen, target)), theirs, atol=1e-4)


def test_masks_equal_torchray() -> None:
    """The smooth maximum over the grid of parameters, within 1e-5."""
    grid, theirs = MaskGrid((48, 60), 7, 21.0), MaskGenerator((48, 60), 7, 21)
    assert tuple(theirs.shape_in) == grid.shape
    parameters = torch.rand(2, 1, *grid.shape, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(grid.masks(parameters)[0].numpy(), theirs.generate(parameters)[0].numpy(), atol=1e-5)


def test_extremal_perturbations_equal_torchray() -> None:
    """Three areas after 40 steps of the authors' own code: every pixel of the masks within 0.005.

    On a smooth network: with the discontinuous gradients of ReLUs rounding alone makes two runs of the same code differ. In the
    first masks, nearly 1 everywhere, rounding also decides which pixels are the largest.
    """
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 9, 4), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(6 * 14 * 14, 4)
    ).requires_grad_(False)
    seen = torch.nn.functional.interpolate(3 * image(8), size=64, mode="bicubic")
    theirs = extremal_perturbation(module, seen, 3, areas=[0.05, 0.1, 0.5], max_iter=40)[0][:, 0].detach().numpy()
    ours = extremal_masks(module, seen, [3], ExtremalConfig(areas=(0.05, 0.1, 0.5), iterations=40))[0].numpy()
    assert np.ptp(theirs) > 0.3
    np.testing.assert_allclose(ours, theirs, atol=0.005)


def test_rise_equals_torchray() -> None:
    """With equal masks, within 1e-5. TorchRay weights by sigmoids and does not subtract the mean."""

    class Logits(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.logit(module(images).softmax(dim=1))

    module, seen, count = network(), image(48), 64
    torch.manual_seed(0)
    masks = torch.cat(list(rise_masks(count, (48, 48))))
    theirs = torchrays_rise(Logits(), seen, num_masks=count, filter_masks=masks)[0, 2].numpy() / KEPT
    mean = float(module(seen * masks).softmax(dim=1)[:, 2].detach().mean())
    np.testing.assert_allclose(rise(module, seen, 2, count=count), theirs - mean, atol=1e-5)


def test_integrated_gradients_and_occlusion_equal_captum() -> None:
    """Integrated gradients from black, beside 200 steps of another rule, within 5% of the largest; occlusion by a grey square
    of a quarter of the side."""
    module, seen = network(), image(64)
    black = normalize(torch.zeros(3, 64, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))[None]
    finer = IntegratedGradients(module).attribute(seen, black, target=1, n_steps=200, method="riemann_trapezoid")[0].sum(dim=0)
    ours = integrated_gradients(module, seen, 1)
    np.testing.assert_allclose(ours, finer.detach().numpy(), atol=0.05 * float(finer.abs().max()))
    covered = Occlusion(module).attribute(seen, (3, 16, 16), strides=(3, 8, 8), target=1, baselines=0.0)[0].mean(dim=0)
    np.testing.assert_allclose(occlusion(module, seen, 1), covered.detach().numpy(), atol=1e-5)


def test_smoothgrad_equals_captum_and_the_paper() -> None:
    """Under the same noise (seed 0, batches of 4), within 1e-5 of the largest: NoiseTunnel over Saliency, and the mean of
    absolute gradients of noisy copies written out without Captum, so that both are known to be what the paper means."""
    module, seen = network(), image(64)
    spread = NOISE * float(seen.max() - seen.min())
    torch.manual_seed(0)
    tunnel = NoiseTunnel(Saliency(module)).attribute(
        seen.clone().requires_grad_(), nt_samples=SAMPLES, nt_samples_batch_size=4, stdevs=spread, target=1
    )
    torch.manual_seed(0)
    slopes = []
    for _ in range(SAMPLES // 4):
        noisy = (seen + torch.normal(0, torch.full((4, *seen.shape[1:]), spread))).requires_grad_()
        slopes.append(torch.autograd.grad(module(noisy)[:, 1].sum(), noisy)[0].abs())
    ours = smoothgrad(module, seen, 1)
    for theirs in (tunnel.detach()[0], torch.cat(slopes).mean(dim=0)):
        np.testing.assert_allclose(ours, theirs.amax(dim=0).numpy(), atol=1e-5 * float(ours.max()))
