"""Groups that must share a split, from `--group-by`: a column, a folder, a regular expression or the time of the photograph."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Literal

from fototeca.collect.files.class_mapping import list_names
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.label_columns import normalize_header

SESSION_MINUTES = 30
"""Minutes without a photograph that end a session, unless `exif-time:MINUTES` states others."""

_EXIF = re.compile(r"exif-time(?::(\d{1,5}))?")


@dataclass(frozen=True)
class GroupBy:
    """Parsed `--group-by`."""

    kind: Literal["none", "column", "folder", "pattern", "exif-time"]
    column: str = ""
    pattern: re.Pattern[str] = field(default_factory=lambda: re.compile(""))
    minutes: int = SESSION_MINUTES

    @classmethod
    def parse(cls, text: str, columns: Sequence[str] = ()) -> GroupBy:
        """Parse `folder`, `exif-time`, `exif-time:MINUTES`, a regular expression with one group, or the name of a column.

        Args:
            text: value of the option; "" for none.
            columns: columns of the table of labels, if one is given.

        Raises:
            FototecaError: `text` is none of these.
        """
        if not text:
            return cls("none")
        if text == "folder":
            return cls("folder")
        if match := _EXIF.fullmatch(text):
            return cls("exif-time", minutes=int(match[1] or SESSION_MINUTES))
        if normalize_header(text) in map(normalize_header, columns) or ("(" not in text and columns):
            return cls("column", column=text)
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise FototecaError(f"--group-by {text!r} is not a regular expression: {error}", _USAGE) from None
        if pattern.groups != 1:
            problem = f"has {pattern.groups} groups" if pattern.groups else "has no group, and no table of labels is given"
            raise FototecaError(f"--group-by {text!r} {problem}", _USAGE)
        return cls("pattern", pattern=pattern)


_USAGE = (
    "give a column of the table of labels, folder, exif-time, or a regular expression with one group in parentheses,"
    " such as 'patient_(\\d+)'"
)


@dataclass(frozen=True)
class ImageFacts:
    """Facts about the images of a folder from which groups are formed; each is read only where it is needed."""

    file_names: Mapping[str, str]
    """Original relative name of each image."""

    folders: Callable[[], Mapping[str, str]]
    """Group folder of each image; see `group_folders`."""

    columns: Callable[[str], Mapping[str, str]]
    """Value of a column of the table for each image."""

    taken: Callable[[str], str]
    """ISO time of the photograph of an image, "" if unknown."""


def group_images(group_by: GroupBy, names: Sequence[str], facts: ImageFacts) -> dict[str, str]:
    """Return the group of each image that is in one; a line reports the number of groups and the images in none.

    Raises:
        FototecaError: no image is in a group.
    """
    if group_by.kind == "none":
        return {}
    if group_by.kind == "column":
        groups = {name: value.strip() for name, value in facts.columns(group_by.column).items()}
    elif group_by.kind == "folder":
        groups = dict(facts.folders())
    elif group_by.kind == "pattern":
        groups = {name: _search(group_by.pattern, facts.file_names.get(name, name)) for name in names}
    else:
        groups = find_sessions({name: facts.taken(name) for name in names}, group_by.minutes)
    groups = {name: group for name in names if (group := groups.get(name, ""))}
    without = [name for name in names if name not in groups]
    if not groups:
        raise FototecaError(f"--group-by puts no image into a group (first: {list_names(without, 3)})", _USAGE)
    groups_text = count_of(len(set(groups.values())), "group")
    line = f"fototeca: {count_of(len(groups), 'image')} in {groups_text}, each of which will be in one split"
    notify(line + (f"; {count_of(len(without), 'image is', 'images are')} in none: {list_names(without, 3)}" if without else ""))
    return groups


def _search(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    return (match[1] or "") if match else ""


def group_folders(folders: Mapping[str, str], is_class: Callable[[str], bool]) -> dict[str, str]:
    """Return the folder that groups an image: the folder below its class, else the folders above it.

    So `cat/patient7/1.jpg` and `patient7/cat/1.jpg` are in `patient7`. Images directly in the folder of a class have no group.

    Args:
        folders: folders of each image, by name, without those of splits.
        is_class: tells whether a folder names a class.
    """
    return {name: _group_folder(PurePosixPath(folder).parts, is_class) for name, folder in folders.items()}


def _group_folder(parts: tuple[str, ...], is_class: Callable[[str], bool]) -> str:
    depth = next((depth for depth in reversed(range(len(parts))) if is_class(parts[depth])), None)
    if depth is None:
        return "/".join(parts)
    return parts[depth + 1] if depth + 1 < len(parts) else "/".join(parts[:depth])


def find_sessions(taken: Mapping[str, str], minutes: int) -> dict[str, str]:
    """Return the session of each image whose time is known, as `session TIME` with the time of its first photograph.

    Photographs in order of time belong to one session until a gap of more than `minutes` minutes.

    Args:
        taken: ISO time of the photograph of each image; "" if unknown.
        minutes: longest gap within a session.
    """
    times = sorted((_parse_time(text), name) for name, text in taken.items() if text)
    sessions: dict[str, str] = {}
    start = previous = datetime.min
    for time, name in times:
        if time - previous > timedelta(minutes=minutes) or not sessions:
            start = time
        sessions[name], previous = f"session {start.isoformat()}", time
    return sessions


def _parse_time(text: str) -> datetime:
    """Parse an ISO time; a time zone is dropped, since cameras rarely give one and their clock is what compares."""
    return datetime.fromisoformat(text).replace(tzinfo=None)
