"""Benchmark ingest: images per second, against decoding alone and imagededup's encode, with the same number of workers.

    python bench/ingest.py FOLDER [--count 1500] [--workers 2] [--rounds 3]

The folder's images are first saved at 640×480. Ingest means: read, digest, verify by a full decode, pHash, quality scores.
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

from fototeca.collect.store.accept import accept_image
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.vision.image import decode
from fototeca.vision.threads import image_threads

SIZE = (640, 480)


def in_threads(work: Callable[[Path], object]) -> Callable[[Sequence[Path], int], object]:
    """Return a function that runs `work` on all_contenders path with a number of threads, as the commands do."""

    def run(paths: Sequence[Path], workers: int) -> object:
        with image_threads(workers) as pool:
            return sum(1 for _ in pool.map(work, paths))

    return run


def imagededup(paths: Sequence[Path], workers: int) -> object:
    """Encode a folder with imagededup's own function and number of processes."""
    from imagededup.methods import PHash

    return PHash(verbose=False).encode_images(image_dir=paths[0].parent, num_enc_workers=workers)


def contenders(workspace: Workspace) -> dict[str, Callable[[Sequence[Path], int], object]]:
    """Return the contenders. The images are in the store already, so no file is written."""
    return {
        "full decode only": in_threads(decode),
        "fototeca: read, digest, verify, pHash, quality": in_threads(lambda path: accept_image(workspace, path.read_bytes(), 64)),
        "imagededup: pHash": imagededup,
    }


def main() -> None:
    """Prepare the images, measure in turns and print the table."""
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
        all_contenders = contenders(create_workspace(Path(folder) / "w", ["a"]))
        all_contenders["fototeca: read, digest, verify, pHash, quality"](paths, arguments.workers)
        rates: dict[str, list[float]] = {name: [] for name in all_contenders}
        costs: dict[str, list[float]] = {name: [] for name in all_contenders}
        for _ in range(arguments.rounds):
            for name, run in all_contenders.items():
                start, used = time.perf_counter(), cpu_seconds()
                run(paths, arguments.workers)
                rates[name].append(len(paths) / (time.perf_counter() - start))
                costs[name].append(1000 * (cpu_seconds() - used) / len(paths))
    print(f"{len(paths)} images of 640×480, {arguments.workers} workers, medians of {arguments.rounds}\n")
    print("| | images/s | relative to decode | relative to imagededup | CPU ms per image |\n| --- | ---: | ---: | ---: | ---: |")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        shares = (rate / medians["full decode only"], rate / medians["imagededup: pHash"])
        cells = (f"{rate:.0f}", *(f"{share:.2f}" for share in shares), f"{statistics.median(costs[name]):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its finished children."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
