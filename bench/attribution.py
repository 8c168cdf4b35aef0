"""Attribution: seconds a map beside Captum's and TorchRay's own in the same run, and how faithful the maps are.

Run: python bench/attribution.py --weights squeezenet1_0.pth [--photographs labels.csv] [--quick]. Prints Markdown tables. The
true masks are the demo's drawn signs'. TorchRay is among the packages for development.
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
from fototeca.analysis.attribution.extremal import Extremal, extremal_masks
from fototeca.analysis.attribution.layers import target_layer
from fototeca.analysis.attribution.sampled import MASKS, NOISE, SAMPLES, STEPS, STRIDE, WINDOW
from fototeca.analysis.attribution.sanity_checks import Case, Mosaic, Scores, make_mosaic, try_methods
from fototeca.demo.images import draw_image
from fototeca.demo.signs import CATEGORIES
from fototeca.vision.backbones import Preprocessing, build_model, classifier_of, load_backbone
from fototeca.vision.image import decode
from fototeca.vision.memory import keep_freed_memory

SIDE, SMALL = 224, 128
"""Pixels of the images that are timed, and of those that are tried, of which there are many."""

EACH, TRIED = 30, 4
"""Images of a class to learn from, and images and mosaics that are tried."""

FEW = 8
"""Iterations that extremal perturbations are timed with; the figure is of all."""

SHORT = 100
"""Iterations of the extremal masks that are tried."""

Sample = tuple[torch.Tensor, int, "np.ndarray | None"]


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The best of some calls, after one that warms up."""
    work()
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return min(spent)


def captums(module: nn.Module, tensor: torch.Tensor, target: int) -> dict[str, Callable[[], object]]:
    """Captum's own calls with the same settings where they say something about the result, else its defaults."""
    side, step = round(SIDE * WINDOW), round(SIDE * STRIDE)
    spread = NOISE * float(tensor.max() - tensor.min())
    asked, layer = tensor.clone().requires_grad_(), target_layer(module, tensor)
    return {
        "grad-cam": lambda: LayerGradCam(module, layer).attribute(asked, target=target),
        "saliency": lambda: Saliency(module).attribute(asked, target=target),
        "guided-backprop": lambda: GuidedBackprop(module).attribute(asked, target=target),
        "smoothgrad": lambda: NoiseTunnel(Saliency(module)).attribute(asked, nt_samples=SAMPLES, stdevs=spread, target=target),
        "integrated-gradients": lambda: IntegratedGradients(module).attribute(asked, target=target, n_steps=STEPS),
        "occlusion": lambda: Occlusion(module).attribute(asked, (3, side, side), strides=(3, step, step), target=target),
    }


def speed(weights: str) -> None:
    """Seconds a map on SqueezeNet at SIDE pixels."""
    plain = build_model("squeezenet1_0", 8, weights)[0].eval()
    tensor = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    theirs = {name: seconds(call) for name, call in captums(plain, tensor, 1).items()}  # before glibc is told to keep memory
    for name, (call, times) in torchrays(plain, tensor, 1).items():
        theirs[name] = times * seconds(call, 1)
    keep_freed_memory()
    own = plain.to(memory_format=torch.channels_last)
    short = Extremal(iterations=FEW)
    print("| method | fototeca s | peer s | times as fast |\n| --- | ---: | ---: | ---: |")
    for name, method in METHODS.items():
        if name == "extremal":
            spent = seconds(lambda: extremal_masks(own, tensor, [1], short), 1) * Extremal().iterations / short.iterations
        else:
            spent = seconds(partial(method.draw, own, tensor, 1, "", None), 1 if method.slow else 3)
        ratio = (f"{theirs[name]:.3f}", f"{theirs[name] / spent:.1f}") if name in theirs else ("–", "–")
        print(f"| {name} | {spent:.3f} | {' | '.join(ratio)} |")


def torchrays(module: nn.Module, tensor: torch.Tensor, target: int) -> dict[str, tuple[Callable[[], object], float]]:
    """TorchRay's RISE of as many masks and extremal perturbations of the same areas, and how often a call's time counts."""
    frozen = module.requires_grad_(False)
    areas, whole = list(Extremal().areas), Extremal().iterations
    extremal = partial(extremal_perturbation, frozen, tensor, target, areas=areas, max_iter=FEW)
    return {"rise": (lambda: rise(frozen, tensor, num_masks=MASKS), 1), "extremal": (extremal, whole / FEW)}


