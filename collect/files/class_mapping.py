"""Map the folders of an external dataset to the workspace's categories: proposed automatically, confirmed by a person."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

from fototeca.core.class_mapping import category_spellings, normalize_category
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings

SPLIT_FOLDERS = frozenset(
    [
        "train",
        "training",
        "trainset",
        "test",
        "testing",
        "testset",
        "val",
        "valid",
        "validation",
        "validset",
        "dev",
        "eval",
        "evaluation",
        "images",
        "imgs",
        "img",
    ]
)
"""Lowercase names of folders that hold a split or all images; they do not name a class."""

_SHARD = re.compile(r"[\w.-]*-?\d{1,6}-of-\d{1,6}(?:-[0-9a-f]+)?")
"""Names of the shards of a parquet dataset: `train-00000-of-00005`."""

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
    category_names = {text.lower() for category in settings.categories for text in (category.name, *category.queries)}
    parts = {name: _class_parts(PurePosixPath(name).parts[:-1], category_names) for name in names}
    distinct = set(parts.values())
    num_shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*distinct, strict=False)))
    if num_shared and any(len(folders) == num_shared for folders in distinct):
        num_shared -= 1  # the shared folder directly holds images, so it names a class too
    return {name: "/".join(folders[num_shared:]) or ROOT_FOLDER for name, folders in parts.items()}


def _class_parts(folders: tuple[str, ...], category_names: set[str]) -> tuple[str, ...]:
    """Return the folders of an image without those of splits and shards."""
    *outer, innermost = folders or (ROOT_FOLDER,)
    parts = [folder for folder in outer if folder.lower() not in SPLIT_FOLDERS and not _SHARD.fullmatch(folder)]
    is_split = innermost == ROOT_FOLDER or innermost.lower() in SPLIT_FOLDERS - category_names
    return tuple(parts if is_split else [*parts, innermost])


def propose_category(folder: str, settings: Settings) -> CategoryProposal:
    """Return the category whose name or query equals the folder's name but for spelling, else the most similar one."""
    names = category_spellings(settings)
    for text in (folder, folder.rpartition("/")[2]):
        if (normalized := normalize_category(text)) in names:
            return CategoryProposal(names[normalized], is_exact=True)
    similar = difflib.get_close_matches(normalize_category(folder.rpartition("/")[2]), names, n=1, cutoff=_MIN_SIMILARITY)
    return CategoryProposal(names[similar[0]] if similar else "", is_exact=False)


def render_proposal(folders: Mapping[str, str], settings: Settings, title: str) -> str:
    """Return the text of a mapping file to check and confirm. `folders` is the result of `find_class_folders`."""
    lines = [
        f"# {' '.join(title.split())}",
        "# Folders of this dataset and the category of each. Correct this file, then pass it with --map.",
        '# "" excludes the images of a folder. Categories of this workspace: ' + ", ".join(settings.names),
        "",
        "[map]",
    ]
    for folder, count in sorted(Counter(folders.values()).items()):
        proposal = propose_category(folder, settings)
        note = "" if proposal.is_exact or not proposal.category else ", similar name: check"
        lines.append(f"{_quote(folder)} = {_quote(proposal.category)}  # {count} image{'' if count == 1 else 's'}{note}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return `text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


def map_folders(folders: Mapping[str, str], mapping: Mapping[str, str], file: Path) -> dict[str, str]:
    """Return the category of each image that the mapping includes.

    Folders that the mapping does not name are excluded, with a message. FototecaError if no image is left.
    """
    unmapped = sorted(set(folders.values()) - mapping.keys())
    if unmapped:
        listed = ", ".join(repr(name) for name in unmapped[:5]) + (f" and {len(unmapped) - 5} more" if len(unmapped) > 5 else "")
        notify(f"fototeca: {file} does not name these folders; their images are excluded: {listed}")
    categories = {name: mapping.get(folder, "") for name, folder in folders.items()}
    included = {name: category for name, category in categories.items() if category}
    if not included:
        raise FototecaError(f"{file} names no folder of this dataset", "run the command without --map to list its folders")
    return included
