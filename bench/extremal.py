"""Extremal perturbations beside TorchRay's on the same images and areas: seconds a map, and how far the maps agree.

Run: python bench/extremal.py labels.csv --weights squeezenet1_0.pth [--images 3] [--side 128]. Prints a Markdown table.

Whole runs of 800 steps on one thread, photographs and the ImageNet class that SqueezeNet gives each. Where gradients jump, as
those of ReLUs do, rounding alone parts two runs of the same code: so TorchRay runs twice, the second time with its images in
another memory layout, and says how far it agrees with itself. *Score kept*: the class's logit under the masks over the whole
image's, a mean of all areas; it is what the masks are made to hold.
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

from fototeca.analysis.attribution.extremal import Extremal, blend, extremal_masks, pyramid
from fototeca.vision.backbones import Preprocessing, build_model
from fototeca.vision.image import decode

FEWER = 400
"""Steps of the shorter run, each as much longer."""


@dataclass
class Contender:
    """Makes masks (areas, H, W) of an image and its class; what came of it."""

    name: str
    draw: Callable[[torch.Tensor, int], torch.Tensor]
    seconds: list[float] = field(default_factory=list)
    maps: list[np.ndarray] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)


def contenders(weights: str) -> list[Contender]:
    """TorchRay as it comes, TorchRay with other rounding, and fototeca with the authors' steps and with fewer."""
    plain = build_model("squeezenet1_0", 1000, weights)[0].eval().requires_grad_(False)
    last = build_model("squeezenet1_0", 1000, weights)[0].eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def theirs(module: nn.Module) -> Callable[[torch.Tensor, int], torch.Tensor]:
        def draw(tensor: torch.Tensor, target: int) -> torch.Tensor:
            masks: torch.Tensor = extremal_perturbation(module, tensor, target, areas=list(Extremal().areas))[0]
            return masks[:, 0].detach()

        return draw

    def ours(settings: Extremal) -> Callable[[torch.Tensor, int], torch.Tensor]:
        return lambda tensor, target: extremal_masks(last, tensor, [target], settings)[0]

    return [
        Contender("TorchRay", theirs(plain)),
        Contender("TorchRay, other rounding", theirs(last)),
        Contender("fototeca", ours(Extremal())),
        Contender(f"fototeca, {FEWER} longer steps", ours(Extremal.within(FEWER))),
    ]


def photographs(path: Path, count: int, side: int) -> torch.Tensor:
    """(N, 3, side, side): the first image of classes at equal distances in the list."""
    with path.open(encoding="utf-8", newline="") as file:
        first = {row["label"]: path.parent / row["path"] for row in reversed(list(csv.DictReader(file)))}
    names = sorted(first)
    chosen = [first[names[len(names) * number // count]] for number in range(count)]
    return torch.stack([Preprocessing(round(side * 8 / 7), side)(decode(one)) for one in chosen])


def share_kept(module: nn.Module, tensor: torch.Tensor, target: int, masks: torch.Tensor) -> float:
    """The mean over the areas of the class's logit under the mask, over that of the whole image."""
    stages = pyramid(tensor[0], Extremal())[None].expand(len(masks), -1, -1, -1, -1)
    with torch.inference_mode():
        return float(module(blend(stages, masks[:, None]))[:, target].mean() / module(tensor)[0, target])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge = build_model("squeezenet1_0", 1000, options.weights)[0].eval()
    every = contenders(options.weights)
    for image in photographs(options.labels, options.images, options.side):
        tensor = image[None]
        target = int(judge(tensor).argmax())
        for one in every:
            begin = time.perf_counter()
            masks = one.draw(tensor, target)
            one.seconds.append(time.perf_counter() - begin)
            one.maps.append(masks.mean(dim=0).numpy())
            one.kept.append(share_kept(judge, tensor, target, masks))
            print(f"{one.name}: {one.seconds[-1]:.0f} s", file=sys.stderr, flush=True)
    print_table(every)


def print_table(every: list[Contender]) -> None:
    """Medians of seconds; correlations of mean maps with TorchRay's: their mean and their least."""
    print("| | s a map | times as fast | agrees with TorchRay (r) | least | score kept |\n| --- |" + " ---: |" * 5)
    peer = every[0]
    for one in every:
        ratio = np.median(np.array(peer.seconds) / np.array(one.seconds))
        cells = [f"{np.median(one.seconds):.0f}", f"{ratio:.1f}"]
        if one is peer:
            cells += ["–", "–"]
        else:
            r = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(peer.maps, one.maps, strict=True)]
            cells += [f"{np.mean(r):.2f}", f"{min(r):.2f}"]
        print(f"| {one.name} | {' | '.join(cells)} | {np.mean(one.kept):.2f} |")


if __name__ == "__main__":
    main()
