"""List, label and read local images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote_to_bytes

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.label_files import read_labels
from fototeca.collect.http.responses import FetchError
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR, Settings, to_nfc
from fototeca.vision.image import SUFFIXES

LOCAL_SCHEME = "file://"
"""Prefix of the URL of a local file."""


def list_local_images(
    path: Path, options: FolderOptions, settings: Settings, passed_over: PassedOver, *, name: str = ""
) -> list[Provenance]:
    """Return the provenance of every image below a folder, or of the file itself, sorted by name.

    Args:
        path: folder or image.
        options: source of the categories.
        settings: categories of the workspace.
        passed_over: counts the files that are not taken.
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
    label_by_name = _find_labels(names, options, settings, passed_over)
    for other in all_names:
        if _suffix(other) not in SUFFIXES:
            passed_over.add(_suffix(other).removeprefix(".") or "no-ending", other)
    base = path.resolve() if path.is_dir() else path.resolve().parent
    query = decode_file_name(name or path.name)
    return [
        Provenance(local_url(base / file), "folder", label_by_name.get(file, ""), query=query, rank=rank)
        for rank, file in enumerate(names)
        if options.labels is None or file in label_by_name
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


def _find_labels(names: list[str], options: FolderOptions, settings: Settings, passed_over: PassedOver) -> dict[str, str]:
    if options.category:
        return dict.fromkeys(names, settings.check(options.category))
    if options.label_from_folder:
        label_by_name = {name: to_nfc(PurePosixPath(name).parent.name) for name in names}
        _check_categories(label_by_name.values(), settings, "folders", "rename the folders or add categories to fototeca.toml")
        return label_by_name
    return read_labels(names, options, settings, passed_over) if options.labels else {}


def _check_categories(labels: Iterable[str], settings: Settings, subject: str, hint: str) -> None:
    """Raise FototecaError for unknown categories. An empty label is valid only in a multi-label task."""
    used = {label for joined in labels for label in joined.split(LABEL_SEPARATOR) if joined or settings.task == "single"}
    unknown = sorted(used - set(settings.names))
    if unknown:
        listed = ", ".join(repr(name) for name in unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise FototecaError(f"{subject} name unknown categories: {listed}", f"{hint}; it has: {', '.join(settings.names[:10])}")


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
