"""What taking in an image costs: images a second, beside decoding alone and imagededup's encode, with the same workers.

    python bench/ingest.py FOLDER [--count 1500] [--workers 2] [--rounds 3]

The folder's images are saved at 640×480 first. Taking in is: read, digest, verify by a full decode, pHash, quality scores.
The contenders run in turns; the figures are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from fototeca.collect.ingest.validate import accept
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.vision.image import decode
from fototeca.vision.threads import image_threads

SIZE = (640, 480)


def in_threads(work: Callable[[Path], object]) -> Callable[[Sequence[Path], int], object]:
    """`work` on every path, by so many threads, as the commands do it."""

    def run(paths: Sequence[Path], workers: int) -> object:
        with image_threads(workers) as pool:
            return sum(1 for _ in pool.map(work, paths))

    return run


def imagededup(paths: Sequence[Path], workers: int) -> object:
    """Its own encoding of a folder, by so many processes."""
    from imagededup.methods import PHash

    return PHash(verbose=False).encode_images(image_dir=paths[0].parent, num_enc_workers=workers)


def contenders(workspace: Workspace) -> dict[str, Callable[[Sequence[Path], int], object]]:
    """What is measured. Taking in is what every image goes through that comes; these are in the store already."""
    return {
        "full decode alone": in_threads(decode),
        "fototeca: read, digest, verify, pHash, quality": in_threads(lambda path: accept(workspace, path.read_bytes(), 64)),
        "imagededup: pHash": imagededup,
    }


def main() -> None:
    """Prepare, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        paths: list[Path] = []
        for number, source in enumerate(sorted(arguments.folder.rglob("*.jpg"))[: arguments.count]):
            paths.append(Path(folder) / "in" / f"{number:05}.jpg")
            decode(source).resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
        every = contenders(create_workspace(Path(folder) / "w", ["a"]))
        every["fototeca: read, digest, verify, pHash, quality"](paths, arguments.workers)
        rates: dict[str, list[float]] = {name: [] for name in every}
        costs: dict[str, list[float]] = {name: [] for name in every}
        for _ in range(arguments.rounds):
            for name, run in every.items():
                start, used = time.perf_counter(), cpu_seconds()
                run(paths, arguments.workers)
                rates[name].append(len(paths) / (time.perf_counter() - start))
                costs[name].append(1000 * (cpu_seconds() - used) / len(paths))
    print(f"{len(paths)} images of 640×480, {arguments.workers} workers, medians of {arguments.rounds}\n")
    print("| | images/s | of the decode | of imagededup | CPU ms an image |\n| --- | ---: | ---: | ---: | ---: |")
    middle = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in middle.items():
        shares = (rate / middle["full decode alone"], rate / middle["imagededup: pHash"])
        cells = (f"{rate:.0f}", *(f"{share:.2f}" for share in shares), f"{statistics.median(costs[name]):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def cpu_seconds() -> float:
    """CPU time of this process and of those it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
