"""Splits that a dataset brings: in the names of its folders and shards, or in a column of its table."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "entrenamiento"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validacion", "validación", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "prueba", "eval", "evaluation"), "test"),
}
"""Split of each word, in lowercase. As in Hugging Face's `datasets`, evaluation means test."""

GENERIC_FOLDERS = frozenset({"images", "imgs", "img", "imagenes"})
"""Lowercase names of folders that hold all images of a split."""

_SET_WORDS = r"(?:set|data|images?|imgs?|split|folder)"
_FOLDER = re.compile(rf"({'|'.join(SPLIT_WORDS)})[\W_]*{_SET_WORDS}?[\W_]*(?:20\d\d|\d)?")
_PREFIXED_FOLDER = re.compile(rf".*[\W_]({'|'.join(SPLIT_WORDS)})")
_SHARD = re.compile(
    rf"(?:.*[\W_])?({'|'.join(SPLIT_WORDS)})[\W_]?\d{{1,7}}(?:-of-\d{{1,7}})?(?:-[0-9a-f]+)?(?:\.\w+){{0,2}}", re.IGNORECASE
)
_ANY_SHARD = re.compile(r"[\w.-]*-?\d{1,7}-of-\d{1,7}(?:-[0-9a-f]+)?")
_NUMBER = re.compile(r"(?!(?:19|20)\d\d(?!\d))\d{4,}")
"""Number of a shard without `-of-`: four digits or more that are not a year."""


def parse_split(text: str) -> str:
    """Return train, val or test for a word of a column or folder, such as `Validation` or `train2017`; "" for another."""
    match = _FOLDER.fullmatch(text.strip().lower())
    return SPLIT_WORDS[match[1]] if match else ""


def is_shard(name: str) -> bool:
    """Return True for the name of a shard: `train-00000-of-00005`, `train-000000`."""
    return bool(_ANY_SHARD.fullmatch(name)) or bool(_shard_split(name))


def is_split_folder(name: str) -> bool:
    """Return True for a folder that holds a split, all images or a shard, and so names no class."""
    return bool(parse_split(name)) or name.lower() in GENERIC_FOLDERS or is_shard(name)


def find_splits(names: Iterable[str], category_names: Collection[str] = (), root: str = "") -> dict[str, str]:
    """Return train, val or test for each image that is in a folder or shard of that name, at any level; the innermost counts.

    Args:
        names: paths of the images, with forward slashes.
        category_names: lowercase names of the categories; the folder that directly holds an image counts as its class if it
            has such a name.
        root: name of the folder or archive itself, which counts where no folder inside names a split.
    """
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    prefixed = _prefixed_splits(folders.values())
    of_root = parse_split(root) or _shard_split(root)
    splits = {}
    for name, parts in folders.items():
        outer = parts[:-1] if parts and parts[-1].lower() in category_names else parts
        found = [
            split
            for depth, part in enumerate(outer)
            if (split := parse_split(part) or _shard_split(part) or prefixed.get(parts[: depth + 1], ""))
        ]
        if split := found[-1] if found else of_root:
            splits[name] = split
    return splits


def strip_split_folders(folders: tuple[str, ...], prefixed: Collection[tuple[str, ...]] = ()) -> tuple[str, ...]:
    """Return the folders of a path without those of splits and shards. `prefixed`: see `find_prefixed_folders`."""
    return tuple(part for depth, part in enumerate(folders) if not is_split_folder(part) and folders[: depth + 1] not in prefixed)


def find_prefixed_folders(paths: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return the folders such as `seg_train` and `seg_test`, which hold splits since siblings of other splits exist."""
    return set(_prefixed_splits(paths))


def _prefixed_splits(paths: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return the split of each folder `PREFIX_SPLIT` that has folders below it and a sibling `PREFIX_OTHER-SPLIT`."""
    siblings: dict[tuple[tuple[str, ...], str], dict[tuple[str, ...], str]] = defaultdict(dict)
    for path in set(paths):
        for depth, part in enumerate(path[:-1]):
            if (match := _PREFIXED_FOLDER.fullmatch(part.lower())) and not parse_split(part):
                siblings[path[:depth], part.lower()[: match.start(1)]][path[: depth + 1]] = SPLIT_WORDS[match[1]]
    return {path: split for group in siblings.values() if len(set(group.values())) > 1 for path, split in group.items()}


def _shard_split(name: str) -> str:
    """Return the split in the name of a shard, else ""."""
    match = _SHARD.fullmatch(name)
    if not match or not ("-of-" in name or _NUMBER.search(name, match.end(1))):
        return ""
    return SPLIT_WORDS[match[1].lower()]


def describe_splits(splits: Mapping[str, str], *, are_kept: bool) -> str:
    """Return the line for people about the splits of a dataset; "" where it brings none.

    Args:
        splits: split of each image that has one.
        are_kept: True if they are stored.
    """
    counts = Counter(splits.values())
    if not counts:
        return ""
    listed = ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test") if counts[name])
    end = "they apply at the next freeze" if are_kept else "they are not used; --keep-splits keeps them"
    return f"the dataset brings its own splits: {listed}; {end}"
