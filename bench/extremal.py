"""Benchmark extremal perturbations against TorchRay on the same images and areas: seconds per map, agreement of the maps.

    python bench/extremal.py labels.csv --weights squeezenet1_0.pth [--images 3] [--side 128]

Prints a Markdown table. Complete runs of 800 steps on one thread, on photographs with the ImageNet class that SqueezeNet
predicts. Gradients of ReLUs are discontinuous, so rounding alone separates two runs of the same code: TorchRay runs twice, the
second time with another memory layout, to measure its agreement with itself. *Retained score* is the class logit under the
masks divided by that of the whole image, averaged over the areas; the masks are optimized to preserve it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchray.attribution.extremal_perturbation import extremal_perturbation

from fototeca.analysis.attribution.extremal import ExtremalConfig, blend, extremal_masks, pyramid
from fototeca.vision.backbones import build_model
from fototeca.vision.image import decode
from fototeca.vision.preprocessing import Preprocessing

FEWER_STEPS = 400
"""Steps of the shorter run, with proportionally longer steps."""


@dataclass
class Contender:
    """A method that draws masks (areas, H, W) of an image and a class, with its measurements."""

    name: str
    draw: Callable[[torch.Tensor, int], torch.Tensor]
    seconds: list[float] = field(default_factory=list)
    maps: list[np.ndarray] = field(default_factory=list)
    retained: list[float] = field(default_factory=list)


def contenders(weights: str) -> list[Contender]:
    """Return TorchRay, TorchRay with another memory layout, and fototeca with the authors' number of steps and with fewer."""
    default = build_model("squeezenet1_0", 1000, weights)[0].eval().requires_grad_(False)
    channels_last = (
        build_model("squeezenet1_0", 1000, weights)[0].eval().requires_grad_(False).to(memory_format=torch.channels_last)
    )

    def torchray(module: nn.Module) -> Callable[[torch.Tensor, int], torch.Tensor]:
        def draw(tensor: torch.Tensor, target: int) -> torch.Tensor:
            masks: torch.Tensor = extremal_perturbation(module, tensor, target, areas=list(ExtremalConfig().areas))[0]
            return masks[:, 0].detach()

        return draw

    def fototeca(settings: ExtremalConfig) -> Callable[[torch.Tensor, int], torch.Tensor]:
        return lambda tensor, target: extremal_masks(channels_last, tensor, [target], settings)[0]

    return [
        Contender("TorchRay", torchray(default)),
        Contender("TorchRay, other memory layout", torchray(channels_last)),
        Contender("fototeca", fototeca(ExtremalConfig())),
        Contender(f"fototeca, {FEWER_STEPS} longer steps", fototeca(ExtremalConfig.within(FEWER_STEPS))),
    ]


def photographs(path: Path, count: int, side: int) -> torch.Tensor:
    """Return (N, 3, side, side): the first image of `count` classes at equal distances in the sorted list."""
    with path.open(encoding="utf-8", newline="") as file:
        first = {row["label"]: path.parent / row["path"] for row in reversed(list(csv.DictReader(file)))}
    names = sorted(first)
    chosen = [first[names[len(names) * number // count]] for number in range(count)]
    return torch.stack([Preprocessing(round(side * 8 / 7), side)(decode(image_path)) for image_path in chosen])


def retained_score(module: nn.Module, tensor: torch.Tensor, target: int, masks: torch.Tensor) -> float:
    """Return the class logit under the masks, averaged over the areas, divided by that of the whole image."""
    stages = pyramid(tensor[0], ExtremalConfig())[None].expand(len(masks), -1, -1, -1, -1)
    with torch.inference_mode():
        return float(module(blend(stages, masks[:, None]))[:, target].mean() / module(tensor)[0, target])


def main() -> None:
    """Parse options, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    classifier = build_model("squeezenet1_0", 1000, options.weights)[0].eval()
    all_contenders = contenders(options.weights)
    for image in photographs(options.labels, options.images, options.side):
        tensor = image[None]
        target = int(classifier(tensor).argmax())
        for contender in all_contenders:
            begin = time.perf_counter()
            masks = contender.draw(tensor, target)
            contender.seconds.append(time.perf_counter() - begin)
            contender.maps.append(masks.mean(dim=0).numpy())
            contender.retained.append(retained_score(classifier, tensor, target, masks))
            print(f"{contender.name}: {contender.seconds[-1]:.0f} s", file=sys.stderr, flush=True)
    print_table(all_contenders)


def print_table(all_contenders: list[Contender]) -> None:
    """Print median seconds, and mean and minimum of the correlations of mean maps with TorchRay's."""
    print("| | s per map | speedup | r with TorchRay | lowest r | retained score |\n| --- |" + " ---: |" * 5)
    peer = all_contenders[0]
    for contender in all_contenders:
        ratio = np.median(np.array(peer.seconds) / np.array(contender.seconds))
        cells = [f"{np.median(contender.seconds):.0f}", f"{ratio:.1f}"]
        if contender is peer:
            cells += ["–", "–"]
        else:
            r = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(peer.maps, contender.maps, strict=True)]
            cells += [f"{np.mean(r):.2f}", f"{min(r):.2f}"]
        print(f"| {contender.name} | {' | '.join(cells)} | {np.mean(contender.retained):.2f} |")


if __name__ == "__main__":
    main()
