"""Benchmark the exact search for hashes within some bits, against imagededup's brute force and BK-tree at feasible sizes.

    python bench/search.py [--sizes 2000 10000 100000 1000000]

The distribution imitates pHash on photographs: clusters around centers, and a few very frequent values (plain images). Each
search of fototeca runs in its own process, whose peak memory (VmHWM) includes Python, NumPy, Numba, the hashes and the search.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from fototeca.curate.duplicates.hamming_search import Hashes, find_near_pairs

PEER_LIMIT = 10_000
BKTREE_LIMIT = 2_000


def main() -> None:
    """Parse options, search, and print seconds, pairs and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 100_000, 1_000_000])
    sizes = parser.parse_args().sizes
    print("| hashes | bits | pairs | fototeca s | imagededup brute force s | imagededup BK-tree s | fototeca's peak memory MB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the memory of this process
    spent: dict[int, list[float]] = {4: [], 8: [], 10: []}
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        for size in sizes:
            hashes = make_hashes(size)
            for threshold in spent:
                seconds, num_pairs, memory = pool.submit(measure, hashes, threshold).result()
                spent[threshold].append(seconds)
                peers = [time_imagededup(hashes, threshold, method) for method in ("brute_force_cython", "bktree")]
                cells = [f"{size:,}", threshold, f"{num_pairs:,}", f"{seconds:.2f}", *peers, memory]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    for threshold, seconds in spent.items() if len(sizes) > 1 else ():
        power = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
        print(f"\n{threshold} bits, {sizes[-2]:,} to {sizes[-1]:,} hashes: seconds grow as N^{power:.2f}")


def measure(hashes: Hashes, threshold: int) -> tuple[float, int, int]:
    """Return seconds, number of pairs, and peak memory in MB; `find_near_pairs` returns each pair twice."""
    small = make_hashes(7000)
    find_near_pairs(small, small, 8)  # compile
    start = time.perf_counter()
    pairs = find_near_pairs(hashes, hashes, threshold)
    seconds = time.perf_counter() - start
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return seconds, (len(pairs[0]) - len(hashes)) // 2, int(peak.split()[1]) // 1024


def make_hashes(size: int) -> Hashes:
    """Draw hashes around centers (each bit flipped with probability 0.25), 1% near copies, 0.2% with one value."""
    rng = np.random.default_rng(size)
    centers = rng.integers(0, 1 << 64, size // 50 + 1, dtype=np.uint64)
    flips = np.packbits(rng.random((size, 64)) < 0.25, axis=1).view(np.uint64)[:, 0]
    hashes = centers[rng.integers(len(centers), size=size)] ^ flips
    copies = size // 100
    hashes[:copies] = hashes[copies : 2 * copies] ^ (np.uint64(1) << rng.integers(0, 64, copies).astype(np.uint64))
    hashes[-(size // 500) :] = hashes[-1]
    return hashes


def time_imagededup(hashes: Hashes, threshold: int, method: str) -> str:
    """Return the seconds of imagededup, or the reason for not running it."""
    if len(hashes) > (BKTREE_LIMIT if method == "bktree" else PEER_LIMIT):
        return "not run"
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
