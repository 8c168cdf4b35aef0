"""Find the images among the files of a folder, through links and without junk; everything else is counted by reason.

The ending of a name decides where it is that of an image or of a known other kind of file; without one, or with an odd one
(`.jpg_large`, `.jpg?x=1`), the first bytes decide.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fototeca.core.passed_over import PassedOver
from fototeca.vision.formats import RAW_SUFFIXES, SUFFIXES, DecodeError, sniff, sniff_file

JUNK_FOLDERS = frozenset(
    {"@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "__pycache__", "lost+found"}
    | {"system volume information"}
)
"""Lowercase names of folders that systems and storage devices add; hidden ones (`.git`, `.thumbnails`) are junk too."""

JUNK_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"})
"""Lowercase names of files that systems add; hidden ones (`.DS_Store`, `._photo.jpg`) are junk too."""

_ENDINGS = {
    "video": "3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts ogv webm wmv",
    "audio": "aac aiff flac m4a mid mp3 ogg opus wav wma",
    "archive": "7z br bz2 cab gz lz4 lzma parquet rar tar tbz2 tgz txz xz z zip zst",
    "table": "arrow csv jsonl ndjson ods tsv xls xlsx",
    "data": "aae bin bson cls conf dat db h5 hdf5 ini json lmdb log mat md md5 npy npz pickle pkl pt pth records rst sha256 sql"
    " sqlite tfrecord toml txt xml xmp yaml yml",
    "document": "doc docx epub htm html key numbers odp odt pages pdf ppt pptx rtf tex",
    "program": "bat c cmd cpp css dll exe h ipynb java js jar m ps1 py r sh so ts",
}
KIND_BY_ENDING = {f".{ending}": kind for kind, endings in _ENDINGS.items() for ending in endings.split()} | dict.fromkeys(
    RAW_SUFFIXES, "camera-raw"
)
"""Kind of the files with an ending that is never that of an image that can be read."""


IsExcluded = Callable[[str], bool]
"""Tells whether a relative path is excluded."""


def is_junk(name: str) -> bool:
    """Return True if a relative path is hidden, or a file or folder that systems add, or in one."""
    *folders, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
    is_hidden = any(part.startswith(".") and part != ".." for part in (*folders, last))
    in_junk = any(part.lower() in JUNK_FOLDERS for part in (*folders, last))
    return is_hidden or in_junk or last.lower() in JUNK_FILES or last.endswith(("@SynoEAStream", "@SynoResource"))


def reason_by_name(name: str) -> str | None:
    """Return the reason why a file of this name is not an image, "" if it is one, or None if its bytes must decide."""
    if is_junk(name):
        return "junk"
    ending = PurePosixPath(name).suffix.lower()
    return "" if ending in SUFFIXES else KIND_BY_ENDING.get(ending)


def reason_by_head(head: bytes) -> str:
    """Return the reason why a file with these first bytes is not an image, or "" if it is one."""
    try:
        sniff(head)
    except DecodeError as error:
        return error.reason
    return ""


def find_images(
    path: Path,
    passed_over: PassedOver,
    *,
    is_excluded: IsExcluded = lambda name: False,
    used: Collection[Path] = (),
) -> list[str]:
    """Return the images below a folder as sorted names relative to it, with forward slashes; for a file, its name.

    Links to folders are followed once each, wherever they lead; a folder that is reached a second time is counted, which cuts
    cycles. A file with the ending of an image is returned without reading its bytes: decoding it gives the reason.

    Args:
        path: folder or file.
        passed_over: counts every other file by reason.
        is_excluded: tells the names that are to be counted as `excluded`.
        used: files that are used otherwise (a table of labels), and so are neither returned nor counted.
    """
    return _Walk(path, passed_over, is_excluded, reason_by_name, frozenset(map(os.path.realpath, used))).find()


def find_files(
    path: Path,
    passed_over: PassedOver,
    reason_of: Callable[[str], str],
    *,
    is_excluded: IsExcluded = lambda name: False,
    takes_empty: bool = False,
) -> list[str]:
    """Return the files below a folder that `reason_of` gives no reason against; names and links are those of `find_images`.

    Args:
        path: folder or file.
        passed_over: counts every other file by reason.
        reason_of: returns why a file of this name is not taken, "" if it is.
        is_excluded: tells the names that are to be counted as `excluded`.
        takes_empty: files without bytes are returned too.
    """
    return _Walk(path, passed_over, is_excluded, reason_of, takes_empty=takes_empty).find()


@dataclass
class _Walk:
    root: Path
    passed_over: PassedOver
    is_excluded: IsExcluded
    reason_of: Callable[[str], str | None]
    """Returns why a file of a name is not taken, "" if it is, None if its bytes must decide."""
    used: frozenset[str] = frozenset()
    takes_empty: bool = False
    names: list[str] = field(default_factory=list)
    _visited: set[tuple[int, int]] = field(default_factory=set)
    """Device and inode of every folder that was listed."""
    _folders: deque[str] = field(default_factory=lambda: deque([""]))
    _links: deque[str] = field(default_factory=deque)
    """Links to folders, followed after all folders of the tree itself."""

    def find(self) -> list[str]:
        """Visit the file, or every file of the tree, and return the names that are taken."""
        if self.root.is_dir():
            self._run()
        else:
            name, self.root = self.root.name, self.root.parent
            self.visit_file(name)
        return sorted(self.names)

    def _run(self) -> None:
        while self._folders or self._links:
            name = self._folders.popleft() if self._folders else self._links.popleft()
            try:
                status = (self.root / name).stat()
                entries = sorted(os.scandir(self.root / name), key=lambda entry: entry.name)
            except OSError:
                self.passed_over.add("unreadable-folder", name or str(self.root))
                continue
            if (status.st_dev, status.st_ino) in self._visited:
                self.passed_over.add("linked-again", name)
                continue
            self._visited.add((status.st_dev, status.st_ino))
            for entry in entries:
                self._visit(f"{name}/{entry.name}" if name else entry.name, entry)

    def _visit(self, name: str, entry: os.DirEntry[str]) -> None:
        if entry.is_dir(follow_symlinks=False):
            self._folders.append(name)
        elif not _is_folder(self.root / name):
            self.visit_file(name)
        elif self.is_excluded(name):
            self.passed_over.add("excluded", name)
        elif is_junk(name):
            self.passed_over.add("junk", name)
        else:
            self._links.append(name)

    def visit_file(self, name: str) -> None:
        """Keep the name of an image, or count the file."""
        path = self.root / name
        if self.used and os.path.realpath(path) in self.used:
            return
        reason = "excluded" if self.is_excluded(name) else self._reason(name, path)
        if reason:
            self.passed_over.add(reason, name)
        else:
            self.names.append(name)

    def _reason(self, name: str, path: Path) -> str:
        """Return why a file is passed over, or "" for an image."""
        reason = "junk" if is_junk(name) else self.reason_of(name)
        if reason == "junk":
            return reason
        try:
            status = path.stat()
        except OSError:
            return "broken-link" if path.is_symlink() else "unreadable"
        if not stat.S_ISREG(status.st_mode):
            return "not-a-file"  # reading a pipe or a device might never end
        if not status.st_size and not self.takes_empty:
            return "empty"
        if reason is not None:
            return reason
        try:
            sniff_file(path)
        except DecodeError as error:
            return error.reason
        except OSError:
            return "unreadable"
        return ""


def _is_folder(path: Path) -> bool:
    """Return True for a folder or a link to one; links may be broken, lead to themselves or into closed folders."""
    try:
        return path.is_dir()
    except OSError:
        return False
