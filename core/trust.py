"""Trust in the parts of a workspace that reach the network, run code or lead out of it.

A workspace may come from another person, for example by `git clone`. Its site files name servers, its `[cluster]`, `[store]` and
`[remotes]` tables name machines, the source of a run's model is code, and a link may lead anywhere. All of them do nothing until
this user has run `fototeca trust`, which shows them and records their digests in the user's state folder. Code that reads one of
them calls `read_trusted` or `require_trusted`; a changed digest asks again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write
from fototeca.core.results import Result
from fototeca.core.settings import CONFIG_NAME, TRUSTED_TABLES

Kind = Literal["site file", "table", "model source", "link"]

MAX_BYTES = 1_000_000
"""Size of a file that can be trusted: a person is to read it."""

_LINK_PLACES = (CONFIG_NAME, "report.md", "manifests", "sites", "data")
"""Entries of a workspace that commands read or write; other entries are the user's own business."""

_HINT = "see what it does, then trust it: fototeca trust"


@dataclass(frozen=True)
class TrustedThing(Result):
    """A part of a workspace that needs trust."""

    kind: Kind
    name: str
    """Path relative to the workspace with forward slashes; `[NAME]` for a table of `fototeca.toml`."""

    content: str
    """The text of a file or table, or the target of a link."""

    digest: str
    """SHA-256 in hex of the content."""


def read_trusted(root: Path, path: Path, kind: Kind) -> bytes:
    """Return the bytes of a file of the workspace at `root`. FototecaError unless this user has trusted exactly these bytes."""
    content = _read(path)
    require_trusted(root, _file_thing(root, path, kind, content))
    return content


def require_trusted(root: Path, thing: TrustedThing) -> None:
    """Raise FototecaError unless this user has trusted `thing`, with this content, in the workspace at `root`."""
    if _read_records(root).get(thing.name) != thing.digest:
        target = f", a link to {thing.content}," if thing.kind == "link" else ""
        raise FototecaError(f"{thing.name}{target} is not trusted", _HINT)


def check_tables(root: Path) -> None:
    """Raise FototecaError for a table of `fototeca.toml` that needs trust and has none."""
    for thing in _tables(root):
        require_trusted(root, thing)


def check_links(root: Path) -> None:
    """Raise FototecaError for a link that leads out of the workspace and is not trusted: commands would read or write there."""
    for thing in _links(root):
        require_trusted(root, thing)


def list_trusted_things(root: Path) -> list[TrustedThing]:
    """Return every part of the workspace at `root` that needs trust: links first, then tables, site files, model sources.

    FototecaError for a file that cannot be read or is larger than MAX_BYTES.
    """
    things = [*_links(root), *_tables(root)]
    patterns: tuple[tuple[Kind, str], ...] = (("site file", "sites/*.toml"), ("model source", "data/runs/*/*.py"))
    for kind, pattern in patterns:
        things += [_file_thing(root, path, kind, _read(path)) for path in sorted(root.glob(pattern)) if path.is_file()]
    return things


def list_untrusted(root: Path, things: Sequence[TrustedThing]) -> list[TrustedThing]:
    """Return the things that this user has not trusted in the workspace at `root`."""
    records = _read_records(root)
    return [thing for thing in things if records.get(thing.name) != thing.digest]


def record_trust(root: Path, things: Sequence[TrustedThing]) -> None:
    """Record that this user trusts `things`, and nothing else, in the workspace at `root`."""
    path = _record_file(root)
    if path.is_relative_to(root):
        raise FototecaError(
            f"trust would be recorded in the workspace itself, at {path}",
            "set XDG_STATE_HOME to a folder outside, or move the workspace",
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {"workspace": str(root), "sha256": {thing.name: thing.digest for thing in things}}
    with atomic_write(path, mode=0o600) as file:
        file.write(json.dumps(document, ensure_ascii=True, indent=2).encode() + b"\n")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FototecaError(f"{path} has more than {MAX_BYTES} bytes", "delete it; nobody can read it before trusting it")
    return content


def _file_thing(root: Path, path: Path, kind: Kind, content: bytes) -> TrustedThing:
    text = content.decode("utf-8", errors="replace")
    return TrustedThing(kind, path.relative_to(root).as_posix(), text, hashlib.sha256(content).hexdigest())


def _tables(root: Path) -> Iterator[TrustedThing]:
    """Yield the tables of `fototeca.toml` that need trust; none if the file cannot be read, which its reader reports."""
    try:
        document = tomllib.loads((root / CONFIG_NAME).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return
    for name in TRUSTED_TABLES:
        if name in document:
            text = json.dumps(document[name], ensure_ascii=False, sort_keys=True, default=str)
            yield TrustedThing("table", f"[{name}]", text, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _links(root: Path) -> Iterator[TrustedThing]:
    """Yield the links of the workspace that lead out of it. What `data` links to counts as a part of the workspace."""
    data = Path(os.path.realpath(root / "data"))
    for path in _entries(root):
        if path.is_symlink():
            target = Path(os.path.realpath(path))  # unlike Path.resolve, accepts a link to itself
            if not target.is_relative_to(root) and (path == root / "data" or not target.is_relative_to(data)):
                yield _file_thing(root, path, "link", os.fsencode(target))


def _entries(root: Path) -> Iterator[Path]:
    """Yield the entries that commands use, and those below `data`, `manifests` and `sites` down to the files of a run."""
    for name in _LINK_PLACES:
        yield root / name
    for name, depth in (("manifests", 1), ("sites", 1), ("data", 3)):
        yield from _walk(root / name, depth)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the entries of a folder in the order of their names, and those of its folders down to `depth` levels.

    The files of the image store are left out: a million of them would be listed by every command, and they are only replaced.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:  # absent, or no folder
        return
    for entry in entries:
        path = folder / entry.name
        yield path
        if depth > 1 and folder.name != "images" and entry.is_dir(follow_symlinks=False):
            yield from _walk(path, depth - 1)


def _read_records(root: Path) -> dict[str, str]:
    """Return the trusted digests by name; none if they are damaged, in the workspace itself, or writable by other users."""
    path = _record_file(root)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            document = json.loads(file.read())
        is_own = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
        records: dict[str, Any] = document["sha256"] if document["workspace"] == str(root) else {}
        return dict(records) if is_own and not path.is_relative_to(root) else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _record_file(root: Path) -> Path:
    """Return the file of this user's records on the workspace at `root`. A workspace that is moved is another one."""
    from platformdirs import user_state_path

    folder = Path(os.path.realpath(user_state_path("fototeca", appauthor=False)))
    return folder / "trust" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"
