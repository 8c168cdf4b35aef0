"""Delete every copy of images inside a workspace: store, caches, reports, predictions. Everything else can be made again.

PLACES lists the functions that each clean one place. Repeating them is harmless, so that an interrupted erasure is completed by
running it again. A remote store is one more place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fototeca.core.documents import parse_csv
from fototeca.core.files import csv_bytes, write_bytes
from fototeca.core.workspace import Workspace

_PICTURES = frozenset((".html", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".pdf", ".svg"))
"""Suffixes of files of reports that may show images."""

_MAX_TEXT = 200_000_000
"""Largest file, in bytes, that is searched for ids."""


@dataclass(frozen=True)
class Target:
    """Images to delete, and what was made from them.

    `ids`: image ids; `sizes`: sizes of their files in bytes; `files`: files of the workspace's caches that they were collected
    from; `versions`, `runs`: names of the versions that contain them and of the runs trained on these.
    """

    ids: frozenset[str]
    sizes: frozenset[int]
    files: frozenset[Path]
    versions: frozenset[str]
    runs: frozenset[str]

    def is_named(self, path: Path) -> bool:
        """Return True if a file name contains an image id."""
        return len(path.name) >= 40 and any(image_id[:40] in path.name for image_id in self.ids)

    def is_mentioned(self, data: bytes) -> bool:
        """Return True if a text contains an image id, or its first 12 digits as tables show them."""
        return any(image_id[:12].encode() in data for image_id in self.ids)

    def is_copy(self, path: Path) -> bool:
        """Return True if a file has the bytes of an image."""
        if path.stat().st_size not in self.sizes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() in self.ids


def delete_copies(workspace: Workspace, target: Target) -> int:
    """Delete every copy of the images and everything that shows them; return the number of files deleted or rewritten."""
    return sum(clean(workspace, target) for clean in PLACES)


def _clean_store(workspace: Workspace, target: Target) -> int:
    """Delete the stored files, and temporary files of killed writers."""
    folders = {workspace.images / image_id[:2] for image_id in target.ids} | {workspace.images / "incoming"}
    return _delete(path for folder in folders for path in _files(folder) if target.is_named(path))


def _clean_row_caches(workspace: Workspace, target: Target) -> int:
    """Delete the caches of pixels, features and keypoints that have a row of an image; they are computed again."""
    count = 0
    for path in [path for path in _files(workspace.cache) if path.name == "ids.txt"]:
        with suppress(FileNotFoundError):
            if target.ids & {*path.read_text(encoding="ascii", errors="replace").split()}:
                count += len(list(_files(path.parent)))
                shutil.rmtree(path.parent, ignore_errors=True)
    return count


def _clean_data(workspace: Workspace, target: Target) -> int:
    """Delete files below `data` that are named by an image, have its bytes, were its origin, or are cached results about it."""
    pages, results = workspace.cache / "pages", workspace.cache / "analysis"
    kept = (workspace.images, workspace.runs, workspace.reports)

    def applies(path: Path) -> bool:
        if path in target.files or target.is_named(path) or path.is_relative_to(pages) or target.is_copy(path):
            return True
        return path.is_relative_to(results) and target.is_mentioned(_read(path))

    paths = (path for path in _files(workspace.data) if not any(path.is_relative_to(folder) for folder in kept))
    return _delete(path for path in paths if not path.name.startswith(workspace.catalog.name) and applies(path))


def _clean_reports(workspace: Workspace, target: Target) -> int:
    """Delete pictures and pages of the affected versions and runs, and every other file of a report that names an image."""
    made_of = target.versions | target.runs

    def applies(path: Path) -> bool:
        parts = path.relative_to(workspace.reports).parts
        if path.suffix.lower() in _PICTURES and any(part.startswith(name) for part in parts for name in made_of):
            return path.suffix.lower() != ".svg" or b"data:image" in _read(path)
        return path.suffix.lower() != ".csv" and (target.is_named(path) or target.is_mentioned(_read(path)))

    return _delete(path for path in _files(workspace.reports) if applies(path))


def _clean_tables(workspace: Workspace, target: Target) -> int:
    """Remove the rows about images from the tables of runs, reports and `data`: predictions, scores, labels."""
    folders = (workspace.runs, workspace.reports)
    paths = [*workspace.data.glob("*.csv"), *(path for folder in folders for path in _files(folder) if path.suffix == ".csv")]
    count = 0
    for path in paths:
        if not target.is_mentioned(data := _read(path)):
            continue
        try:
            head, *rows = (cells for _, cells in parse_csv(data.decode("utf-8")))
            write_bytes(path, csv_bytes(head, [row for row in rows if not target.is_mentioned("\0".join(row).encode())]))
        except ValueError:
            path.unlink()
        count += 1
    return count


PLACES: Sequence[Callable[[Workspace, Target], int]] = (
    _clean_store,
    _clean_row_caches,
    _clean_data,
    _clean_reports,
    _clean_tables,
)
"""Each deletes the copies of one place and returns the number of files."""


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are not followed."""
    for root, _, names in os.walk(folder):
        yield from (path for path in (Path(root, name) for name in names) if path.is_file())


def _read(path: Path) -> bytes:
    """Return the content of a file; empty if it is gone or too long to be searched."""
    with suppress(OSError):
        return path.read_bytes() if path.stat().st_size <= _MAX_TEXT else b""
    return b""


def _delete(paths: Iterator[Path] | Collection[Path]) -> int:
    """Delete files; return their number."""
    count = 0
    for path in list(paths):
        path.unlink(missing_ok=True)
        count += 1
    return count
