"""kill -9 during collect, dedup and training; the repeated command ends like an uninterrupted one."""

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
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fototeca.core.workspace import create_workspace
from tests.servers import ReceivedRequest, StubResponse, serve

ROOT = Path(__file__).parents[1]
TRAIN = ("train", "run", "--manifest", "v001", "--model", "cnn", "--regime", "scratch")
SMALL = ("--epochs", "4", "--image-size", "32", "--batch-size", "16", "--seed", "7", "--workers", "0")


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `fototeca ARG…` in its own process group."""
    command = [sys.executable, "-m", "fototeca", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(folder: Path, *arguments: str) -> float:
    """Run a command; return its seconds."""
    begin = time.monotonic()
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - begin


def kill_when(folder: Path, ready: Callable[[], bool], *arguments: str) -> bool:
    """Run a command and kill it when `ready` returns True; return False if it ended before."""
    process = start(folder, *arguments)
    while process.poll() is None:
        if ready():
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.002)
    process.communicate()
    return False


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query, or [] while the catalog is being created."""
    path = folder / "data" / "catalog.sqlite"
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as sql:
        try:
            return sql.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def ledger(folder: Path) -> dict[str, object]:
    """Return what must be equal after an interruption: statuses, images, labels, groups and stored bytes."""
    stored = sorted((folder / "data" / "images").rglob("*"))
    return {
        "candidates": rows(folder, "SELECT state, reason, count(*) FROM candidates GROUP BY 1, 2 ORDER BY 1, 2"),
        "images": rows(folder, "SELECT image_id, path, width, height, phash, label, rejected FROM images ORDER BY 1"),
        "findings": rows(folder, "SELECT source, category, count(*) FROM provenance GROUP BY 1, 2 ORDER BY 1, 2"),
        "decisions": rows(folder, "SELECT image_id, actor, action, old_label, new_label FROM decisions ORDER BY 1, 2"),
        "groups": rows(folder, "SELECT image_id, group_id, is_representative, reason FROM groups ORDER BY 1"),
        "accepted twice": rows(
            folder, "SELECT candidate_id FROM attempts WHERE state = 'accepted' GROUP BY 1 HAVING count(*) > 1"
        ),
        "files": [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in stored if path.is_file()],
    }


@pytest.mark.slow
def test_killed_stages_end_like_uninterrupted_ones(tmp_path: Path, make_images: Callable[[Path, dict[str, int]], Path]) -> None:
    """One workspace runs undisturbed, another is killed repeatedly in each stage; both are equal bit for bit."""
    images = make_images(tmp_path / "in", {"red": 90, "blue": 90, "green": 90})
    for number in range(0, 60, 2):  # copies for dedup to find
        (images / "red" / f"copy-{number:03}.jpg").write_bytes((images / "red" / f"{number:03}.jpg").read_bytes() + b"\0")
    calm, harsh = tmp_path / "calm", tmp_path / "harsh"
    for folder in (calm, harsh):
        create_workspace(folder, ["red", "blue", "green"], target=30)
        (folder / "fototeca.toml").write_text((folder / "fototeca.toml").read_text().replace(folder.name, "same"))
    collect = ("collect", "folder", str(images), "--label-from-folder")
    finish(calm, *collect)
    for wanted in sorted(random.Random(5).sample(range(5, 230), 5)):
        assert kill_when(harsh, lambda wanted=wanted: len(rows(harsh, "SELECT 1 FROM images")) >= wanted, *collect)
    finish(harsh, *collect)
    assert ledger(harsh) == ledger(calm)
    assert not list((harsh / "data").rglob("*.tmp"))

    dedup = ("curate", "dedup")
    finish(calm, *dedup)
    for wanted in (1, 120):
        assert kill_when(harsh, lambda wanted=wanted: len(rows(harsh, "SELECT 1 FROM signatures")) >= wanted, *dedup)
    finish(harsh, *dedup)
    assert ledger(harsh) == ledger(calm)
    assert len(ledger(calm)["groups"]) >= 60  # type: ignore[arg-type]

    for folder in (calm, harsh):
        finish(folder, "curate", "freeze", "--seed", "3")
    assert (calm / "manifests" / "v001.csv").read_bytes() == (harsh / "manifests" / "v001.csv").read_bytes()

    finish(calm, *TRAIN, *SMALL)
    for epochs in (1, 3):
        assert kill_when(harsh, lambda epochs=epochs: finished_epochs(harsh) >= epochs, *TRAIN, *SMALL)
    finish(harsh, *TRAIN, *SMALL)
    assert outcome(harsh) == outcome(calm)


def finished_epochs(folder: Path) -> int:
    """Return the number of epochs written so far."""
    return sum(len(path.read_text().splitlines()) - 1 for path in (folder / "data" / "runs").glob("*/epochs.csv"))


def outcome(folder: Path) -> dict[str, object]:
    """Return weights, predictions and curves of the only run, without durations."""
    (run,) = [path.parent for path in (folder / "data" / "runs").glob("*/done.json")]
    files = [run / "model.safetensors", run / "predictions-train.csv", run / "predictions-val.csv", run / "steps.csv"]
    epochs = [line.split(",")[:5] for line in (run / "epochs.csv").read_text().splitlines()]
    return {"epochs": epochs, **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}}


def test_sigterm_closes_the_browser(tmp_path: Path) -> None:
    """SIGTERM during a search ends the program, driver and browser; the exit code is 143."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    loaded = threading.Event()

    def respond(asked: ReceivedRequest) -> StubResponse:
        if asked.path == "/loaded":
            loaded.set()
        return StubResponse(b"<script>onload = () => fetch('/loaded')</script>", status=200 if asked.path == "/page" else 404)

    with serve(respond) as site:
        process = start(workspace.root, "collect", "search", "gallery", "--url", f"{site.base}/page", "--allow-loopback")
        assert loaded.wait(60)
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("chrom" in member.name() for member in family)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not psutil.wait_procs(family, timeout=10)[1]
