"""`curate review` from its start to its end, as a process of its own: served here alone, telemetry off, nothing saved is lost."""

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
FiftyOne = Any  # it ships no types


@contextmanager
def review(fo: FiftyOne, workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The command, serving, and its dataset; whatever it has started is gone at the end."""
    port = free_port()
    command = [sys.executable, "-m", "fototeca", "curate", "review", "--no-browser", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "FIFTYONE_DO_NOT_TRACK"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell puts in the background is made deaf to it
    with subprocess.Popen(command, cwd=workspace.root, env=environment, preexec_fn=heeded, **streams) as process:
        family = [psutil.Process(process.pid)]
        try:
            name = served(process)
            family += family[0].children(recursive=True)
            yield process, fo.load_dataset(name)
        finally:
            for one in family:
                if one.is_running():
                    one.kill()


def served(process: subprocess.Popen[str]) -> str:
    """The dataset whose address it tells, once it does."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if found := re.search(r"http://\S+/datasets/([\w-]+)", line):
            return found[1]
        said.append(line)
    raise AssertionError("".join(said))


def relabel(dataset: Any, image_id: str, label: str) -> None:  # noqa: ANN401
    """Save an edit, as the App does."""
    sample = dataset.one({"image_id": image_id})
    sample.ground_truth.label = label
    sample.save()


def decided(workspace: Workspace, image_ids: list[str]) -> list[tuple[str, bool]]:
    """The labels, and whether a person has decided."""
    with Catalog.open(workspace) as catalog:
        images = {image.image_id: image for image in catalog.images.all()}
    return [(images[image_id].label, images[image_id].reviewed) for image_id in image_ids]


def test_killed_and_then_closed(fo: FiftyOne, workspace: Workspace, add_images: Callable[..., list[str]]) -> None:
    """An edit saved before a kill waits; the next review listens on 127.0.0.1 alone, tells nobody, and Ctrl-C pulls all of it."""
    ids = add_images(workspace, ["cat", "dog"])
    with review(fo, workspace) as (process, dataset):
        relabel(dataset, ids[0], "dog")
        process.kill()
        process.wait()
        assert decided(workspace, ids) == [("cat", False), ("dog", False)]
        with review(fo, workspace) as (process, dataset):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            heard = {(one.pid, place.laddr.ip) for one in family for place in one.net_connections() if place.status == "LISTEN"}
            assert heard and {address for _, address in heard} == {"127.0.0.1"}
            silent = [one.environ().get("FIFTYONE_DO_NOT_TRACK") for one in family[1:] if one.pid in dict(heard)]
            assert silent and set(silent) == {"1"}, "FiftyOne hands it on so"
            relabel(dataset, ids[1], "cat")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "2 decisions\n"), err
    assert decided(workspace, ids) == [("dog", True), ("cat", True)]
    fo.delete_dataset(dataset.name)
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE], "the App went on"
