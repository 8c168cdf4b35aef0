"""All pairs of hashes within some bits, against imagededup's brute force and BK-tree where they can still finish.

    python bench/search.py [--sizes 2000 10000 100000 1000000]

Hashes are spread as pHash spreads photographs': around centres, a few values taken by very many (plain pictures).
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from curate.search import Hashes, near_pairs

PEER_LIMIT = 10_000
BKTREE_LIMIT = 2_000


def main() -> None:
    """Search, print seconds, pairs and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 100_000, 1_000_000])
    sizes = parser.parse_args().sizes
    near_pairs(crowd(7000), 8)  # compile
    print("| hashes | bits | pairs | fototeca s | imagededup brute force s | imagededup BK-tree s | peak memory MB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in sizes:
        hashes = crowd(size)
        for threshold in (4, 8, 10):
            seconds, found = timed(lambda: near_pairs(hashes, threshold))  # noqa: B023 - called at once
            peers = [peer(hashes, threshold, method) for method in ("brute_force_cython", "bktree")]
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            cells = [f"{size:,}", threshold, f"{len(found[0]):,}", f"{seconds:.2f}", *peers, memory]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def crowd(size: int) -> Hashes:
    """Hashes around centres (each bit flipped with chance 0.25), 1% near copies, 0.2% on one value."""
    rng = np.random.default_rng(size)
    centres = rng.integers(0, 1 << 64, size // 50 + 1, dtype=np.uint64)
    flips = np.packbits(rng.random((size, 64)) < 0.25, axis=1).view(np.uint64)[:, 0]
    hashes = centres[rng.integers(len(centres), size=size)] ^ flips
    copies = size // 100
    hashes[:copies] = hashes[copies : 2 * copies] ^ (np.uint64(1) << rng.integers(0, 64, copies).astype(np.uint64))
    hashes[-(size // 500) :] = hashes[-1]
    return hashes


def timed(call: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def peer(hashes: Hashes, threshold: int, method: str) -> str:
    """Seconds of imagededup, or why there are none."""
    if len(hashes) > (BKTREE_LIMIT if method == "bktree" else PEER_LIMIT):
        return "not tried"
    try:
        from imagededup.methods import PHash
    except ImportError:
        return "not installed"
    encodings = {str(number): f"{int(value):016x}" for number, value in enumerate(hashes)}
    hasher = PHash(verbose=False)
    options = {"max_distance_threshold": threshold, "search_method": method, "scores": False}
    seconds, _ = timed(lambda: hasher.find_duplicates(encoding_map=encodings, **options))
    return f"{seconds:.1f}"


if __name__ == "__main__":
    main()
