"""Read frames of videos at regular times, through PyAV (FFmpeg's libraries; the extra `video`)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.vision.image import MAX_PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_ENDINGS = "3g2 3gp asf avi dv flv m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf ogv qt ts vob webm wmv"
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""File name suffixes of videos in a folder."""

MAX_SECONDS = 24 * 3600
"""Frames after this time in a video are not taken."""

JPEG_QUALITY = 95
"""Quality of the JPEG files of frames, without chroma subsampling."""

_DEMUXERS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mxf,dv,m4v,ivf"
"""Containers that are read. Playlists and concatenations are not: they may name other files and addresses."""

_HASHED_BYTES = 1 << 20
"""Bytes at each end of a file that identify a video, with its size."""


@dataclass(frozen=True)
class VideoOptions:
    """Options of `fototeca collect video`."""

    every: float
    """Seconds between two frames."""

    category: str = ""
    """Category of every frame."""

    source_name: str = ""
    """Source recorded for the frames; by default `video`."""

    license: str = ""
    """License of the videos, as the user states it."""

    author: str = ""
    """Author of the videos."""

    exclude: tuple[str, ...] = ()
    """Glob patterns of paths, relative to each folder given, that are passed over."""

    def __post_init__(self) -> None:
        """Check the interval."""
        if not 0.001 <= self.every <= MAX_SECONDS:
            raise FototecaError(f"--every {self.every} is invalid", f"give seconds from 0.001 to {MAX_SECONDS}")


@dataclass(frozen=True)
class Frame:
    """One frame: the time at which it is shown, in seconds from the first frame, and its upright pixels as JPEG."""

    seconds: Fraction
    jpeg: bytes

    @property
    def name(self) -> str:
        """Time as in file names: `12.0s`, `0.04s`."""
        text = f"{float(self.seconds):.3f}".rstrip("0")
        return f"{text}0s" if text.endswith(".") else f"{text}s"


def check_decoder() -> None:
    """Raise FototecaError (exit 4) unless PyAV is installed."""
    try:
        import av  # noqa: F401
    except ModuleNotFoundError:
        raise ExternalError("videos need the package av", "run: pip install 'fototeca[video]'") from None


def read_frames(path: Path, every: float, name: str, passed_over: PassedOver) -> Iterator[Frame]:
    """Yield the frames that are shown at 0, `every`, 2 × `every`, … seconds after the first frame.

    The frame at a time is the last one that begins by then, by the timestamps of the file. A frame that is shown at several
    of these times is yielded once.

    Args:
        path: the video.
        every: seconds between two frames.
        name: of the video, for `passed_over`.
        passed_over: counts a video that is damaged (from the stated time on), too short for a second frame, too long, or
            whose frames have too many pixels, and times at which the frame before is still shown.
    """
    import av

    wanted = _Times(Fraction(str(every)))
    try:
        with path.open("rb") as file, _open(file) as container:
            yield from _choose_frames(container, wanted, name, passed_over)
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = "unreadable" if isinstance(error, PermissionError) else "damaged-video"
        passed_over.add(reason, f"{name} after {float(wanted.last):g}s" if wanted.num_frames else name)
        return
    if wanted.num_frames == 1:
        passed_over.add("short-video", f"{name} (only its first frame)")
    elif not wanted.num_frames:
        passed_over.add("no-frames", name)


def video_id(path: Path) -> str:
    """Return an identifier of a video by its size and the bytes at both of its ends. OSError if it cannot be read."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_HASHED_BYTES))
        file.seek(max(0, size - _HASHED_BYTES))
        digest.update(file.read(_HASHED_BYTES))
    return digest.hexdigest()[:16]


class _Times:
    """The times at which frames are wanted, and the last time at which one was taken."""

    def __init__(self, every: Fraction) -> None:
        self.every = every
        self.number = 0
        self.num_frames = 0
        self.last = Fraction(0)

    @property
    def next(self) -> Fraction:
        return self.every * self.number


def _open(file: io.BufferedReader) -> InputContainer:
    """Open a container through a file object, so that FFmpeg opens no other file."""
    import av

    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
    return av.open(file, mode="r", options=options, metadata_errors="replace")


def _choose_frames(container: InputContainer, wanted: _Times, name: str, passed_over: PassedOver) -> Iterator[Frame]:
    if not container.streams.video:
        return
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    shown: VideoFrame | None = None
    start: Fraction | None = None
    for frame in container.decode(stream):
        if frame.pts is None or frame.time_base is None:
            continue
        if frame.width * frame.height > MAX_PIXELS:
            passed_over.add("too-many-pixels", name)
            return
        begins = frame.pts * frame.time_base
        start = begins if start is None else start
        if begins - start > MAX_SECONDS:
            passed_over.add("long-video", name)
            break
        if shown is not None and wanted.next < begins - start:
            yield from _take(shown, begins - start, wanted, name, passed_over)
        shown = frame
    if shown is not None and shown.pts is not None and start is not None:
        yield from _take(shown, _end(shown) - start, wanted, name, passed_over)


def _take(frame: VideoFrame, until: Fraction, wanted: _Times, name: str, passed_over: PassedOver) -> Iterator[Frame]:
    """Yield a frame if one is wanted before `until`, and count the further times before then."""
    if wanted.next >= until:
        return
    taken = Frame(wanted.next, _encode(frame))
    wanted.number, wanted.num_frames, wanted.last = wanted.number + 1, wanted.num_frames + 1, taken.seconds
    yield taken
    while wanted.next < until:
        passed_over.add("repeated-frame", f"{name}@{float(wanted.next):g}s")
        wanted.number += 1


def _end(frame: VideoFrame) -> Fraction:
    """Return the time at which the last frame ends; a frame without duration lasts one unit of the time base."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return Fraction((frame.pts + max(frame.duration or 0, 1)) * frame.time_base)


def _encode(frame: VideoFrame) -> bytes:
    """Return the upright frame with square pixels as JPEG."""
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    if frame.rotation % 90 == 0 and frame.rotation % 360:
        image = image.rotate(frame.rotation, expand=True)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
