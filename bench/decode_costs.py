"""Measure CPU seconds and peak memory of costly images, each in a process of its own, with and without the budget.

    python -m bench.decode_costs [NAME...]      the bombs of tests/vision/bombs.py
    python -m bench.decode_costs FILE...        files: photographs, other bombs

Run in the root of a checkout. Without the budget a process ends after 60 s. Memory is the peak above that of the process before.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_SECONDS = 60


def measure(path: Path, *, guarded: bool) -> str:
    """Decode a file in this process and return CPU seconds, megabytes and the outcome."""
    from fototeca.vision import image, opening
    from fototeca.vision.limits import MAX_PIXELS

    if not guarded:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
        opening.check_cost = lambda *arguments: None
    data = path.read_bytes()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        image.decode_pixels(data, max_pixels=MAX_PIXELS)
        outcome = "read"
    except image.DecodeError as error:
        outcome = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"{time.process_time() - start:6.2f} s {peak / 1024:6.0f} MB  {outcome}"


def run(path: Path, *, guarded: bool) -> str:
    """Measure in a new process."""
    command = [sys.executable, "-m", "bench.decode_costs", "--one", str(path), str(int(guarded))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"ended after {LIMIT_SECONDS} s ({done.returncode})"


def main() -> None:
    """Measure the named bombs or files; all bombs by default."""
    if sys.argv[1:2] == ["--one"]:
        print(measure(Path(sys.argv[2]), guarded=sys.argv[3] == "1"))
        return
    from tests.vision.bombs import BOMBS

    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or list(BOMBS):
            path = Path(name)
            if name in BOMBS:
                path = Path(folder) / name
                path.write_bytes(BOMBS[name]())
            print(f"{name}, {path.stat().st_size / 1e6:.2f} MB")
            for guarded in (False, True):
                print(f"  {'with' if guarded else 'without'} budget: {run(path, guarded=guarded)}", flush=True)


if __name__ == "__main__":
    main()
