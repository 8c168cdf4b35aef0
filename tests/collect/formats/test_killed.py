"""`collect detections` and `video` killed with SIGKILL while they write crops and frames: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.collect.catalog import Catalog
from fototeca.collect.formats.detections import DetectionOptions
from fototeca.collect.formats.video import VideoOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.detections import collect_detections
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.ingest.video import collect_video
from fototeca.core.workspace import Workspace, create_workspace

KILLED_AT_WRITE = """
import os, signal, sys
from pathlib import Path
moment, writes, write = int(sys.argv[1]), 0, Path.write_bytes
def write_bytes(self, data):
    global writes
    writes += 1
    if writes == moment:
        write(self, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, data)
Path.write_bytes = write_bytes
from fototeca.cli import main
sys.argv = ["fototeca", *sys.argv[2:]]
main()
"""
"""Half of one crop or frame is written when the process is killed; threads are reading and recording those before it."""

FETCH = FetchOptions(min_side=8)


def detection_set(folder: Path) -> Path:
    """Write 4 photographs with 6 boxes each."""
    (folder / "images").mkdir(parents=True)
    images, boxes = [], []
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (120, 180, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
        boxes += [{"image_id": number, "category_id": 1, "bbox": [30 * place, 10, 28, 40]} for place in range(6)]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "a.json").write_text(json.dumps(document))
    return folder


def video(folder: Path) -> Path:
    """Write a video of 2 seconds whose frames differ."""
    av = pytest.importorskip("av")
    folder.mkdir()
    with av.open(str(folder / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(20):
            pixels = np.random.default_rng(index).integers(0, 255, (4, 6, 3), np.uint8).repeat(16, 0).repeat(16, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return folder


def collect_boxes(workspace: Workspace, path: Path) -> CollectSummary:
    """Collect the crops."""
    return collect_detections(workspace, path, DetectionOptions("coco"), FETCH)


def collect_frames(workspace: Workspace, path: Path) -> CollectSummary:
    """Collect a frame for each tenth of a second."""
    return collect_video(workspace, [path], VideoOptions(0.1, "cat"), FETCH)


def read_state(workspace: Workspace) -> dict[str, object]:
    """Return images, places and files without times and paths."""
    with Catalog.open(workspace) as catalog:
        places = catalog.provenance.of_images_until("9999")
        return {
            "images": sorted((image.image_id, image.label) for image in catalog.images.all()),
            "places": sorted((row.image_id, row.source, row.split_group.rpartition("/")[2]) for row in places),
            "candidates": sorted(catalog.provenance.file_names().values()),
            "files": sorted(path.name for path in workspace.images.rglob("*") if path.is_file()),
        }


@pytest.mark.parametrize(
    ("make", "collect", "options", "count"),
    [
        (detection_set, collect_boxes, ["detections", "--format", "coco", "--as", "crops"], 24),
        (video, collect_frames, ["video", "--every", "0.1", "--category", "cat"], 20),
    ],
)
def test_killed_runs_resume_and_end_like_an_uninterrupted_one(
    tmp_path: Path,
    make: Callable[[Path], Path],
    collect: Callable[[Workspace, Path], CollectSummary],
    options: list[str],
    count: int,
) -> None:
    """Killed twice, then run to the end: images, places and files are equal, and no crop or frame stays behind."""
    data = make(tmp_path / "set")
    killed, whole = (create_workspace(tmp_path / name, ["cat"], target=1) for name in ("killed", "whole"))
    for moment in (count // 3, count - 2):
        command = [sys.executable, "-c", KILLED_AT_WRITE, str(moment), "collect", options[0], str(data), *options[1:]]
        environment = {**os.environ, "FOTOTECA_WORKSPACE": str(killed.root)}
        process = subprocess.run([*command, "--min-side", "8"], env=environment, capture_output=True, check=False)
        assert process.returncode == -signal.SIGKILL, process.stderr
    collect(killed, data)
    assert collect(whole, data).accepted == count
    assert read_state(killed) == read_state(whole)
    assert not list(killed.root.rglob("*.tmp"))
    assert not [path for path in killed.cache.rglob("*") if path.suffix in (".png", ".jpg")]
    again = collect(killed, data)
    assert (again.accepted, again.already_known) == (0, count)
