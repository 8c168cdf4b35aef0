"""Tests for `curate review` as a subprocess: listening address, telemetry, kill and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import pytest

from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from tests.conftest import free_port

pytestmark = pytest.mark.xdist_group("fiftyone")
FiftyOne = Any  # FiftyOne ships no types


@contextmanager
def run_review(fo: FiftyOne, workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Run the command; yield the process and its dataset once it serves; kill all its processes at the end."""
    port = free_port()
    command = [sys.executable, "-m", "fototeca", "curate", "review", "--no-browser", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "FIFTYONE_DO_NOT_TRACK"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # shells ignore SIGINT in background jobs
    with subprocess.Popen(command, cwd=workspace.root, env=environment, preexec_fn=restore_sigint, **streams) as process:
        processes = [psutil.Process(process.pid)]
        try:
            name = read_dataset_name(process)
            processes += processes[0].children(recursive=True)
            yield process, fo.load_dataset(name)
        finally:
            for member in processes:
                if member.is_running():
                    member.kill()


def read_dataset_name(process: subprocess.Popen[str]) -> str:
    """Read stderr until the App's address is printed, and return the dataset's name in it."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        if match := re.search(r"http://\S+/datasets/([\w-]+)", line):
            return match[1]
        lines.append(line)
    raise AssertionError("".join(lines))


def relabel(dataset: Any, image_id: str, label: str) -> None:  # noqa: ANN401
    """Save an edit to a sample, as the App does."""
    sample = dataset.one({"image_id": image_id})
    sample.ground_truth.label = label
    sample.save()


def review_states(workspace: Workspace, image_ids: list[str]) -> list[tuple[str, bool]]:
    """Return the label of each image, and whether a person reviewed it."""
    with Catalog.open(workspace) as catalog:
        images = {image.image_id: image for image in catalog.images.all()}
    return [(images[image_id].label, images[image_id].reviewed) for image_id in image_ids]


def test_edits_survive_a_kill_and_ctrl_c_applies_them(
    fo: FiftyOne, workspace: Workspace, add_images: Callable[..., list[str]]
) -> None:
    """Edits saved before a kill are applied by the next review, which listens on 127.0.0.1 only and disables telemetry."""
    ids = add_images(workspace, ["cat", "dog"])
    with run_review(fo, workspace) as (process, dataset):
        relabel(dataset, ids[0], "dog")
        process.kill()
        process.wait()
        assert review_states(workspace, ids) == [("cat", False), ("dog", False)]
        with run_review(fo, workspace) as (process, dataset):
            processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            listening = {
                (member.pid, connection.laddr.ip)
                for member in processes
                for connection in member.net_connections()
                if connection.status == "LISTEN"
            }
            assert listening and {address for _, address in listening} == {"127.0.0.1"}
            tracking = [
                member.environ().get("FIFTYONE_DO_NOT_TRACK") for member in processes[1:] if member.pid in dict(listening)
            ]
            assert tracking and set(tracking) == {"1"}, "child processes inherit the variable"
            relabel(dataset, ids[1], "cat")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "2 decisions\n"), err
    assert review_states(workspace, ids) == [("dog", True), ("cat", True)]
    fo.delete_dataset(dataset.name)
    assert not [member for member in processes if member.is_running() and member.status() != psutil.STATUS_ZOMBIE], (
        "the App ended"
    )
