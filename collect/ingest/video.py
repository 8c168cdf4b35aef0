"""Collect frames of videos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fototeca.collect.catalog import Provenance
from fototeca.collect.catalog.local_urls import local_url
from fototeca.collect.files.exclude import Exclude
from fototeca.collect.files.local_files import decode_file_name
from fototeca.collect.formats.video import VIDEO_SUFFIXES, VideoOptions, check_decoder, read_frames, video_id
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.rights import Rights, state_rights
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import IsExcluded, find_files

SOURCE = "video"


def collect_video(workspace: Workspace, paths: Sequence[Path], options: VideoOptions, fetch: FetchOptions) -> CollectSummary:
    """Ingest the frames that are shown every `options.every` seconds; the frames of one video share a split group.

    Frames are written to the cache while the command runs; a killed run resumes. A video is recognized by its content, so that
    the same frames are known when it is collected from another folder.

    Args:
        workspace: where images and catalog are written.
        paths: videos, and folders that are searched for videos.
        options: interval, category, files to exclude and rights.
        fetch: `min_side` applies.

    Raises:
        FototecaError: PyAV is not installed, a path does not exist, no video is found, or the category is unknown.
    """
    check_decoder()
    category = options.category and workspace.settings.check_label(options.category)
    rights = state_rights(SOURCE, source_name=options.source_name, license=options.license, author=options.author)
    passed_over, exclude = PassedOver(), Exclude(options.exclude)
    videos = [video for path in paths for video in _list_videos(path, passed_over, exclude)]
    exclude.report_unused()
    if not videos:
        raise FototecaError(f"{paths[0]} has no videos", f"supported file types: {' '.join(sorted(VIDEO_SUFFIXES))}")
    job = _Job(workspace, options, category, rights, passed_over)
    summary = ingest_provenances(workspace, job.provenances(videos), fetch, local=True, passed_over=passed_over)
    shutil.rmtree(job.folder, ignore_errors=True)
    return summary


@dataclass(frozen=True)
class _Video:
    path: Path
    name: str
    """Name relative to the folder that was given."""


def _list_videos(path: Path, passed_over: PassedOver, is_excluded: IsExcluded) -> list[_Video]:
    """Return a video, or those below a folder sorted by name; other files are counted."""
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "give a video or a folder of videos")
    if path.is_file():
        return [_Video(path, path.name)]
    names = find_files(path, passed_over, _reason_against, is_excluded=is_excluded)
    return [_Video(path / name, name) for name in names]


def _reason_against(name: str) -> str:
    return "" if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES else "no-video"


@dataclass(frozen=True)
class _Job:
    """The videos of one command."""

    workspace: Workspace
    options: VideoOptions
    category: str
    rights: Rights
    passed_over: PassedOver

    @property
    def folder(self) -> Path:
        """Folder of the frames while the command runs."""
        return self.workspace.cache / "frames"

    def provenances(self, videos: Sequence[_Video]) -> Iterator[Provenance]:
        """Write the frames of each video and yield their provenance. A video that was given twice is read once."""
        seen: set[str] = set()
        for video in videos:
            try:
                identifier = video_id(video.path)
            except OSError:
                self.passed_over.add("unreadable", video.name)
                continue
            if identifier in seen:
                self.passed_over.add("repeated-video", video.name)
                continue
            seen.add(identifier)
            yield from self._frames(video, identifier)

    def _frames(self, video: _Video, identifier: str) -> Iterator[Provenance]:
        name = decode_file_name(video.name)
        folder = self.folder / identifier
        folder.mkdir(parents=True, exist_ok=True)
        for rank, frame in enumerate(read_frames(video.path, self.options.every, name, self.passed_over)):
            file = folder / f"{frame.name}.jpg"
            file.write_bytes(frame.jpeg)  # complete before the candidate is read; a resumed run writes it again
            yield Provenance(
                local_url(file.resolve()),
                self.rights.source,
                self.category,
                query=name,
                rank=rank,
                author=self.rights.author,
                license=self.rights.license,
                license_found=self.rights.license_found,
                file_name=f"{name}@{frame.name}",
                split_group=identifier,
            )
