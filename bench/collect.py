"""Downloading: accepted images a second and CPU seconds per 1,000, against img2dataset, icrawler and a plain requests pool.

    python bench/collect.py FOLDER [--count 2000] [--rounds 3]

FOLDER holds JPEGs, which a server of its own process serves from memory on 127.0.0.1. Every contender runs in a process of its
own with 16 downloads at once, in turns; the figures are medians. fototeca decodes, hashes, stores durably and records every
image; the others write files. icrawler and img2dataset are measured where they can be imported.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_ONCE = 16

FOTOTECA = """
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.ingest.pipeline import collect
from fototeca.collect.ingest.url_list import listed_findings
from fototeca.core.workspace import create_workspace
workspace = create_workspace(Path(target), ["x"], target=1)
findings = listed_findings(Path(listed), "x", workspace.settings)
options = FetchOptions(concurrency=at_once, per_host=at_once, allow_loopback=True)
print(collect(workspace, findings, options).accepted)
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
    answer = local.session.get(url, timeout=30)
    answer.raise_for_status()
    (store / f"{number}.jpg").write_bytes(answer.content)
with ThreadPoolExecutor(at_once) as pool:
    list(pool.map(fetch, enumerate(Path(listed).read_text().split())))
print(len(list(store.iterdir())))
"""
ICRAWLER = """
import logging
from icrawler.builtin import UrlListCrawler
crawler = UrlListCrawler(downloader_threads=at_once, storage={"root_dir": target}, log_level=logging.CRITICAL)
crawler.crawl(listed, max_num=10**9)
print(len(list(Path(target).iterdir())))
"""
IMG2DATASET = """
import glob
from img2dataset import download
if __name__ == "__main__":
    download(url_list=listed, output_folder=target, output_format="files", resize_mode="no", processes_count=1,
             thread_count=at_once, number_sample_per_shard=10**6, disallowed_header_directives=[])
    print(len(glob.glob(target + "/*/*.jpg")))
"""
CONTENDERS = {"fototeca": FOTOTECA, "requests pool": REQUESTS, "icrawler": ICRAWLER, "img2dataset": IMG2DATASET}


def main() -> None:
    """Serve, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.jpg"))[: options.count]
    names = [name for name in CONTENDERS if name not in ("icrawler", "img2dataset") or importlib.util.find_spec(name)]
    mine, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=([path.read_bytes() for path in files], theirs), daemon=True)
    server.start()
    port = mine.recv()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "list.txt"
        listed.write_text("\n".join(f"http://127.0.0.1:{port}/{number}.jpg" for number in range(len(files))))
        for turn in range(options.rounds):
            for name in names:
                figures[name].append(measure(name, listed, Path(folder) / f"{name}-{turn}", len(files)))
    server.terminate()
    show(figures)


def serve(bodies: list[bytes], ready: Connection) -> None:
    """Answer GET /N.jpg from memory, connections kept open; anything else is not found."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport, self.held = transport, b""

        def data_received(self, data: bytes) -> None:
            *requests, self.held = (self.held + data).split(b"\r\n\r\n")
            for request in requests:
                name = request.split(b" ")[1].decode().lstrip("/").removesuffix(".jpg")
                known = name.isdigit() and int(name) < len(bodies)
                body = bodies[int(name)] if known else b""
                kind = "image/jpeg" if known else "text/plain"
                head = f"HTTP/1.1 {'200 OK' if known else '404 Not Found'}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
                self.transport.write(head.encode() + b"\r\n\r\n" + body)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def measure(name: str, listed: Path, target: Path, count: int) -> tuple[float, float]:
    """Images a second, and CPU seconds per 1,000 images of the contender and its children."""
    head = f"from pathlib import Path\nlisted, target, at_once = {str(listed)!r}, {str(target)!r}, {AT_ONCE}\n"
    script = listed.parent / "contender.py"  # a file, since img2dataset starts processes that import it
    script.write_text(head + CONTENDERS[name])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
    came = int(done.stdout.split()[-1])
    assert came >= 0.99 * count, f"{name} brought {came} of {count}"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return came / seconds, cpu / came * 1000


def show(figures: dict[str, list[tuple[float, float]]]) -> None:
    """Medians, and fototeca's ratio to each."""
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in figures.items()}
    ours = medians["fototeca"]
    print("| | images/s | CPU s per 1,000 | fototeca's rate to it | fototeca's CPU to it |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (rate, cpu) in medians.items():
        print(f"| {name} | {rate:.0f} | {cpu:.1f} | {ours[0] / rate:.2f} | {ours[1] / cpu:.2f} |")


if __name__ == "__main__":
    main()
