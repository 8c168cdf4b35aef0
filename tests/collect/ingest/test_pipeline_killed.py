"""A run killed with SIGKILL at twelve moments resumes and ends like an uninterrupted one."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

COUNT = 500
KILLS = 12


def start(workspace: Workspace, listed: Path) -> subprocess.Popen[bytes]:
    """Start the command in its own process group."""
    command = [sys.executable, "-m", "fototeca", "collect", "urls", str(listed), "--category", "x"]
    return subprocess.Popen(
        [*command, "--allow-loopback", "--timeout", "20"],
        cwd=workspace.root,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def rows(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query; none while there is no catalog."""
    if not workspace.catalog.exists():
        return []
    with sqlite3.connect(f"file:{workspace.catalog}?mode=ro", uri=True) as sql:
        try:
            return sql.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_state(workspace: Workspace, base: str) -> dict[str, object]:
    """Return everything but times: states and reasons by URL, images, provenances, labels and files."""
    listed = rows(workspace, "SELECT url, state, reason, image_id FROM candidates ORDER BY url")
    return {
        "candidates": [(str(url).replace(base, ""), *rest) for url, *rest in listed],
        "images": rows(workspace, "SELECT image_id, path, label, phash FROM images ORDER BY 1"),
        "provenance": rows(workspace, "SELECT source, category, rank FROM provenance ORDER BY rank"),
        "decisions": rows(workspace, "SELECT image_id, actor, action, old_label, new_label FROM decisions ORDER BY 1"),
        "files": sorted((path.name, digest(path)) for path in workspace.images.rglob("*") if path.is_file()),
    }


@pytest.mark.slow
def test_run_killed_twelve_times_equals_uninterrupted_run(tmp_path: Path) -> None:
    """Catalog and store are equal, no partial file is left, and no accepted image is fetched again.

    The last images are withheld until the last kill, so that none of the twelve comes after the end.
    """
    pictures = {f"/{number}.jpg": jpeg(number % (COUNT - 20), 160) for number in range(COUNT)}  # the last 20 are copies
    last = list(pictures)[-20:]
    refetched: list[str] = []
    release = threading.Event()
    killed = create_workspace(tmp_path / "killed", ["x"], target=100)
    uninterrupted = create_workspace(tmp_path / "uninterrupted", ["x"], target=100)

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(status=404)
        if rows(killed, f"SELECT 1 FROM candidates WHERE url LIKE '%{request.path}' AND state = 'accepted'"):
            refetched.append(request.path)
        time.sleep(0.01)
        if request.path in last:
            release.wait(15)
        if request.path in ("/7.jpg", "/77.jpg"):
            return StubResponse(b"no", status=404)
        return StubResponse(pictures[request.path], "image/jpeg")

    with serve(respond) as site:
        listed = tmp_path / "list.txt"
        listed.write_text("\n".join(f"{site.base}{path}" for path in pictures), encoding="utf-8")
        moments = sorted(random.Random(11).sample(range(3, COUNT - 30), KILLS))
        for moment in moments:
            process = start(killed, listed)
            while process.poll() is None and len(rows(killed, "SELECT 1 FROM images")) < moment:
                time.sleep(0.002)
            assert process.poll() is None
            time.sleep(random.Random(moment).uniform(0, 0.03))
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        release.set()
        assert start(killed, listed).wait(120) == 0
        request_counts = Counter(request.path for request in site.requests)
        assert not refetched
        assert start(uninterrupted, listed).wait(120) == 0
    assert read_state(killed, site.base) == read_state(uninterrupted, site.base)
    assert all(path.stem == digest(path) for path in killed.images.rglob("*") if path.is_file())
    assert len(rows(killed, "SELECT 1 FROM images")) == COUNT - 21  # 20 copies, and number 77; number 7 came by its copy
    assert not list(killed.root.rglob("*.tmp"))
    assert sum(request_counts.values()) < COUNT * 4, "a kill costs at most the requests in flight"
