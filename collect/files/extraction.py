"""Write the images of one archive, its nested archives and its links below a folder; count every other member by reason."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fototeca.collect.files.disk_space import check_disk_space
from fototeca.collect.files.links import resolve_links
from fototeca.collect.files.members import MEMBER_FAULTS, Member, normalize_name, read_members
from fototeca.collect.files.safe_names import UniqueNames, safe_name
from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write
from fototeca.core.passed_over import PassedOver
from fototeca.vision.formats import HEAD
from fototeca.vision.image_files import is_junk, reason_by_head, reason_by_name

ARCHIVE_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip", ".parquet")
MAX_DEPTH = 3
"""Levels of nested archives that are extracted."""

ARCHIVE_FAULTS = (*MEMBER_FAULTS, tarfile.TarError, OSError)
"""Exceptions of reading a damaged archive; an OSError may also come from the disk, see `is_disk_fault`."""

_MAX_TABLE_BYTES = 50_000_000
"""Largest table or data file that is extracted beside the images, since it may hold their labels."""


class DamagedArchiveError(FototecaError):
    """The archive itself is at fault: extracting it again fails again."""


def is_disk_fault(error: Exception) -> bool:
    """Return True if an exception is a fault of the disk, not of the archive: decompressors and bad offsets give others."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def strip_archive_suffix(name: str) -> str:
    """Return the name of the folder for the contents of an archive: its file name without suffix."""
    suffix = next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or "archive"


@dataclass
class ExtractionBudget:
    """Remaining bytes and files of one archive, nested archives included."""

    archive: Path
    size: int
    files: int
    limits: str
    """The limits in words."""

    def take(self, files: int, size: int) -> None:
        """Subtract files and bytes. DamagedArchiveError if the archive exceeds a limit."""
        self.files -= files
        self.size -= size
        if self.files < 0 or self.size < 0:
            raise DamagedArchiveError(f"{self.archive} unpacks to too much", self.limits)


@dataclass
class Extraction:
    """One archive being extracted below `root / folder`."""

    root: Path
    budget: ExtractionBudget
    passed_over: PassedOver
    is_excluded: Callable[[str], bool]
    file_names: dict[str, str]
    """Name in the archive by path below `root`, where they differ."""

    folder: str = ""
    prefix: str = ""
    """Path of a nested archive in the outermost one, with a slash."""

    depth: int = 1
    names: UniqueNames = field(default_factory=UniqueNames)
    extracted: dict[str, str] = field(default_factory=dict)
    """Path below `folder` by normalized name in the archive."""

    _reasons: dict[str, str] = field(default_factory=dict)
    """Reason of the members that were passed over, by normalized name."""

    _links: list[Member] = field(default_factory=list)
    _nested: list[tuple[str, str]] = field(default_factory=list)
    """Path below `folder` and name of each nested archive."""

    def run(self, archive: Path) -> None:
        """Extract an archive; files of equal size that exist stay. Raises as `read_members` does."""
        (self.root / self.folder).mkdir(parents=True, exist_ok=True)
        for member in read_members(archive, self.budget.size, self.passed_over):
            reason = self._reason(member) or self._extract(member)
            if reason:
                self._pass_over(member.name, reason)
        self._resolve_links()
        for path, name in self._nested:
            self._extract_nested(path, name)

    def _pass_over(self, name: str, reason: str) -> None:
        name = normalize_name(name)
        self._reasons[name] = reason
        self.passed_over.add(reason, self.prefix + name)

    def _reason(self, member: Member) -> str:
        """Return why a member is not extracted by its name and kind, or "". Links are decided later, by their targets."""
        self.budget.take(1, member.size if member.is_sequential else 0)
        if self.is_excluded(self.prefix + normalize_name(member.name)):
            return "excluded"
        if is_junk(normalize_name(member.name)):
            return "junk"
        if member.reason or member.link:
            return member.reason
        reason = "table" if is_parquet_table(member.name) else reason_by_name(member.name) or ""
        if not member.size and reason != "data":  # an empty text file tells that an image has no boxes
            return "empty"
        if _is_nested(member.name):
            return "" if self.depth < MAX_DEPTH else "nested-too-deep"
        return "" if reason in ("table", "data") and member.size <= _MAX_TABLE_BYTES else reason

    def _extract(self, member: Member) -> str:
        """Write one member and return "", or return why it cannot be written."""
        if member.link:
            self._links.append(member)
            return ""
        path = self.names.assign(member.name)
        if not path:
            return "unsafe-name"
        if not member.is_sequential:
            self.budget.take(0, member.size)
        reason = self._write(member, self.root / self.folder / path)
        if not reason:
            self._record(member.name, path)
            if _is_nested(member.name):
                self._nested.append((path, member.name))
        return reason

    def _record(self, name: str, path: str) -> None:
        name = normalize_name(name)
        self.extracted[name] = path
        target = f"{self.folder}/{path}" if self.folder else path
        if target != self.prefix + name:
            self.file_names[target] = self.prefix + name

    def _write(self, member: Member, target: Path) -> str:
        """Write a member if it is an image. A damaged member of a tar ends the extraction: the rest is lost with it."""
        if target.is_file() and target.stat().st_size == member.size:
            return ""
        assert member.open is not None
        check_disk_space(self.root, member.size)
        try:
            with member.open() as stream:
                head = b"" if reason_by_name(member.name) is not None else stream.read(HEAD)
                if head and (reason := reason_by_head(head)):
                    return reason
                with atomic_write(target) as file:
                    file.write(head)
                    shutil.copyfileobj(stream, file)
        except MEMBER_FAULTS:
            if member.is_sequential:
                raise
            return "damaged-member"
        return ""

    def _resolve_links(self) -> None:
        for link, files, reason in resolve_links(self._links, self.extracted, self._reasons):
            for name, path in files.items():
                self._place(name, path)
            if reason:
                self._pass_over(link.name, reason)

    def _place(self, name: str, path: str) -> None:
        """Give an extracted file another name, which a link of the archive names."""
        source = self.root / self.folder / path
        if _is_nested(path):
            return self._pass_over(name, "linked-again")
        if self.is_excluded(self.prefix + name) or not (new := self.names.assign(name)):
            return self._pass_over(name, "excluded" if safe_name(name) else "unsafe-name")
        self.budget.take(1, size := source.stat().st_size)
        target = self.root / self.folder / new
        if not (target.is_file() and target.stat().st_size == size):
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source, target)
        self._record(name, new)

    def _extract_nested(self, path: str, name: str) -> None:
        """Extract a nested archive into a folder of its name and remove it; a damaged one is counted."""
        archive = self.root / self.folder / path
        folder = self.names.assign_folder(strip_archive_suffix(path))
        inner = Extraction(
            self.root,
            self.budget,
            self.passed_over,
            self.is_excluded,
            self.file_names,
            f"{self.folder}/{folder}" if self.folder else folder,
            f"{self.prefix}{name}/",
            self.depth + 1,
        )
        try:
            inner.run(archive)
        except ARCHIVE_FAULTS as error:
            if is_disk_fault(error):
                raise
            self._pass_over(name, "damaged-archive")
        archive.unlink()
        self.file_names.pop(f"{self.folder}/{path}" if self.folder else path, None)


def is_parquet_table(name: str) -> bool:
    """Return True for the table of a Hugging Face image folder, which holds no images itself."""
    return PurePosixPath(name.replace("\\", "/")).name.lower() == "metadata.parquet"


def _is_nested(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES) and not is_parquet_table(name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        with source.open("rb") as stream, atomic_write(target) as file:
            shutil.copyfileobj(stream, file)
