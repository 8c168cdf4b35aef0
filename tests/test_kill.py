"""kill -9 during collect, dedup and training, then the same command again: it ends as the uninterrupted one does."""

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
from tests.servers import Answer, Asked, serve

ROOT = Path(__file__).parents[1]
TRAIN = ("train", "run", "--manifest", "v001", "--model", "cnn", "--regime", "scratch")
SMALL = ("--epochs", "4", "--image-size", "32", "--batch-size", "16", "--seed", "7", "--workers", "0")


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin `fototeca ARG…` in a process group of its own."""
    command = [sys.executable, "-m", "fototeca", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(folder: Path, *arguments: str) -> float:
    """Run a command to its end; return the seconds it took."""
    begin = time.monotonic()
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - begin


def kill_when(folder: Path, ready: Callable[[], bool], *arguments: str) -> bool:
    """Run a command and kill it once `ready` says that it is in the middle; False if it ended before."""
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
    """What the catalog answers, or nothing while it is being made."""
    path = folder / "data" / "catalog.sqlite"
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as sql:
        try:
            return sql.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def ledger(folder: Path) -> dict[str, object]:
    """What must be equal after an interruption: states, images, labels, groups and the stored bytes."""
    stored = sorted((folder / "data" / "images").rglob("*"))
    return {
        "candidates": rows(folder, "SELECT state, reason, count(*) FROM candidates GROUP BY 1, 2 ORDER BY 1, 2"),
        "images": rows(folder, "SELECT image_id, path, width, height, phash, label, rejected FROM images ORDER BY 1"),
        "findings": rows(folder, "SELECT source, category, count(*) FROM findings GROUP BY 1, 2 ORDER BY 1, 2"),
        "decisions": rows(folder, "SELECT image_id, who, old, new FROM decisions ORDER BY 1, 2"),
        "groups": rows(folder, "SELECT image_id, group_id, kept, reason FROM groups ORDER BY 1"),
        "accepted twice": rows(
            folder, "SELECT candidate_id FROM attempts WHERE state = 'accepted' GROUP BY 1 HAVING count(*) > 1"
        ),
        "files": [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in stored if path.is_file()],
    }


@pytest.mark.slow
def test_killed_and_started_again_ends_as_if_nothing_had_happened(
    tmp_path: Path, make_images: Callable[[Path, dict[str, int]], Path]
) -> None:
    """One workspace is left alone, the other is killed again and again in each stage; both end the same, bit for bit."""
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
    """How many epochs are written down so far."""
    return sum(len(path.read_text().splitlines()) - 1 for path in (folder / "data" / "runs").glob("*/epochs.csv"))


def outcome(folder: Path) -> dict[str, object]:
    """Weights, predictions and curves of the only run, without what time it took."""
    (run,) = [path.parent for path in (folder / "data" / "runs").glob("*/done.json")]
    files = [run / "model.safetensors", run / "predictions-train.csv", run / "predictions-val.csv", run / "steps.csv"]
    epochs = [line.split(",")[:5] for line in (run / "epochs.csv").read_text().splitlines()]
    return {"epochs": epochs, **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}}


def test_a_terminated_search_leaves_no_browser(tmp_path: Path) -> None:
    """SIGTERM while a page is being read: the program, its driver and its browser are gone, and the exit code says why."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    loaded = threading.Event()

    def respond(asked: Asked) -> Answer:
        if asked.path == "/loaded":
            loaded.set()
        return Answer(b"<script>onload = () => fetch('/loaded')</script>", status=200 if asked.path == "/page" else 404)

    with serve(respond) as site:
        process = start(workspace.root, "collect", "search", "gallery", "--url", f"{site.base}/page", "--allow-loopback")
        assert loaded.wait(60)
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("chrom" in member.name() for member in family)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not psutil.wait_procs(family, timeout=10)[1]
