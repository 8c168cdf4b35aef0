"""Find files by the names that tables give them: other case, composition of accents, folder or missing ending."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_IMAGE_ENDING = re.compile(
    r"\.(jpe?g?|jfif|pjpeg|a?png|gif|bmp|dib|tiff?|webp|avif|hei[cf]|hif|jxl|jp2|p[pgbn]m)(_\w+)?$", re.IGNORECASE
)
"""Endings of image files, which ids lack."""

Key = Callable[[str], str]


def has_image_ending(name: str) -> bool:
    """Return True if a file name ends like an image's."""
    return _IMAGE_ENDING.search(name) is not None


def _nfc(part: str) -> str:
    return unicodedata.normalize("NFC", part)


def _folded(part: str) -> str:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())
    return re.sub(r"\.jpeg$", ".jpg", folded)


def _stem(part: str) -> str:
    return _IMAGE_ENDING.sub("", _folded(part))


def _number(part: str) -> str:
    """Return the stem; of a number, as spreadsheets write it: without leading zeros and a decimal zero."""
    match = re.fullmatch(r"0*(\d+)(\.0+)?", _stem(part))
    return match[1] if match else _stem(part)


@dataclass(frozen=True)
class FileMatch:
    """Targets that a name may mean: one, none, or several if it is ambiguous.

    `dropped`: leading folders of the name that are not part of the file's path, as of an absolute path.
    """

    targets: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


NO_MATCH = FileMatch()


class FileIndex:
    """Names of files, as paths with forward slashes, and the target that each stands for.

    Example:
        >>> index = FileIndex([("img/Niña.JPG", "a")])
        >>> index.find("niña").targets, index.find(r"C:\\photos\\img\\niña.jpg").targets, index.find("img/other.jpg").targets
        (('a',), ('a',), ())
    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self._files: dict[Key, dict[str, list[tuple[tuple[str, ...], str]]]] = {}
        keys: tuple[Key, ...] = (_nfc, _folded, _stem, _number)
        for key in keys:
            self._files[key] = defaultdict(list)
        for name, target in names:
            parts = split_name(name)
            for key, files in self._files.items():
                if parts:
                    files[key(parts[-1])].append((_keyed(parts, key), target))

    def find(self, name: str) -> FileMatch:
        """Return what a name means.

        The first of these that matches any file counts: the same path; the path in a folder below; a path that ends with
        the file's whole path, as an absolute one does. Each is tried as written, then in any case, then, for a name without
        ending, with any ending, and for a number also without leading zeros; then for the path of a URL, and without URL quotes.
        """
        for variant in name_variants(name):
            parts = split_name(variant)
            for key in self._files if parts else ():
                if (match := self._find(parts, key)).targets:
                    return match
        return NO_MATCH

    def _find(self, parts: tuple[str, ...], key: Key) -> FileMatch:
        if key in (_stem, _number) and has_image_ending(parts[-1]):
            return NO_MATCH
        wanted = _keyed(parts, key)
        candidates = self._files[key].get(wanted[-1], [])
        same = {target for found, target in candidates if found == wanted}
        below = {target for found, target in candidates if found[-len(wanted) :] == wanted}
        if same or below:
            return FileMatch(tuple(sorted(same or below)))
        above = [(len(found), target) for found, target in candidates if wanted[-len(found) :] == found]
        length = max(above, default=(0, ""))[0]
        return FileMatch(tuple(sorted({target for size, target in above if size == length})), wanted[: len(wanted) - length])


def _keyed(parts: tuple[str, ...], key: Key) -> tuple[str, ...]:
    """Return the parts of a path under a key; folders have no ending."""
    folder_key = _nfc if key is _nfc else _folded
    return (*(folder_key(part) for part in parts[:-1]), key(parts[-1]))


def split_name(name: str) -> tuple[str, ...]:
    """Return the parts of a path, written with slashes or backslashes, without `.`, drive and root."""
    path = name.strip().replace("\\", "/")
    path = re.sub(r"^(file:/+|[A-Za-z]:(?=/))", "/", path)
    return tuple(part for part in path.split("/") if part not in ("", "."))


def name_variants(name: str) -> Iterator[str]:
    """Yield a name as written, then as a URL: its parameter `d` (a local file of Label Studio), its path; then unquoted."""
    variants = [name]
    if re.match(r"[a-z][a-z0-9+.-]*://", name) or "?" in name:
        try:
            url = urlsplit(name)
            variants += [*parse_qs(url.query).get("d", []), url.path]
        except ValueError:
            pass
    yield from dict.fromkeys([*variants, *(unquote(variant) for variant in variants)])
