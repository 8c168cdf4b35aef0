"""List, label and read local images; read label files."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from fototeca.collect.catalog import Provenance
from fototeca.collect.files.archives import OpenFolder
from fototeca.collect.files.extraction import strip_archive_suffix
from fototeca.collect.files.folder_labels import label_from_folders
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.split_facts import Dataset, find_split_facts
from fototeca.collect.http.responses import FetchError
from fototeca.collect.rights import state_rights
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR, Settings, to_nfc
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import find_images

LOCAL_SCHEME = "file://"
"""Prefix of the URL of a local file."""


def list_local_images(
    workspace: Workspace,
    folder: OpenFolder,
    options: FolderOptions,
    passed_over: PassedOver,
    exclude: Callable[[str], bool],
    *,
    source: Path,
) -> list[Provenance]:
    """Return the provenance of every image below a folder, or of the file itself, sorted by name.

    Args:
        workspace: workspace with the categories; its cache gets proposed mappings.
        folder: folder, extracted archive, or image.
        options: source of the categories, splits, groups and rights.
        passed_over: counts the files that are not taken.
        exclude: tells the names to exclude.
        source: folder, archive or image as the user named it; its name is recorded as the query.

    Raises:
        FototecaError: the folder does not exist, has no images, or an option or a file of labels is invalid.
    """
    path, name = folder.path, source.name
    rights = state_rights("folder", source_name=options.source_name, license=options.license, author=options.author)
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "give a folder, an archive or an image")
    used = (options.labels,) if options.labels else ()
    names = find_images(path, passed_over, is_excluded=exclude, used=used)
    if not names:
        raise no_images_error(name, passed_over)
    label_by_name = _find_labels(workspace, names, options, source, passed_over)
    base = path.resolve() if path.is_dir() else path.resolve().parent
    query = decode_file_name(name)
    chosen = [file for file in names if file in label_by_name or not options.has_labels]
    dataset = Dataset(base, chosen, folder.file_names, strip_archive_suffix(query), options.source_name or query)
    facts = find_split_facts(dataset, options, workspace.settings)
    places = (
        Provenance(
            local_url(base / file),
            rights.source,
            label_by_name.get(file, ""),
            query=query,
            rank=rank,
            author=rights.author,
            license=rights.license,
            license_found=rights.license_found,
            file_name=decode_file_name(folder.file_names.get(file, file)),
        )
        for rank, file in enumerate(chosen)
    )
    return [facts.add_to(place, file) for place, file in zip(places, chosen, strict=True)]


def no_images_error(name: str, passed_over: PassedOver) -> FototecaError:
    """Return the error for a folder or archive without images, which lists what it has."""
    reasons = ", ".join(count.reason for count in passed_over.counts())
    hint = f"see docs/not-taken.md for {reasons}" if reasons else "give a folder or an archive of images"
    return FototecaError(f"{name} has no images; it has {passed_over.describe_contents()}", hint)


def local_url(path: Path) -> str:
    """Return the URL of an absolute path; names need not be valid UTF-8."""
    return LOCAL_SCHEME + quote(os.fsencode(path.as_posix()))


def local_path(url: str) -> Path:
    """Return the path of a URL made by `local_url`."""
    return Path(os.fsdecode(unquote_to_bytes(url.removeprefix(LOCAL_SCHEME))))


def decode_file_name(name: str) -> str:
    """Return a file name as valid text; undecodable bytes are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _find_labels(
    workspace: Workspace, names: list[str], options: FolderOptions, source: Path, passed_over: PassedOver
) -> dict[str, str]:
    if options.category:
        return dict.fromkeys(names, workspace.settings.check(options.category))
    if options.labels is not None:
        return _read_labels(options.labels, workspace.settings, names)
    if options.has_labels:
        return label_from_folders(workspace, names, source, options.mapping, passed_over)
    return {}


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
