"""Extract zip, tar and parquet files with limits on file count, size, ratio and depth; no file is written outside.

zipfile and tarfile are read member by member instead of with `extractall`, whose filters limit neither size nor ratio nor
memory: the archives come from strangers.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from fototeca.collect.files.extraction import (
    ARCHIVE_FAULTS,
    ARCHIVE_SUFFIXES,
    DamagedArchiveError,
    Extraction,
    ExtractionBudget,
    is_disk_fault,
)
from fototeca.collect.files.members import FREE_BYTES, is_tar
from fototeca.collect.host_id import STALE_AFTER_SECONDS
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import IsExcluded, reason_by_name

MAX_MEMBERS = 1_000_000
MAX_RATIO = 200
"""Largest ratio of extracted to archive size; above it the archive counts as a bomb, since images hardly compress."""


@dataclass(frozen=True)
class OpenFolder:
    """A folder of images; that of an extracted archive is temporary."""

    path: Path
    file_names: Mapping[str, str] = field(default_factory=dict)
    """Name in the archive by path relative to the folder, where they differ."""


@contextmanager
def open_folder(
    workspace: Workspace, path: Path, passed_over: PassedOver, is_excluded: IsExcluded = lambda name: False
) -> Iterator[OpenFolder]:
    """Yield `path` itself, or for an archive a temporary folder with its images and tables.

    The folder's name depends only on the archive and what was excluded before, so that a killed run resumes with the extracted
    files. It is removed when the block ends, also with an error, but not when the process is interrupted.

    Args:
        workspace: whose cache holds the folder.
        path: file or folder.
        passed_over: counts the members that are not extracted.
        is_excluded: tells the members that are to be counted as `excluded`.

    FototecaError when the archive is damaged or exceeds a limit.
    """
    if not is_archive(path) and not _is_archive_by_bytes(path):
        yield OpenFolder(path)
        return
    identity = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    folder = workspace.cache / "archives" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # a second process with the same archive waits, then finds its images known
        _remove_stale_folders(folder)
        try:
            yield OpenFolder(folder, unpack(path, folder, passed_over, is_excluded))
        except Exception as error:  # not KeyboardInterrupt: the next run resumes with the extracted files
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, FototecaError):  # the folder is gone when the user reads its name
                error.message, error.hint = (text.replace(str(folder), str(path)) for text in (error.message, error.hint))
            raise
        shutil.rmtree(folder)


def _remove_stale_folders(own_folder: Path) -> None:
    """Remove folders of other archives that killed runs left, if they are older than a day and not locked."""
    for lock in own_folder.parent.glob("*.lock"):
        folder = lock.with_suffix("")
        if folder == own_folder or time.time() - lock.stat().st_mtime < STALE_AFTER_SECONDS:
            continue
        with suppress(Timeout), FileLock(lock, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def is_archive(path: Path) -> bool:
    """Return True if `path` is a file with one of ARCHIVE_SUFFIXES."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def _is_archive_by_bytes(path: Path) -> bool:
    """Return True for a zip or tar file without ending, or with an odd one (`photos.zip?dl=1`)."""
    if not path.is_file() or reason_by_name(path.name) is not None:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" or is_tar(path)


def unpack(path: Path, folder: Path, passed_over: PassedOver, is_excluded: IsExcluded = lambda name: False) -> dict[str, str]:
    """Extract the images and tables of an archive, and of the archives in it, below `folder`; files of equal size stay.

    Links are resolved inside the archive. Returns the name in the archive by extracted path, where they differ.

    Args:
        path: the archive.
        folder: where to write.
        passed_over: counts the other members by reason.
        is_excluded: tells the members that are to be counted as `excluded`.

    Raises:
        DamagedArchiveError: the archive is damaged, has a password, or exceeds a limit.
        FototecaError: the disk is full or cannot be written (exit 4).
    """
    limits = f"at most {MAX_MEMBERS} files and {MAX_RATIO} times its own size"
    budget = ExtractionBudget(path, max(MAX_RATIO * path.stat().st_size, FREE_BYTES), MAX_MEMBERS, limits)
    counted, file_names = PassedOver(), dict[str, str]()
    hint = "check that the archive is complete and has no password"
    try:
        Extraction(folder, budget, counted, is_excluded, file_names).run(path)
    except ARCHIVE_FAULTS as error:
        if is_disk_fault(error):
            reason = error.strerror if isinstance(error, OSError) else error
            disk_hint = "free some space or fix the disk, then run the same command again to resume"
            raise ExternalError(f"{path} cannot be unpacked: {reason}", disk_hint) from None
        raise DamagedArchiveError(f"{path} cannot be unpacked: {error}", hint) from None
    unreadable = [count.text() for count in counted.counts() if count.reason in ("encrypted", "damaged-member")]
    if unreadable and not any(file.is_file() for file in folder.rglob("*")):
        raise DamagedArchiveError(f"{path} cannot be unpacked: {'; '.join(unreadable)}", hint)
    passed_over.merge(counted)
    return file_names
