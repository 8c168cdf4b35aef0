"""Benchmark downloading: images per second and CPU seconds per 1,000, against img2dataset, icrawler and a requests pool.

    python bench/collect.py FOLDER [--count 2000] [--rounds 3]

A server in its own process serves the JPEG files of FOLDER from memory on 127.0.0.1. Every contender runs in its own process
with 16 concurrent downloads, in turns; the figures are medians. fototeca decodes, hashes, stores durably and records every
image; the others only write files. icrawler and img2dataset are skipped if they are not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

CONCURRENCY = 16

FOTOTECA = """
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.url_list import read_url_list
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import create_workspace
workspace = create_workspace(Path(target), ["x"], target=1)
listed = read_url_list(Path(listed), "x", workspace.settings, PassedOver())
options = FetchOptions(concurrency=concurrency, per_host=concurrency, allow_loopback=True)
print(ingest_provenances(workspace, listed.places, options).accepted)
"""
REQUESTS = """
import threading, requests
from concurrent.futures import ThreadPoolExecutor
store, local = Path(target), threading.local()
store.mkdir()
def fetch(pair):
    number, url = pair
    if not hasattr(local, "session"):
        local.session = requests.Session()
    response = local.session.get(url, timeout=30)
    response.raise_for_status()
    (store / f"{number}.jpg").write_bytes(response.content)
with ThreadPoolExecutor(concurrency) as pool:
    list(pool.map(fetch, enumerate(Path(listed).read_text().split())))
print(len(list(store.iterdir())))
"""
ICRAWLER = """
import logging
from icrawler.builtin import UrlListCrawler
crawler = UrlListCrawler(downloader_threads=concurrency, storage={"root_dir": target}, log_level=logging.CRITICAL)
crawler.crawl(listed, max_num=10**9)
print(len(list(Path(target).iterdir())))
"""
IMG2DATASET = """
import glob
from img2dataset import download
if __name__ == "__main__":
    download(url_list=listed, output_folder=target, output_format="files", resize_mode="no", processes_count=1,
             thread_count=concurrency, number_sample_per_shard=10**6, disallowed_header_directives=[])
    print(len(glob.glob(target + "/*/*.jpg")))
"""
CONTENDERS = {"fototeca": FOTOTECA, "requests pool": REQUESTS, "icrawler": ICRAWLER, "img2dataset": IMG2DATASET}


def main() -> None:
    """Serve the images, measure the contenders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.jpg"))[: options.count]
    names = [name for name in CONTENDERS if name not in ("icrawler", "img2dataset") or importlib.util.find_spec(name)]
    receiver, sender = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=([path.read_bytes() for path in files], sender), daemon=True)
    server.start()
    port = receiver.recv()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "list.txt"
        listed.write_text("\n".join(f"http://127.0.0.1:{port}/{number}.jpg" for number in range(len(files))))
        for turn in range(options.rounds):
            for name in names:
                figures[name].append(measure(name, listed, Path(folder) / f"{name}-{turn}", len(files)))
    server.terminate()
    print_table(figures)


def serve(bodies: list[bytes], ready: Connection) -> None:
    """Answer GET /N.jpg from memory over persistent connections; respond 404 to anything else. Sends the port to `ready`."""

    class ImageProtocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.buffer = transport, b""

        def data_received(self, data: bytes) -> None:
            *requests, self.buffer = (self.buffer + data).split(b"\r\n\r\n")
            for request in requests:
                name = request.split(b" ")[1].decode().lstrip("/").removesuffix(".jpg")
                exists = name.isdigit() and int(name) < len(bodies)
                body = bodies[int(name)] if exists else b""
                kind = "image/jpeg" if exists else "text/plain"
                head = (
                    f"HTTP/1.1 {'200 OK' if exists else '404 Not Found'}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
                )
                self.transport.write(head.encode() + b"\r\n\r\n" + body)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(ImageProtocol, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def measure(name: str, listed: Path, target: Path, count: int) -> tuple[float, float]:
    """Return images per second, and CPU seconds per 1,000 images of the contender and its child processes."""
    head = f"from pathlib import Path\nlisted, target, concurrency = {str(listed)!r}, {str(target)!r}, {CONCURRENCY}\n"
    script = listed.parent / "contender.py"  # a file, since img2dataset starts processes that import it
    script.write_text(head + CONTENDERS[name])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
    num_images = int(done.stdout.split()[-1])
    assert num_images >= 0.99 * count, f"{name} downloaded {num_images} of {count}"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return num_images / seconds, cpu / num_images * 1000


def print_table(figures: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians, and fototeca's rate and CPU time relative to each contender."""
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in figures.items()}
    ours = medians["fototeca"]
    print("| | images/s | CPU s per 1,000 | fototeca's relative rate | fototeca's relative CPU time |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (rate, cpu) in medians.items():
        print(f"| {name} | {rate:.0f} | {cpu:.1f} | {ours[0] / rate:.2f} | {ours[1] / cpu:.2f} |")


if __name__ == "__main__":
    main()
