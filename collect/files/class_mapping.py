"""From the folders of somebody else's dataset to one's own categories: proposed by the machine, confirmed by a person."""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath

from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Settings

SPLITS = frozenset(
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
"""Folders that say in which part of the dataset an image is, or only that it is one: they are seen through."""

_PART = re.compile(r"[\w.-]*-?\d{1,6}-of-\d{1,6}(?:-[0-9a-f]+)?")
"""Names of the numbered files that a dataset of parquet files is cut into: `train-00000-of-00005`."""

TOP = "."
"""Stands for images that lie in no folder of their own."""

_CLOSE = 0.75
"""Likeness of two names, between 0 and 1, from which one is proposed for the other."""


@dataclass(frozen=True)
class Proposal:
    """The category that a folder may stand for; empty when none is like it. `sure`: the names are equal but for spelling."""

    category: str
    sure: bool


def class_folders(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """For each image (a path with forward slashes) the folder that tells its class.

    Folders of splits are left out, and so are the folders that all images share, so that `data/train/cat/1.jpg` and
    `data/test/dog/2.jpg` give `cat` and `dog`. An image's own folder counts where a category has that name: a train may
    be a vehicle.
    """
    known = {text.lower() for category in settings.categories for text in (category.name, *category.queries)}
    parts = {name: _telling(PurePosixPath(name).parts[:-1], known) for name in names}
    distinct = set(parts.values())
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*distinct, strict=False)))
    if shared and any(len(kept) == shared for kept in distinct):
        shared -= 1  # the shared folder holds images itself, so its name is a class too
    return {name: "/".join(kept[shared:]) or TOP for name, kept in parts.items()}


def _telling(folders: tuple[str, ...], known: set[str]) -> tuple[str, ...]:
    *above, own = folders or (TOP,)
    kept = [folder for folder in above if folder.lower() not in SPLITS and not _PART.fullmatch(folder)]
    return tuple(kept if own == TOP or own.lower() in SPLITS - known else [*kept, own])


def propose(folder: str, settings: Settings) -> Proposal:
    """The category whose name or query equals the folder's name but for spelling, else the closest one, else none."""
    names = {_plain(text): category.name for category in settings.categories for text in (category.name, *category.queries)}
    for text in (folder, folder.rpartition("/")[2]):
        if (plain := _plain(text)) in names:
            return Proposal(names[plain], sure=True)
    close = difflib.get_close_matches(_plain(folder.rpartition("/")[2]), names, n=1, cutoff=_CLOSE)
    return Proposal(names[close[0]], sure=False) if close else Proposal("", sure=False)


def _plain(text: str) -> str:
    """The name without accents, signs, case, leading numbers and the `n01234567` of WordNet, and without a plural's s."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower() or text.lower()
    words = re.sub(r"[\W_]+", " ", letters).split()
    while len(words) > 1 and re.fullmatch(r"n?\d+", words[0]):
        words = words[1:]
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def proposal_text(folders: Mapping[str, str], settings: Settings, title: str) -> str:
    """The mapping file that a person reads, mends and confirms. `folders` is what `class_folders` gave."""
    lines = [
        f"# {' '.join(title.split())}",
        "# The folders of this dataset, and the category that each becomes. Mend it, then give it with --map.",
        '# "" leaves the folder\'s images out. This workspace has: ' + ", ".join(settings.names),
        "",
        "[map]",
    ]
    for folder, count in sorted(Counter(folders.values()).items()):
        proposal = propose(folder, settings)
        doubt = "" if proposal.sure or not proposal.category else ", only alike: check"
        lines.append(f"{_quoted(folder)} = {_quoted(proposal.category)}  # {count} image{'' if count == 1 else 's'}{doubt}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """`text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda sign: f"\\u{ord(sign[0]):04x}", escaped) + '"'


def read_map(file: Path, settings: Settings) -> dict[str, str]:
    """A confirmed mapping. FototecaError names the file and what is wrong in it."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FototecaError(f"{file} cannot be read: {error}", "give the file that the command without --map proposes") from None
    table = document.get("map")
    if not isinstance(table, dict) or not all(isinstance(category, str) for category in table.values()):
        raise FototecaError(f"{file} has no [map] of texts", 'write under [map]: "folder name" = "category"')
    if not any(table.values()):
        raise FototecaError(f"{file} leaves every folder out", "write a category behind at least one folder")
    return {folder: category and settings.check_label(category) for folder, category in table.items()}


def labels(folders: Mapping[str, str], mapping: Mapping[str, str], file: Path) -> dict[str, str]:
    """The category of each image that is taken. Folders that the mapping does not name are left out, and said."""
    unnamed = sorted(set(folders.values()) - mapping.keys())
    if unnamed:
        shown = ", ".join(repr(name) for name in unnamed[:5]) + (f" and {len(unnamed) - 5} more" if len(unnamed) > 5 else "")
        notify(f"fototeca: {file} does not name these folders, their images are left out: {shown}")
    chosen = {name: mapping.get(folder, "") for name, folder in folders.items()}
    taken = {name: category for name, category in chosen.items() if category}
    if not taken:
        raise FototecaError(f"{file} names no folder of this dataset", "run the command without --map to see its folders")
    return taken
