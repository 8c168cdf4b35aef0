"""Resolve the links of an archive among the files that were extracted from it."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from fototeca.collect.files.members import OUTSIDE, Member, normalize_name


def resolve_links(
    links: Sequence[Member], extracted: Mapping[str, str], reasons: Mapping[str, str]
) -> Iterator[tuple[Member, dict[str, str], str]]:
    """Yield each link with the names that it gives to extracted files, or with the reason why it gives none.

    A link may lead to a file, to a folder, or to another link. A folder that contains its own link is not followed.

    Args:
        links: in the order of the archive.
        extracted: place of each extracted file by its normalized name in the archive.
        reasons: why other members were passed over, by normalized name; a link to one has the same reason.
    """
    tree = _Tree(extracted)
    pending, is_last = list(links), False
    while pending:
        waiting = []
        for link in pending:
            name = normalize_name(link.name)
            reason = _fault(name, link.link)
            files = {} if reason else tree.follow(name, link.link)
            if not files and not reason and is_last:
                reason = reasons.get(link.link, "broken-link")
            if files or reason:
                tree.update(files)
                yield link, files, reason
            else:
                waiting.append(link)
        is_last = len(waiting) == len(pending)
        pending = waiting


def _fault(name: str, target: str) -> str:
    if target == OUTSIDE:
        return "link-outside"
    return "link-cycle" if target in (".", name) or name.startswith(f"{target}/") else ""


class _Tree:
    """Files and folders of an archive by normalized name."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files: dict[str, str] = {}
        self._folders: defaultdict[str, list[str]] = defaultdict(list)
        self.update(files)

    def update(self, files: Mapping[str, str]) -> None:
        """Add files, with their folders."""
        for name, path in files.items():
            self._files[name] = path
            while (folder := posixpath.dirname(name)) != name:
                is_new = folder not in self._folders
                self._folders[folder].append(name)
                name = folder
                if not is_new:
                    break

    def follow(self, name: str, target: str) -> dict[str, str]:
        """Return the places of the files behind a target, under the names that a link called `name` gives them."""
        if target in self._files:
            return {name: self._files[target]}
        files, folders = {}, [target] if target in self._folders else []
        while folders:
            for entry in self._folders[folders.pop()]:
                if entry in self._files:
                    files[name + entry.removeprefix(target)] = self._files[entry]
                else:
                    folders.append(entry)
        return files
