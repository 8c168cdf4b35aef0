"""All pairs of hashes within some bits, against imagededup's brute force and BK-tree where they can still finish.

    python bench/search.py [--sizes 2000 10000 100000 1000000]

Hashes are spread as pHash spreads photographs': around centres, a few values taken by very many (plain images). Every search of
ours has a process of its own, whose peak memory is the kernel's (VmHWM): Python, NumPy, Numba, the hashes and the search.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from fototeca.curate.duplicates.hamming_search import Hashes, near

PEER_LIMIT = 10_000
BKTREE_LIMIT = 2_000


def main() -> None:
    """Search, print seconds, pairs and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 100_000, 1_000_000])
    sizes = parser.parse_args().sizes
    print("| hashes | bits | pairs | fototeca s | imagededup brute force s | imagededup BK-tree s | fototeca's peak memory MB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    own = multiprocessing.get_context("spawn")  # a fork would begin with the memory of this process
    spent: dict[int, list[float]] = {4: [], 8: [], 10: []}
    with ProcessPoolExecutor(1, own, max_tasks_per_child=1) as pool:
        for size in sizes:
            hashes = crowd(size)
            for threshold in spent:
                seconds, found, memory = pool.submit(ours, hashes, threshold).result()
                spent[threshold].append(seconds)
                peers = [peer(hashes, threshold, method) for method in ("brute_force_cython", "bktree")]
                cells = [f"{size:,}", threshold, f"{found:,}", f"{seconds:.2f}", *peers, memory]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    for threshold, seconds in spent.items() if len(sizes) > 1 else ():
        power = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
        print(f"\n{threshold} bits, {sizes[-2]:,} to {sizes[-1]:,} hashes: seconds grow as N^{power:.2f}")


def ours(hashes: Hashes, threshold: int) -> tuple[float, int, int]:
    """Seconds, pairs, and this process's peak memory in MB. Each pair is found from both sides, and each hash itself."""
    small = crowd(7000)
    near(small, small, 8)  # compile
    start = time.perf_counter()
    found = near(hashes, hashes, threshold)
    seconds = time.perf_counter() - start
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return seconds, (len(found[0]) - len(hashes)) // 2, int(peak.split()[1]) // 1024


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
    start = time.perf_counter()
    hasher.find_duplicates(encoding_map=encodings, **options)
    return f"{time.perf_counter() - start:.1f}"


if __name__ == "__main__":
    main()
