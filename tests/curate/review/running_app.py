"""A `fototeca curate review` in a process of its own, and a client of its App."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil
import pymongo

from fototeca.core.workspace import Workspace
from tests.conftest import free_port


@dataclass
class RunningReview:
    """The process, its workspace and port, and the contents of `data/review.json`."""

    process: subprocess.Popen[str]
    workspace: Workspace
    port: int
    cookie: str = field(default="", init=False)

    @property
    def file(self) -> dict[str, str]:
        """Contents of `data/review.json`."""
        content: dict[str, str] = json.loads((self.workspace.data / "review.json").read_text())
        return content

    @property
    def socket(self) -> Path:
        """Path of the socket of mongod."""
        return Path(unquote(self.file["database_uri"].removeprefix("mongodb://")))

    @property
    def mongods(self) -> list[psutil.Process]:
        """The mongod of this review, and the process that keeps it."""
        processes = psutil.process_iter(["cmdline"])
        mongods = [process for process in processes if str(self.socket) in (process.info["cmdline"] or ())]
        return mongods + [parent for process in mongods if (parent := process.parent())]

    def open(self) -> None:
        """Exchange the key of the file for the cookie."""
        address = urlsplit(self.file["url"])
        _, headers, _ = self.ask("GET", f"{address.path}?{address.query}")
        self.cookie = headers["set-cookie"].partition(";")[0]

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request as the App does; return status, headers and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        own = {"Origin": f"http://127.0.0.1:{self.port}", "Cookie": self.cookie, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, content, {**own, **headers})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def dataset(self) -> dict[str, Any]:
        """Return the dataset's document in the database."""
        with self._client() as client:
            return dict(client.fiftyone.datasets.find_one({"name": self.file["dataset"]}) or {})

    def sample(self, image_id: str) -> dict[str, Any]:
        """Return an image's sample in the database."""
        with self._client() as client:
            samples = client.fiftyone[self.dataset()["sample_collection_name"]]
            return dict(samples.find_one({"image_id": image_id}) or {})

    def change(self, image_id: str, field_name: str, value: str) -> None:
        """Change a field of a sample in the database."""
        with self._client() as client:
            samples = client.fiftyone[self.dataset()["sample_collection_name"]]
            samples.update_one({"image_id": image_id}, {"$set": {field_name: value}})

    def interrupt(self) -> tuple[str, str]:
        """Press Ctrl-C; return stdout and stderr."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=200)

    def _client(self) -> pymongo.MongoClient[dict[str, Any]]:
        return pymongo.MongoClient(self.file["database_uri"])


def own_database_environment(data_folder: Path) -> dict[str, str]:
    """Return the environment in which fototeca uses a mongod of its own, with its files in a folder."""
    environment = {name: value for name, value in os.environ.items() if not re.match(r"FIFTYONE_", name)}
    return environment | {"XDG_DATA_HOME": str(data_folder)}


@contextmanager
def run_review(workspace: Workspace, data_folder: Path, *options: str) -> Iterator[RunningReview]:
    """Run the command until the App is served; kill it at the end."""
    port = free_port()
    command = [sys.executable, "-m", "fototeca", "curate", "review", "--no-browser", "--port", str(port), *options]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # shells ignore SIGINT in background jobs
    environment = own_database_environment(data_folder)
    file = workspace.data / "review.json"
    old = file.stat() if file.exists() else None  # of a review that was killed
    with subprocess.Popen(command, cwd=workspace.root, env=environment, preexec_fn=restore_sigint, **streams) as process:
        try:
            while not file.exists() or (old and os.path.samestat(old, file.stat())):
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            yield RunningReview(process, workspace, port)
        finally:
            process.kill()


def wait_until(is_done: Callable[[], object]) -> None:
    """Wait up to 60 s."""
    end = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.05)
