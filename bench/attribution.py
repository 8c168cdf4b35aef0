"""Benchmark attribution: seconds per map against Captum and TorchRay in the same run, and faithfulness of the maps.

    python bench/attribution.py --weights squeezenet1_0.pth [--photographs labels.csv] [--quick]

Prints Markdown tables. Ground-truth masks come from the demo's drawn signs. TorchRay is a development dependency.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, NoiseTunnel, Occlusion, Saliency
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchray.attribution.extremal_perturbation import extremal_perturbation
from torchray.attribution.rise import rise
from torchvision.transforms.v2 import functional

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.attribution.extremal import ExtremalConfig, extremal_masks
from fototeca.analysis.attribution.layers import target_layer
from fototeca.analysis.attribution.sampled import MASKS, NOISE, SAMPLES, STEPS, STRIDE, WINDOW
from fototeca.analysis.attribution.sanity_checks import CheckedImage, CheckScores, ImageGrid, build_image_grid, check_methods
from fototeca.demo.images import draw_image
from fototeca.demo.signs import CATEGORIES
from fototeca.vision.backbones import build_model, classifier_of, load_backbone
from fototeca.vision.image import decode
from fototeca.vision.memory import keep_freed_memory
from fototeca.vision.preprocessing import Preprocessing

SPEED_SIDE, CHECK_SIDE = 224, 128
"""Side in pixels of the images for timing, and of the more numerous images for the sanity checks."""

TRAIN_PER_CLASS, NUM_CHECKED = 30, 4
"""Training images per class; images and grids in the sanity checks."""

TIMED_ITERATIONS = 8
"""Iterations for timing extremal perturbations; the figure is extrapolated to all of them."""

CHECK_ITERATIONS = 100
"""Iterations of extremal masks in the sanity checks."""

Sample = tuple[torch.Tensor, int, "np.ndarray | None"]


def best_time(work: Callable[[], object], times: int = 3) -> float:
    """Return the shortest of `times` calls in seconds, after a warm-up call."""
    work()
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return min(spent)


def captum_methods(module: nn.Module, tensor: torch.Tensor, target: int) -> dict[str, Callable[[], object]]:
    """Return Captum's calls, with the same settings where they affect the result, else its defaults."""
    side, step = round(SPEED_SIDE * WINDOW), round(SPEED_SIDE * STRIDE)
    spread = NOISE * float(tensor.max() - tensor.min())
    inputs, layer = tensor.clone().requires_grad_(), target_layer(module, tensor)
    return {
        "grad-cam": lambda: LayerGradCam(module, layer).attribute(inputs, target=target),
        "saliency": lambda: Saliency(module).attribute(inputs, target=target),
        "guided-backprop": lambda: GuidedBackprop(module).attribute(inputs, target=target),
        "smoothgrad": lambda: NoiseTunnel(Saliency(module)).attribute(inputs, nt_samples=SAMPLES, stdevs=spread, target=target),
        "integrated-gradients": lambda: IntegratedGradients(module).attribute(inputs, target=target, n_steps=STEPS),
        "occlusion": lambda: Occlusion(module).attribute(inputs, (3, side, side), strides=(3, step, step), target=target),
    }


def print_speed(weights: str) -> None:
    """Print seconds per map on SqueezeNet at SPEED_SIDE pixels."""
    plain = build_model("squeezenet1_0", 8, weights)[0].eval()
    tensor = torch.randn(1, 3, SPEED_SIDE, SPEED_SIDE, generator=torch.Generator().manual_seed(0))
    # the peers run before glibc is set to retain memory
    peer_seconds = {name: best_time(call) for name, call in captum_methods(plain, tensor, 1).items()}
    for name, (call, times) in torchray_methods(plain, tensor, 1).items():
        peer_seconds[name] = times * best_time(call, 1)
    keep_freed_memory()
    own = plain.to(memory_format=torch.channels_last)
    short = ExtremalConfig(iterations=TIMED_ITERATIONS)
    print("| method | fototeca s | peer s | speedup |\n| --- | ---: | ---: | ---: |")
    for name, method in METHODS.items():
        if name == "extremal":
            spent = best_time(lambda: extremal_masks(own, tensor, [1], short), 1) * ExtremalConfig().iterations / short.iterations
        else:
            spent = best_time(partial(method.draw, own, tensor, 1, "", None), 1 if method.slow else 3)
        ratio = (f"{peer_seconds[name]:.3f}", f"{peer_seconds[name] / spent:.1f}") if name in peer_seconds else ("–", "–")
        print(f"| {name} | {spent:.3f} | {' | '.join(ratio)} |")


def torchray_methods(module: nn.Module, tensor: torch.Tensor, target: int) -> dict[str, tuple[Callable[[], object], float]]:
    """Return TorchRay's RISE and extremal perturbations with the same settings, each with the factor of its time."""
    frozen = module.requires_grad_(False)
    areas, whole = list(ExtremalConfig().areas), ExtremalConfig().iterations
    extremal = partial(extremal_perturbation, frozen, tensor, target, areas=areas, max_iter=TIMED_ITERATIONS)
    return {"rise": (lambda: rise(frozen, tensor, num_masks=MASKS), 1), "extremal": (extremal, whole / TIMED_ITERATIONS)}


