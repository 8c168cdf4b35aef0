"""Frames of videos: times, names, rotation groups, damage and hostile playlists."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.collect.catalog import Catalog
from fototeca.collect.formats.video import VideoOptions, read_frames
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.video import collect_video
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import create_workspace

av = pytest.importorskip("av")


def write_video(path: Path, seconds: float, rate: int = 10, size: tuple[int, int] = (96, 64)) -> Path:
    """Write noise whose frames differ."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(round(seconds * rate)):
            pixels = np.random.default_rng(index).integers(0, 255, (size[1] // 16, size[0] // 16, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels.repeat(16, 0).repeat(16, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_frames_are_taken_at_their_times_in_one_group(tmp_path: Path) -> None:
    """Three frames of 2.5 seconds, one group, the same rows when the command is given again."""
    work = create_workspace(tmp_path / "w", ["beach"])
    video = write_video(tmp_path / "holiday.mp4", 2.5)
    summary = collect_video(work, [video], VideoOptions(1, "beach"), FetchOptions(min_side=8))
    assert summary.accepted == 3 and not summary.passed_over
    with Catalog.open(work) as catalog:
        rows = catalog.provenance.of_images_until("9999")
        assert len(rows) == 3 and len({row.split_group for row in rows}) == 1
        assert {image.label for image in catalog.images.all()} == {"beach"}
    again = collect_video(work, [video], VideoOptions(1, "beach"), FetchOptions(min_side=8))
    assert (again.accepted, again.already_known) == (0, 3)
    assert not (work.cache / "frames").exists()


def test_names_and_faults(tmp_path: Path) -> None:
    """Damage keeps the frames before it; a playlist opens nothing; a short clip gives its first frame."""
    passed_over = PassedOver()
    video = write_video(tmp_path / "a.mp4", 2.5)
    assert [frame.name for frame in read_frames(video, 0.5, "a.mp4", passed_over)] == ["0.0s", "0.5s", "1.0s", "1.5s", "2.0s"]
    assert len(list(read_frames(video, 60, "short.mp4", passed_over))) == 1
    playlist = tmp_path / "b.mp4"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{video}\n")
    assert not list(read_frames(playlist, 1, "b.mp4", passed_over))
    concat = tmp_path / "c.mp4"
    concat.write_text(f"ffconcat version 1.0\nfile {video}\n")
    assert not list(read_frames(concat, 1, "c.mp4", passed_over))
    photograph = tmp_path / "d.mp4"
    Image.new("RGB", (64, 64), "red").save(photograph, "JPEG")
    assert not list(read_frames(photograph, 1, "d.mp4", passed_over))
    assert {row.reason: row.count for row in passed_over.counts()} == {"damaged-video": 3, "short-video": 1}


def test_a_folder_without_videos_is_an_error(tmp_path: Path) -> None:
    """The error lists the supported kinds."""
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.txt").write_text("x")
    with pytest.raises(FototecaError, match="no videos"):
        collect_video(create_workspace(tmp_path / "w", ["beach"]), [tmp_path / "v"], VideoOptions(1), FetchOptions())


def test_a_folder_of_videos_accounts_for_every_file(tmp_path: Path) -> None:
    """Links to folders are followed once; junk, other files and excluded ones are counted by reason."""
    folder = tmp_path / "v"
    (folder / "day").mkdir(parents=True)
    write_video(folder / "day" / "a.mp4", 1)
    write_video(folder / "day" / "b.mp4", 1)
    (tmp_path / "elsewhere").mkdir()
    write_video(tmp_path / "elsewhere" / "c.MP4", 1.5)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "day" / "loop").symlink_to(folder)
    (folder / "broken.mp4").symlink_to(tmp_path / "gone.mp4")
    for name in ("._a.mp4", "notes.txt", "empty.mp4"):
        (folder / name).write_text("" if "empty" in name else "x")
    work = create_workspace(tmp_path / "w", ["beach"])
    options = VideoOptions(10, "beach", exclude=("b.mp4",))
    summary = collect_video(work, [folder], options, FetchOptions(min_side=8))
    assert summary.candidates == 2
    assert {row.reason: row.names for row in summary.passed_over if row.reason != "short-video"} == {
        "excluded": ("day/b.mp4",), "linked-again": ("day/loop",), "broken-link": ("broken.mp4",), "junk": ("._a.mp4",),
        "no-video": ("notes.txt",), "empty": ("empty.mp4",),
    }  # fmt: skip


def test_the_missing_decoder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra, before anything is written."""
    monkeypatch.setitem(sys.modules, "av", None)
    work = create_workspace(tmp_path / "w", ["beach"])
    with pytest.raises(FototecaError, match="videos need the package av") as error:
        collect_video(work, [tmp_path], VideoOptions(1), FetchOptions())
    assert error.value.hint == "run: pip install 'fototeca[video]'" and error.value.exit_code == EXIT_OUTSIDE
    assert not work.catalog.exists()


def test_rotation_of_the_file_is_applied(tmp_path: Path) -> None:
    """A video that is shown turned clockwise gives upright frames: its left edge is on top."""
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        pixels = np.zeros((64, 96, 3), np.uint8)
        pixels[:, :32] = 255
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44  # the matrix, ISO/IEC 14496-12, section 8.3.2
    data[place : place + 20] = struct.pack(">iiiii", 0, 0x10000, 0, -0x10000, 0)
    path.write_bytes(data)
    (frame,) = read_frames(path, 60, "turned.mp4", PassedOver())
    shown = np.asarray(Image.open(io.BytesIO(frame.jpeg)))
    assert shown.shape[:2] == (96, 64)
    assert shown[:24].min() > 200 and shown[40:].max() < 60
