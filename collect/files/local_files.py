"""Images that are on this machine already: folders and label files."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote_to_bytes

from fototeca.collect.catalog import Provenance
from fototeca.collect.http.responses import FetchError
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, Settings, to_nfc
from fototeca.vision.image import SUFFIXES

LOCAL = "file://"
"""Begins the address of a local file."""


@dataclass(frozen=True)
class LabelSource:
    """How the category of a local image is known: one for all, the folder's name, a CSV file, or not at all."""

    category: str = ""
    from_folder: bool = False
    file: Path | None = None

    def __post_init__(self) -> None:
        """At most one way."""
        if sum((bool(self.category), self.from_folder, self.file is not None)) > 1:
            raise FototecaError("labels come from one place", "give one of --category, --label-from-folder, --labels")


def local_findings(path: Path, labelling: LabelSource, settings: Settings, *, name: str = "") -> list[Provenance]:
    """Every image below a folder (or the file itself), in a fixed order, with its category.

    `name` is what provenance calls the place. FototecaError: nothing there, no images, an unknown category, a label
    file without its columns.
    """
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "name a folder, an archive or an image")
    found = list(_visible_names(path))
    names = sorted(name for name in found if _suffix(name) in SUFFIXES)
    if not names:
        raise FototecaError(f"{path} has no images", f"put files of these kinds there: {' '.join(sorted(SUFFIXES))}")
    labels = _labels(names, labelling, settings)
    _tell_passed_over(name for name in found if _suffix(name) not in SUFFIXES)
    base = path.resolve() if path.is_dir() else path.resolve().parent
    return [
        Provenance(local_url(base / file), "folder", labels.get(file, ""), query=printable(name or path.name), rank=rank)
        for rank, file in enumerate(names)
        if labelling.file is None or file in labels
    ]


def local_url(path: Path) -> str:
    """The address of an absolute path, in whatever bytes its names are."""
    return LOCAL + quote(os.fsencode(path.as_posix()))


def local_path(url: str) -> Path:
    """The inverse of `local_url`."""
    return Path(os.fsdecode(unquote_to_bytes(url.removeprefix(LOCAL))))


def printable(name: str) -> str:
    """A file name as text that can be written down: bytes of an unknown encoding are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def image_names(path: Path) -> Iterator[str]:
    """Names of images relative to `path`, hidden ones left out."""
    return (name for name in _visible_names(path) if _suffix(name) in SUFFIXES)


def _visible_names(path: Path) -> Iterator[str]:
    if path.is_file():
        yield path.name
        return
    for file in path.rglob("*"):
        inside = file.relative_to(path)
        if not any(part.startswith(".") for part in inside.parts) and not file.is_dir():
            yield inside.as_posix()


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _tell_passed_over(names: Iterable[str]) -> None:
    """Say which files are not tried, so that nobody misses them later."""
    kinds = Counter(_suffix(name) or "without ending" for name in names)
    if kinds:
        ranked = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
        listed = ", ".join(f"{count} {kind}" for kind, count in ranked[:6]) + (" and more" if len(ranked) > 6 else "")
        notify(f"fototeca: passed over, because their names are not those of images that can be read: {listed}")


def _labels(names: list[str], labelling: LabelSource, settings: Settings) -> dict[str, str]:
    if labelling.category:
        return dict.fromkeys(names, settings.check(labelling.category))
    if labelling.from_folder:
        labels = {name: to_nfc(PurePosixPath(name).parent.name) for name in names}
        _check_all(labels.values(), settings, "folders", "rename the folders or add the categories to fototeca.toml")
        return labels
    return _read_labels(labelling.file, settings, names) if labelling.file else {}


def _check_all(labels: Iterable[str], settings: Settings, what: str, hint: str) -> None:
    """An empty label is no category in a single-label task, and none of them in a multi-label one."""
    used = {label for joined in labels for label in joined.split(LABEL_SEPARATOR) if joined or settings.task == "single"}
    unknown = sorted(used - set(settings.names))
    if unknown:
        shown = ", ".join(repr(name) for name in unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise FototecaError(f"{what} name unknown categories: {shown}", f"{hint}; it has: {', '.join(settings.names[:10])}")


def _read_labels(file: Path, settings: Settings, names: list[str]) -> dict[str, str]:
    """`path,label` rows; paths are relative to the folder, and each must name an image there."""
    rows = read_csv(file, ("path", "label"))
    labels = {row["path"].replace("\\", "/").removeprefix("./"): to_nfc(row["label"].strip()) for row in rows}
    _check_all(labels.values(), settings, file.name, "mend the file or add the categories to fototeca.toml")
    missing = sorted(labels.keys() - set(names))
    if len(missing) == len(labels):
        raise FototecaError(f"none of the paths in {file} is there (first: {missing[0]})", "write paths relative to the folder")
    return {path: settings.check_label(label) for path, label in labels.items()}


def read_csv(file: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file that has these columns. FototecaError names the one that is missing."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise FototecaError(f"{file} has no column {missing[0]!r}", f"its first line must have: {','.join(columns)}")
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FototecaError(f"{file} cannot be read: {error}", "name a CSV file in UTF-8") from None
    if not rows:
        raise FototecaError(f"{file} has no rows", "add one per image")
    return rows


def read_local(url: str, max_bytes: int) -> bytes:
    """The bytes of a local image. FetchError: `unreadable`, `too-large`."""
    path = local_path(url)
    try:
        if not path.is_file():  # reading a pipe or a device might never end
            raise FetchError("unreadable")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError:
        raise FetchError("unreadable") from None
    if len(data) > max_bytes:
        raise FetchError("too-large", final=True)
    return data
