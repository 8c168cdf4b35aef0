"""Labels from the names of folders: equal to a category, equal but for spelling, or by a mapping file."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fototeca.collect.files.class_mapping import (
    find_class_folders,
    find_class_paths,
    list_names,
    map_folders,
    render_proposal,
    write_proposal,
)
from fototeca.core.class_mapping import category_spellings, find_category, read_mapping
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR, Settings, to_nfc
from fototeca.core.workspace import Workspace
from fototeca.vision.formats import SUFFIXES


class FolderNames:
    """Search for the category that the folders of an image name, the innermost first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spellings = category_spellings(settings)

    def find(self, folder: str) -> str:
        """Return the label of a class folder such as `a/b`, "" if neither it nor a folder around it names a category."""
        return next((label for part in reversed(PurePosixPath(folder).parts) if (label := self.find_one(part))), "")

    def find_one(self, part: str) -> str:
        """Return the label of one folder name; in multi-label tasks `|` and `+` join categories."""
        name = to_nfc(part)
        if name in self._settings.names:
            return name
        if label := find_category(name, self._spellings):
            return label
        parts = name.replace("+", LABEL_SEPARATOR).split(LABEL_SEPARATOR) if self._settings.task == "multi" else []
        labels = {self.find_one(part) for part in parts} if len(parts) > 1 else set()
        return LABEL_SEPARATOR.join(sorted(labels)) if labels and "" not in labels else ""


def label_from_folders(
    workspace: Workspace, names: Sequence[str], path: Path, mapping: Path | None, passed_over: PassedOver
) -> dict[str, str]:
    """Return the label of each image whose folder names a category; the others are counted in `passed_over`.

    Without `mapping`, a name counts that equals a category or one of its queries but for case, plural, accents, punctuation
    and a leading number or WordNet id. Folders of splits are skipped, and images in folders below a category's folder belong to
    it. Images directly in `path` have the category that `path` names. If other folders remain, a mapping is proposed in a file.

    Args:
        workspace: workspace with the categories; its cache gets the proposal.
        names: paths of the images relative to the folder, with forward slashes.
        path: folder or archive as the user named it.
        mapping: mapping file of a person.
        passed_over: counts the images that get no label.

    Raises:
        FototecaError: no image gets a label.
    """
    settings = workspace.settings
    folders = find_class_folders(names, settings)
    if mapping is not None:
        return map_folders(folders, read_mapping(mapping, settings), mapping, passed_over)
    search = FolderNames(settings)
    root = search.find_one(_folder_name(path))
    paths = find_class_paths(names, settings)
    label_of = {folder: search.find(folder) or root for folder in set(paths.values())}
    labels = {name: label_of[paths[name]] for name in names}
    unknown = {name: folders[name] for name, label in labels.items() if not label}
    for name in unknown:
        passed_over.add("unknown-folder", name)
    if unknown:
        _propose(workspace, folders, path, sorted(set(unknown.values())), is_empty=len(unknown) == len(labels))
    _report_spelling({folder: label for folder, label in label_of.items() if label}, settings)
    return {name: label for name, label in labels.items() if label}


def _folder_name(path: Path) -> str:
    """Return the name of the folder itself, of the archive without its ending, or of the folder that holds the image."""
    resolved = path.resolve()
    if path.is_dir():
        return resolved.name
    return resolved.parent.name if resolved.suffix.lower() in SUFFIXES else re.sub(r"(\.tar)?\.\w+$", "", resolved.name)


def _report_spelling(label_of: dict[str, str], settings: Settings) -> None:
    """Report the folders whose name is not exactly a category's."""
    other = {folder: label for folder, label in label_of.items() if folder and to_nfc(PurePosixPath(folder).name) != label}
    if other:
        listed = [f"{folder} = {label}" for folder, label in sorted(other.items())]
        more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
        notify(f"fototeca: folders taken for categories: {', '.join(listed[:5])}{more}; --map FILE.toml decides otherwise")


def _propose(workspace: Workspace, folders: dict[str, str], path: Path, unknown: list[str], *, is_empty: bool) -> None:
    """Write a proposed mapping and name the folders that match no category. FototecaError if none matches."""
    resolved = path.resolve()
    digest = hashlib.sha256(str(resolved).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    file = workspace.cache / "maps" / f"{resolved.name}-{digest}.toml"
    write_proposal(file, render_proposal(folders, workspace.settings, f"Folders of {resolved.name}"))
    hint = f"a mapping is proposed: correct the file and pass it with --map {file}"
    if any(re.fullmatch(r"n\d{8}", PurePosixPath(name).name) for name in unknown):
        hint += "; a WordNet id such as n02084071 may also stand in the queries of its category in fototeca.toml"
    if is_empty:
        message = f"no folder of {path} names a category: {list_names(unknown)}"
        raise FototecaError(message, f"{hint}; categories: {', '.join(workspace.settings.names[:10])}")
    counts = Counter(folders.values())
    listed = ", ".join(f"{folder} ({counts[folder]})" for folder in unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    notify(f"fototeca: these folders name no category, their images are passed over: {listed}{more}; {hint}")
