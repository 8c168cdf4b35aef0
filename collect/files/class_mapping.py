"""Map the folders of an external dataset to the workspace's categories: proposed automatically, confirmed by a person."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

from fototeca.collect.files.dataset_splits import find_prefixed_folders, is_split_folder, strip_split_folders
from fototeca.core.class_mapping import category_spellings, find_category, normalize_category, spelling_variants
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings, to_nfc

ROOT_FOLDER = "."
"""Class folder of images that are in no folder."""

_MIN_SIMILARITY = 0.75
"""Smallest difflib ratio (0 to 1) of two names at which one is proposed for the other."""


@dataclass(frozen=True)
class CategoryProposal:
    """Category proposed for a folder; empty if none is similar."""

    category: str
    is_exact: bool
    """The names are equal but for spelling."""


def find_class_folders(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """Return for each image (a path with forward slashes) the folder that names its class.

    Folders of splits and folders that all images share are left out, so that `data/train/cat/1.jpg` and `data/test/dog/2.jpg`
    give `cat` and `dog`. The innermost folder counts if a category has its name: `train` may be a vehicle.
    """
    parts = _class_paths(names, settings)
    distinct = set(parts.values())
    num_shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*distinct, strict=False)))
    if num_shared and any(len(folders) == num_shared for folders in distinct):
        num_shared -= 1  # the shared folder directly holds images, so it names a class too
    return {name: "/".join(folders[num_shared:]) or ROOT_FOLDER for name, folders in parts.items()}


def find_class_paths(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """Return all folders of each image except those of splits, joined by forward slashes; "" for none."""
    return {name: "/".join(folders) for name, folders in _class_paths(names, settings).items()}


def category_names(settings: Settings) -> set[str]:
    """Return the names and queries of all categories in lowercase."""
    return {text.lower() for category in settings.categories for text in (category.name, *category.queries)}


def _class_paths(names: Iterable[str], settings: Settings) -> dict[str, tuple[str, ...]]:
    folders_by_name = {name: PurePosixPath(name).parts[:-1] for name in names}
    prefixed = find_prefixed_folders(folders_by_name.values())
    categories = category_names(settings)
    return {name: _class_parts(folders, categories, prefixed) for name, folders in folders_by_name.items()}


def _class_parts(folders: tuple[str, ...], categories: set[str], prefixed: Collection[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the folders of an image without those of splits and shards."""
    *outer, innermost = folders or (ROOT_FOLDER,)
    parts = strip_split_folders(tuple(outer), prefixed)
    is_category = innermost.lower() in categories
    return parts if innermost == ROOT_FOLDER or (is_split_folder(innermost) and not is_category) else (*parts, innermost)


def propose_category(folder: str, settings: Settings) -> CategoryProposal:
    """Return the category whose name or query equals the folder's name but for spelling, else the most similar one."""
    names = category_spellings(settings)
    for text in (folder, folder.rpartition("/")[2]):
        if category := find_category(text, names):
            return CategoryProposal(category, is_exact=True)
    variants = spelling_variants(folder.rpartition("/")[2])
    similar = [name for text in variants for name in difflib.get_close_matches(text, names, n=1, cutoff=_MIN_SIMILARITY)]
    return CategoryProposal(names[similar[0]] if similar else "", is_exact=False)


def render_proposal(folders: Mapping[str, str], settings: Settings, title: str) -> str:
    """Return the text of a mapping file to check and confirm. `folders` is the result of `find_class_folders`."""
    lines = [
        f"# {' '.join(title.split())}",
        "# Folders or classes of this dataset and the category of each. Correct this file, then pass it with --map.",
        '# "" excludes the images of a folder or class. Categories of this workspace: ' + ", ".join(settings.names),
        "",
        "[map]",
    ]
    for folder, count in sorted(Counter(folders.values()).items()):
        proposal = propose_category(folder, settings)
        note = "" if proposal.is_exact or not proposal.category else ", similar name: check"
        lines.append(f"{_quote(folder)} = {_quote(proposal.category)}  # {count_of(count, 'image')}{note}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return `text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


def map_folders(folders: Mapping[str, str], mapping: Mapping[str, str], file: Path, passed_over: PassedOver) -> dict[str, str]:
    """Return the category of each image that a mapping includes; the others are counted in `passed_over`.

    A folder that the mapping does not name has the category of the nearest folder around it, else of a folder with its own name.
    Case, accents, punctuation and plural of the names do not count where no name is equal.

    Args:
        folders: class folder of each image, as `find_class_folders` returns them.
        mapping: category of each folder, "" to exclude it.
        file: file of the mapping, for messages.
        passed_over: counts the images of other folders.

    Raises:
        FototecaError: no image is included.
    """
    find = _FolderMapping(mapping).find
    categories = {folder: find(folder) for folder in set(folders.values())}
    unmapped = sorted(folder for folder, category in categories.items() if category is None)
    if unmapped:
        notify(f"fototeca: {file} does not name these folders; their images are excluded: {list_names(unmapped)}")
    included = {}
    for name, folder in folders.items():
        if category := categories[folder]:
            included[name] = category
        else:
            passed_over.add("folder-not-mapped" if category is None else "folder-excluded", name)
    if not included:
        raise FototecaError(f"{file} names no folder of this dataset", "run the command without --map to list its folders")
    return included


class _FolderMapping:
    """Search for the category of a folder in a mapping."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._exact = {to_nfc(folder): category for folder, category in mapping.items()}
        self._normalized = {"/".join(map(_normalize, folder.split("/"))): category for folder, category in mapping.items()}

    def find(self, folder: str) -> str | None:
        """Return the category of a folder, "" if it is excluded, None if no name fits."""
        parts = PurePosixPath(folder).parts or (ROOT_FOLDER,)
        around = ["/".join(parts[:depth]) for depth in range(len(parts), 0, -1)]
        for name in (*around, *reversed(parts)):
            if to_nfc(name) in self._exact:
                return self._exact[to_nfc(name)]
            *outer, last = name.split("/")
            for spelling in ("/".join([*map(_normalize, outer), each]) for each in (_normalize(last), *spelling_variants(last))):
                if spelling in self._normalized:
                    return self._normalized[spelling]
        return None


def _normalize(folder: str) -> str:
    return normalize_category(folder) or folder


def list_names(names: Sequence[str], limit: int = 5) -> str:
    """Return names in quotes for a message, the first ones only."""
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def write_proposal(file: Path, proposal: str) -> None:
    """Write a proposed mapping, unless the file exists: a person may have edited it."""
    if not file.exists():
        write_text(file, proposal)
