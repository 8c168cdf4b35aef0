"""List, label and read local images; read label files."""

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

LOCAL_SCHEME = "file://"
"""Prefix of the URL of a local file."""


@dataclass(frozen=True)
class LabelSource:
    """Source of the categories of local images: one for all, the folder's name, a CSV file, or none."""

    category: str = ""
    from_folder: bool = False
    file: Path | None = None

    def __post_init__(self) -> None:
        """Check that at most one source is given."""
        if sum((bool(self.category), self.from_folder, self.file is not None)) > 1:
            message = "labels are given more than once"
            raise FototecaError(message, "give one of --category, --label-from-folder, --labels")


def list_local_images(path: Path, labels: LabelSource, settings: Settings, *, name: str = "") -> list[Provenance]:
    """Return the provenance of every image below a folder, or of the file itself, sorted by name.

    Args:
        path: folder or image.
        labels: source of the categories.
        settings: categories of the workspace.
        name: recorded as the query; by default the name of `path`.

    Raises:
        FototecaError: `path` does not exist, has no images, or a label is unknown or its file invalid.
    """
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "give a folder, an archive or an image")
    all_names = list(_visible_names(path))
    names = sorted(name for name in all_names if _suffix(name) in SUFFIXES)
    if not names:
        raise FototecaError(f"{path} has no images", f"supported file types: {' '.join(sorted(SUFFIXES))}")
    label_by_name = _find_labels(names, labels, settings)
    _report_ignored(name for name in all_names if _suffix(name) not in SUFFIXES)
    base = path.resolve() if path.is_dir() else path.resolve().parent
    query = decode_file_name(name or path.name)
    return [
        Provenance(local_url(base / file), "folder", label_by_name.get(file, ""), query=query, rank=rank)
        for rank, file in enumerate(names)
        if labels.file is None or file in label_by_name
    ]


def local_url(path: Path) -> str:
    """Return the URL of an absolute path; names need not be valid UTF-8."""
    return LOCAL_SCHEME + quote(os.fsencode(path.as_posix()))


def local_path(url: str) -> Path:
    """Return the path of a URL made by `local_url`."""
    return Path(os.fsdecode(unquote_to_bytes(url.removeprefix(LOCAL_SCHEME))))


def decode_file_name(name: str) -> str:
    """Return a file name as valid text; undecodable bytes are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def image_names(path: Path) -> Iterator[str]:
    """Yield the names, relative to `path`, of visible files with an image suffix."""
    return (name for name in _visible_names(path) if _suffix(name) in SUFFIXES)


def _visible_names(path: Path) -> Iterator[str]:
    if path.is_file():
        yield path.name
        return
    for file in path.rglob("*"):
        relative = file.relative_to(path)
        if not any(part.startswith(".") for part in relative.parts) and not file.is_dir():
            yield relative.as_posix()


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _report_ignored(names: Iterable[str]) -> None:
    """Print the number of files that are ignored because of their suffix, by suffix."""
    suffixes = Counter(_suffix(name) or "without suffix" for name in names)
    if suffixes:
        ranked = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{count} {suffix}" for suffix, count in ranked[:6]) + (" and more" if len(ranked) > 6 else "")
        notify(f"fototeca: ignored files that are not of a supported image type: {listed}")


def _find_labels(names: list[str], labels: LabelSource, settings: Settings) -> dict[str, str]:
    if labels.category:
        return dict.fromkeys(names, settings.check(labels.category))
    if labels.from_folder:
        label_by_name = {name: to_nfc(PurePosixPath(name).parent.name) for name in names}
        _check_categories(label_by_name.values(), settings, "folders", "rename the folders or add categories to fototeca.toml")
        return label_by_name
    return _read_labels(labels.file, settings, names) if labels.file else {}


def _check_categories(labels: Iterable[str], settings: Settings, subject: str, hint: str) -> None:
    """Raise FototecaError for unknown categories. An empty label is valid only in a multi-label task."""
    used = {label for joined in labels for label in joined.split(LABEL_SEPARATOR) if joined or settings.task == "single"}
    unknown = sorted(used - set(settings.names))
    if unknown:
        listed = ", ".join(repr(name) for name in unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise FototecaError(f"{subject} name unknown categories: {listed}", f"{hint}; it has: {', '.join(settings.names[:10])}")


def _read_labels(file: Path, settings: Settings, names: list[str]) -> dict[str, str]:
    """Return the labels of a CSV file by path relative to the folder. FototecaError if no path is an image there."""
    rows = read_csv(file, ("path", "label"))
    labels = {row["path"].replace("\\", "/").removeprefix("./"): to_nfc(row["label"].strip()) for row in rows}
    _check_categories(labels.values(), settings, file.name, "fix the file or add categories to fototeca.toml")
    missing = sorted(labels.keys() - set(names))
    if len(missing) == len(labels):
        raise FototecaError(f"none of the paths in {file} exists (first: {missing[0]})", "write paths relative to the folder")
    return {path: settings.check_label(label) for path, label in labels.items()}


def read_csv(file: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV file. FototecaError if it cannot be read, lacks one of `columns` or has no rows."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise FototecaError(f"{file} has no column {missing[0]!r}", f"its first line must have: {','.join(columns)}")
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FototecaError(f"{file} cannot be read: {error}", "give a CSV file in UTF-8") from None
    if not rows:
        raise FototecaError(f"{file} has no rows", "add one row per image")
    return rows


def read_local_file(url: str, max_bytes: int) -> bytes:
    """Return the bytes of a local file. FetchError with reason `unreadable` or `too-large`."""
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
