"""Benchmark the API of served runs: latency and images per second of 1, 8 and 32 clients, and memory over time.

    python bench/serve.py [--count 300] [--minutes 0]

A head over ResNet-18's features at 224 px answers drawn photographs of 640×480, sent one per request over HTTP. The peer is the
model's own rate on images that are decoded already, in batches of 32. With
`--minutes`, 8 clients then send images for that time, and the growth of the process's memory is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np
import psutil
from drawn_images import create_frozen, draw_all
from train_parts import random_weights

from fototeca.analysis.serving.app import ServingApp
from fototeca.analysis.serving.serve import LIMITS
from fototeca.analysis.serving.served_run import ServedRun
from fototeca.core.web import serve_locally
from fototeca.train.config import TrainConfig
from fototeca.train.runs import load_model
from fototeca.train.trainer import train_run
from fototeca.vision.image import decode

BATCH = 32
KEY = "key-of-the-benchmark"


def send_all(url: str, images: list[bytes], clients: int) -> tuple[float, np.ndarray]:
    """Send each image once from this many clients, in a process of their own; return seconds and latencies in milliseconds."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_send_all, url, images, clients).result()


def _send_all(url: str, images: list[bytes], clients: int) -> tuple[float, np.ndarray]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(headers=headers, timeout=120, limits=httpx.Limits(max_connections=clients), trust_env=False) as client:

        def send(data: bytes) -> float:
            start = time.perf_counter()
            client.post(url, content=data).raise_for_status()
            return 1000 * (time.perf_counter() - start)

        start = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            latencies = list(pool.map(send, images))
        return time.perf_counter() - start, np.array(latencies)


def main() -> None:
    """Prepare a run and images, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = create_frozen(folder / "w", 200, (320, 240), 2)
        weights = random_weights(folder, "resnet18")
        run = train_run(workspace, TrainConfig("v001", "resnet18", "features", weights=weights, device="cpu"))
        paths = [path for _, path in draw_all(folder / "new", options.count, (640, 480))]
        images = [path.read_bytes() for path in paths]
        model, decoded = load_model(workspace, run), [decode(path) for path in paths]
        model.predict(decoded[:BATCH], BATCH)
        start = time.perf_counter()
        model.predict(decoded, BATCH)
        base = len(paths) / (time.perf_counter() - start)
        print(f"the model alone, on decoded images: {base:.1f} images/s\n")
        print("| clients | images/s | of the model alone | median ms | 95% ms |\n| ---: | ---: | ---: | ---: | ---: |")
        served = ServedRun(workspace, run.id)
        with serve_locally(ServingApp(workspace, [served]).app, port=0, limits=LIMITS, api_key=KEY) as server:
            url = f"{server.guard.origin}/predict"
            send_all(url, images[:8], 1)
            for clients in (1, 8, 32):
                seconds, latencies = send_all(url, images, clients)
                rate = len(images) / seconds
                median, high = np.percentile(latencies, [50, 95])
                print(f"| {clients} | {rate:.1f} | {rate / base:.2f} | {median:.0f} | {high:.0f} |")
            memory, end = psutil.Process().memory_info().rss, time.monotonic() + 60 * options.minutes
            number = 0
            while time.monotonic() < end:
                send_all(url, images, 8)
                number += len(images)
            if number:
                growth = psutil.Process().memory_info().rss - memory
                print(f"\n{number} images in {options.minutes:g} minutes: memory grew by {growth / 1e6:.0f} MB")
        served.close()


if __name__ == "__main__":
    main()
