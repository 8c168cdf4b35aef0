"""Augmented copies of one original, recognized by their file names: they share a split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from fototeca.collect.files.dataset_splits import strip_split_folders

_ROBOFLOW = re.compile(r"(.+)\.rf\.[0-9A-Za-z]+\.\w+")
"""`NAME_jpg.rf.HASH.jpg`, as Roboflow writes copies of `NAME.jpg`."""

_AUGMENTOR = re.compile(r".+?_original_(.+?)(\.\w+)?_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.\w+", re.IGNORECASE)
"""`CLASS_original_NAME.jpg_UUID.jpg`, as Augmentor writes copies of `NAME.jpg`."""

_ENDING = re.compile(r"(.+)_(jpe?g|png|bmp|gif|tiff?|webp|heic|avif)", re.IGNORECASE)
"""Roboflow's name of an original, `NAME_jpg`."""


def original_name(file_name: str) -> str:
    """Return the name, without ending, of the original of an augmented copy; "" if the name is not that of a copy."""
    if match := _ROBOFLOW.fullmatch(file_name):
        ending = _ENDING.fullmatch(match[1])
        return ending[1] if ending else match[1]
    match = _AUGMENTOR.fullmatch(file_name)
    return match[1] if match else ""


def find_originals(folders: Mapping[str, str], scope: str) -> dict[str, str]:
    """Return the id of the original of each augmented copy, and of each original that lies beside its copies.

    Args:
        folders: class folder of each image, by its path with forward slashes; folders of splits are left out of it, so that
            copies in `train/cat` and `test/cat` have one original.
        scope: name of the dataset; equal names of two datasets are two originals.
    """
    names = {path: original_name(PurePosixPath(path).name) for path in folders}
    copied = {(folders[path], name) for path, name in names.items() if name}
    originals = {}
    for path, folder in folders.items():
        name = names[path] or PurePosixPath(path).stem
        if (folder, name) in copied:
            originals[path] = f"{scope}/{folder}/{name}"
    return originals


def original_of_url(url: str) -> str:
    """Return the id of the original if a URL is that of an augmented copy: host, folders without splits, and name; else "".

    Copies whose URLs differ in the folder of a split (`/train/`, `/test/`) have one original.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    *folders, last = unquote(parts.path, errors="replace").split("/")
    name = original_name(last)
    return "/".join([parts.netloc.rpartition("@")[2], *strip_split_folders(tuple(filter(None, folders))), name]) if name else ""