def drawn_samples() -> list[Sample]:
    """Return the demo's drawn signs with the masks of their visible parts."""
    samples: list[Sample] = []
    for number, name in enumerate(CATEGORIES):
        for index in range(TRAIN_PER_CLASS + NUM_CHECKED):
            sample = draw_image(name, 99, index)
            image = Image.open(io.BytesIO(sample.jpeg)).convert("RGB")
            mask = functional.pil_to_tensor(sample.mask)
            samples.append((_square(functional.pil_to_tensor(image)), number, _square(mask)[0].numpy() > 127))
    return samples


def photographs(path: Path) -> list[Sample]:
    """Return images of the eight largest classes of a CSV file with columns path and label, without masks."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(path.parent / row["path"], row["label"]) for row in csv.DictReader(file)]
    by_label: dict[str, list[Path]] = {}
    for file_path, label in rows:
        by_label.setdefault(label, []).append(file_path)
    largest = sorted(by_label, key=lambda name: (-len(by_label[name]), name))[:8]
    return [
        (_square(functional.pil_to_tensor(decode(path))), number, None)
        for number, name in enumerate(largest)
        for path in by_label[name][:: max(1, len(by_label[name]) // (TRAIN_PER_CLASS + NUM_CHECKED))][
            : TRAIN_PER_CLASS + NUM_CHECKED
        ]
    ]


def _square(pixels: torch.Tensor) -> torch.Tensor:
    """Return the center crop, uint8 (C, CHECK_SIDE, CHECK_SIDE)."""
    return functional.center_crop(functional.resize(pixels, [CHECK_SIDE], antialias=True), [CHECK_SIDE, CHECK_SIDE])


def print_faithfulness(weights: str, samples: Sequence[Sample], quick: bool) -> None:
    """Print sanity-check scores for a linear head trained on TRAIN_PER_CLASS images per class, on held-out correct images."""
    steps = Preprocessing(CHECK_SIDE, CHECK_SIDE)
    backbone = load_backbone("squeezenet1_0", weights)
    images = steps.normalize(torch.stack([pixels for pixels, _, _ in samples]))
    labels = np.array([label for _, label, _ in samples])
    with torch.inference_mode():
        features = torch.cat([backbone.module(images[start : start + 32]) for start in range(0, len(images), 32)]).numpy()
    is_train = np.arange(len(samples)) % (TRAIN_PER_CLASS + NUM_CHECKED) < TRAIN_PER_CLASS
    head = LogisticRegression(C=0.01, max_iter=500).fit(features[is_train], labels[is_train])
    module = build_model("squeezenet1_0", int(labels.max()) + 1, weights)[0].eval()
    classifier = classifier_of(module)[1]
    classifier.weight.data, classifier.bias.data = torch.from_numpy(head.coef_).float(), torch.from_numpy(head.intercept_).float()
    predicted, confidence = head.predict(features), head.predict_proba(features).max(axis=1)
    accuracy = (predicted == labels)[~is_train].mean()
    print(f"{len(samples)} images, {accuracy:.0%} of {int((~is_train).sum())} held-out images correct", flush=True)
    correct = [
        int(index)
        for index in np.argsort(-confidence, kind="stable")
        if not is_train[index] and predicted[index] == labels[index]
    ]
    first_of_class = list({int(labels[index]): index for index in reversed(correct)}.values())
    cases = [CheckedImage(images[index], int(labels[index]), samples[index][2]) for index in first_of_class[:NUM_CHECKED]]
    grids = [
        _image_grid(images, labels, correct, first_of_class[number], number % 4)
        for number in range(min(NUM_CHECKED, len(first_of_class)))
    ]
    draws = {name: partial(_draw, name) for name, method in METHODS.items() if not (quick and method.slow)}
    _print_scores(check_methods(module.to(memory_format=torch.channels_last), draws, cases, grids))


def _draw(name: str, module: nn.Module, tensor: torch.Tensor, target: int) -> Any:  # noqa: ANN401  (an attribution map)
    return METHODS[name].draw(module, tensor, target, "", CHECK_ITERATIONS)


def _image_grid(images: torch.Tensor, labels: np.ndarray, correct: list[int], index: int, cell: int) -> ImageGrid:
    others = list({int(labels[other]): other for other in reversed(correct) if labels[other] != labels[index]}.values())[:3]
    return build_image_grid([images[other] for other in (index, *others)], int(labels[index]), cell)


def _print_scores(scores: Sequence[CheckScores]) -> None:
    checks = ("classes", "weights", "deletion", "insertion", "grid", "pointing", "energy")
    print("| method | " + " | ".join(checks) + " |\n| --- |" + " ---: |" * len(checks))
    for score in scores:
        cells = [f"{getattr(score, name):.2f}{'' if score.passed.get(name, True) else ' ✗'}" for name in checks]
        print(f"| {score.method} | " + " | ".join(cell.replace("nan", "–") for cell in cells) + " |")


def main() -> None:
    """Parse options, measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--quick", action="store_true", help="skip RISE and extremal perturbations in the sanity checks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print_speed(options.weights)
    print("\n## Drawn signs\n")
    print_faithfulness(options.weights, drawn_samples(), options.quick)
    if options.photographs:
        print("\n## Photographs\n")
        print_faithfulness(options.weights, photographs(options.photographs), options.quick)


if __name__ == "__main__":
    main()
