"""kill -9 at twenty moments of a real download: the same command goes on, and ends as the uninterrupted one."""

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

ROOT = Path(__file__).parents[2]
COUNT = 500
KILLS = 20


def start(workspace: Workspace, listed: Path) -> subprocess.Popen[bytes]:
    """Begin the collection in a process group of its own."""
    command = [sys.executable, "-m", "fototeca", "collect", "urls", str(listed), "--category", "x"]
    return subprocess.Popen(
        [*command, "--allow-loopback", "--timeout", "20"],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def rows(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    """What the catalog answers; nothing before there is one."""
    if not workspace.catalog.exists():
        return []
    with sqlite3.connect(f"file:{workspace.catalog}?mode=ro", uri=True) as sql:
        try:
            return sql.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outcome(workspace: Workspace, base: str) -> dict[str, object]:
    """States and reasons by address, images, places, labels and files: everything but times."""
    listed = rows(workspace, "SELECT url, state, reason, image_id FROM candidates ORDER BY url")
    return {
        "candidates": [(str(url).replace(base, ""), *rest) for url, *rest in listed],
        "images": rows(workspace, "SELECT image_id, path, label, phash FROM images ORDER BY 1"),
        "findings": rows(workspace, "SELECT source, category, rank FROM provenance ORDER BY rank"),
        "decisions": rows(workspace, "SELECT image_id, actor, action, old_label, new_label FROM decisions ORDER BY 1"),
        "files": sorted((path.name, digest(path)) for path in workspace.images.rglob("*") if path.is_file()),
    }


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    """Same catalog, same store, no partial file, and nothing is fetched again once it was accepted.

    The last images are held back until the last kill, so that none of the twenty comes too late.
    """
    pictures = {f"/{number}.jpg": jpeg(number % (COUNT - 20), 160) for number in range(COUNT)}  # the last 20 are copies
    last = list(pictures)[-20:]
    accepted_when_asked: list[str] = []
    survived = threading.Event()
    harsh = create_workspace(tmp_path / "harsh", ["x"], target=100)
    calm = create_workspace(tmp_path / "calm", ["x"], target=100)

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(status=404)
        if rows(harsh, f"SELECT 1 FROM candidates WHERE url LIKE '%{request.path}' AND state = 'accepted'"):
            accepted_when_asked.append(request.path)
        time.sleep(0.01)
        if request.path in last:
            survived.wait(15)
        if request.path in ("/7.jpg", "/77.jpg"):
            return StubResponse(b"no", status=404)
        return StubResponse(pictures[request.path], "image/jpeg")

    with serve(respond) as site:
        listed = tmp_path / "list.txt"
        listed.write_text("\n".join(f"{site.base}{path}" for path in pictures), encoding="utf-8")
        moments = sorted(random.Random(11).sample(range(3, COUNT - 30), KILLS))
        for moment in moments:
            process = start(harsh, listed)
            while process.poll() is None and len(rows(harsh, "SELECT 1 FROM images")) < moment:
                time.sleep(0.002)
            assert process.poll() is None
            time.sleep(random.Random(moment).uniform(0, 0.03))
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        survived.set()
        assert start(harsh, listed).wait(120) == 0
        request = Counter(request.path for request in site.requests)
        assert not accepted_when_asked
        assert start(calm, listed).wait(120) == 0
    assert outcome(harsh, site.base) == outcome(calm, site.base)
    assert all(path.stem == digest(path) for path in harsh.images.rglob("*") if path.is_file())
    assert len(rows(harsh, "SELECT 1 FROM images")) == COUNT - 21  # 20 copies, and number 77; number 7 came by its copy
    assert not list(harsh.root.rglob("*.tmp"))
    assert sum(request.values()) < COUNT * 4, "kills may cost what was in flight, no more"