def signs() -> list[Sample]:
    """The demo's drawn signs with the masks of what is to be seen of them."""
    samples: list[Sample] = []
    for number, name in enumerate(CATEGORIES):
        for index in range(EACH + TRIED):
            drawn = draw_image(name, 99, index)
            image = Image.open(io.BytesIO(drawn.jpeg)).convert("RGB")
            mask = functional.pil_to_tensor(drawn.mask)
            samples.append((_square(functional.pil_to_tensor(image)), number, _square(mask)[0].numpy() > 127))
    return samples


def photographs(path: Path) -> list[Sample]:
    """The first images of the eight largest classes of a CSV with path and label."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(path.parent / row["path"], row["label"]) for row in csv.DictReader(file)]
    by_label: dict[str, list[Path]] = {}
    for file_path, label in rows:
        by_label.setdefault(label, []).append(file_path)
    largest = sorted(by_label, key=lambda name: (-len(by_label[name]), name))[:8]
    return [
        (_square(functional.pil_to_tensor(decode(one))), number, None)
        for number, name in enumerate(largest)
        for one in by_label[name][:: max(1, len(by_label[name]) // (EACH + TRIED))][: EACH + TRIED]
    ]


def _square(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (C, SMALL, SMALL) from the middle."""
    return functional.center_crop(functional.resize(pixels, [SMALL], antialias=True), [SMALL, SMALL])


def faithful(weights: str, samples: Sequence[Sample], quick: bool) -> None:
    """A linear head on the backbone's features is learned from EACH images a class; maps of others it gets right are tried."""
    steps = Preprocessing(SMALL, SMALL)
    backbone = load_backbone("squeezenet1_0", weights)
    images, labels = steps.normalise(torch.stack([pixels for pixels, _, _ in samples])), np.array([one[1] for one in samples])
    with torch.inference_mode():
        features = torch.cat([backbone.module(images[start : start + 32]) for start in range(0, len(images), 32)]).numpy()
    known = np.arange(len(samples)) % (EACH + TRIED) < EACH
    head = LogisticRegression(C=0.01, max_iter=500).fit(features[known], labels[known])
    module = build_model("squeezenet1_0", int(labels.max()) + 1, weights)[0].eval()
    classifier = classifier_of(module)[1]
    classifier.weight.data, classifier.bias.data = torch.from_numpy(head.coef_).float(), torch.from_numpy(head.intercept_).float()
    said, sure = head.predict(features), head.predict_proba(features).max(axis=1)
    print(f"{len(samples)} images, {(said == labels)[~known].mean():.0%} of {int((~known).sum())} unseen ones right", flush=True)
    right = [int(index) for index in np.argsort(-sure, kind="stable") if not known[index] and said[index] == labels[index]]
    firsts = list({int(labels[index]): index for index in reversed(right)}.values())
    cases = [Case(images[index], int(labels[index]), samples[index][2]) for index in firsts[:TRIED]]
    mosaics = [_mosaic(images, labels, right, firsts[number], number % 4) for number in range(min(TRIED, len(firsts)))]
    draws = {
        name: partial(_draw, name) for name, method in METHODS.items() if not (quick and method.slow)
    }  # the slow ones take most of the time
    _print_scores(try_methods(module.to(memory_format=torch.channels_last), draws, cases, mosaics))


def _draw(name: str, module: nn.Module, tensor: torch.Tensor, target: int) -> Any:  # noqa: ANN401  (a map)
    return METHODS[name].draw(module, tensor, target, "", SHORT)


def _mosaic(images: torch.Tensor, labels: np.ndarray, right: list[int], index: int, cell: int) -> Mosaic:
    others = list({int(labels[one]): one for one in reversed(right) if labels[one] != labels[index]}.values())[:3]
    return make_mosaic([images[one] for one in (index, *others)], int(labels[index]), cell)


def _print_scores(scores: Sequence[Scores]) -> None:
    trials = ("classes", "weights", "deletion", "insertion", "grid", "pointing", "energy")
    print("| method | " + " | ".join(trials) + " |\n| --- |" + " ---: |" * len(trials))
    for one in scores:
        cells = [f"{getattr(one, name):.2f}{'' if one.passed.get(name, True) else ' ✗'}" for name in trials]
        print(f"| {one.method} | " + " | ".join(cell.replace("nan", "–") for cell in cells) + " |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--quick", action="store_true", help="leave out RISE and extremal perturbations where maps are tried")
    options = parser.parse_args()
    torch.set_num_threads(1)
    speed(options.weights)
    print("\n## Drawn signs\n")
    faithful(options.weights, signs(), options.quick)
    if options.photographs:
        print("\n## Photographs\n")
        faithful(options.weights, photographs(options.photographs), options.quick)


if __name__ == "__main__":
    main()
