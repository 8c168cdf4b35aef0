"""List, label and read local images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.catalog.local_urls import local_path, local_url
from fototeca.collect.files.archives import OpenFolder
from fototeca.collect.files.extraction import strip_archive_suffix
from fototeca.collect.files.folder_labels import label_from_folders
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.label_files import read_labels
from fototeca.collect.files.split_facts import Dataset, find_split_facts
from fototeca.collect.http.responses import FetchError
from fototeca.collect.rights import state_rights
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import find_images


def list_local_images(
    workspace: Workspace,
    folder: OpenFolder,
    options: FolderOptions,
    passed_over: PassedOver,
    exclude: Callable[[str], bool],
    *,
    source: Path,
    used: Sequence[Path] = (),
) -> list[Provenance]:
    """Return the provenance of every image below a folder, or of the file itself, sorted by name.

    Args:
        workspace: workspace with the categories; its cache gets proposed mappings.
        folder: folder, extracted archive, or image.
        options: source of the categories, splits, groups and rights.
        passed_over: counts the files that are not taken.
        exclude: tells the names to exclude.
        source: folder, archive or image as the user named it; its name is recorded as the query.
        used: files that were read otherwise, and so are not passed over.

    Raises:
        FototecaError: the folder does not exist, has no images, or an option or a file of labels is invalid.
    """
    path, name = folder.path, source.name
    rights = state_rights("folder", source_name=options.source_name, license=options.license, author=options.author)
    if not path.exists():
        raise FototecaError(f"{path} does not exist", "give a folder, an archive or an image")
    tables = [options.labels] if options.labels else []
    names = find_images(path, passed_over, is_excluded=exclude, used=[*tables, *used])
    if not names:
        raise no_images_error(name, passed_over)
    label_by_name = _find_labels(workspace, folder, names, options, source, passed_over)
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


def decode_file_name(name: str) -> str:
    """Return a file name as valid text; undecodable bytes are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _find_labels(
    workspace: Workspace,
    folder: OpenFolder,
    names: list[str],
    options: FolderOptions,
    source: Path,
    passed_over: PassedOver,
) -> dict[str, str]:
    if options.category:
        return dict.fromkeys(names, workspace.settings.check(options.category))
    if options.labels is not None:
        return read_labels(names, folder.file_names, options, workspace.settings, passed_over)
    if options.has_labels:
        return label_from_folders(workspace, names, source, options.mapping, passed_over)
    return {}


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
