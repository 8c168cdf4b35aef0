"""Write WebDataset shards: tar files with the members of each image one after another (github.com/webdataset/webdataset)."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fototeca.core.files import write_text
from fototeca.curate.export.placement import Export, PlacedFile
from fototeca.curate.manifest import SPLITS, ManifestRow

SUFFIXES = frozenset({".jpg", ".png", ".ppm"})
"""Suffixes of stored images that webdataset's image decoder reads."""

SHARD_BYTES = 500_000_000
"""A shard is closed when it is longer."""

SHARD_IMAGES = 10_000
"""Most images of a shard."""

_COLUMNS = ("image_id", "label", "split", "group", "phash", "source", "image_url", "page_url", "author", "license", "reviewed")
_STAGING = "images"


class _Shards:
    """Shards of one split, numbered from 0, the last one open."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._tar: tarfile.TarFile | None = None
        self._shards = self._images = 0

    def add(self, members: list[tuple[str, bytes]]) -> None:
        """Append the members of one image. Names, times and owners depend on the version alone."""
        tar = self._open()
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        self._images += 1
        if self._images == SHARD_IMAGES or tar.offset >= SHARD_BYTES:
            self.close()

    def _open(self) -> tarfile.TarFile:
        if self._tar is None:
            path = self._folder / f"{self._split}-{self._shards:06}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by close()
        return self._tar

    def close(self) -> None:
        """Complete the open shard."""
        if self._tar is not None:
            self._tar.close()
            self._tar, self._images = None, 0
            self._shards += 1


def export_webdataset(export: Export) -> None:
    """Write `SPLIT-000000.tar` and so on with `ID.jpg` (or png), `ID.cls` and `ID.json` per image, and `classes.txt`.

    `ID.cls` is the index of the label in `classes.txt`; multi-label: there is none, and `label` in `ID.json` is a list. Images
    follow their ids, which are digests, so that every shard holds a mixture of classes. The same version gives the same bytes.
    """
    classes = export.manifest.categories
    write_text(export.folder / "classes.txt", "".join(f"{name}\n" for name in classes))
    multi = export.manifest.task == "multi"
    with _open_shards(export.folder) as shards:
        for row, file in export.place_all(lambda _: _STAGING, SUFFIXES):
            path = export.folder / file.path
            members = [(file.name, path.read_bytes()), (f"{row.image_id}.json", _record(row, file, multi))]
            if not multi:
                members.insert(1, (f"{row.image_id}.cls", str(classes.index(row.label)).encode()))
            shards[row.split].add(members)
            path.unlink()
    with suppress(FileNotFoundError):  # a version without images
        (export.folder / _STAGING).rmdir()


@contextmanager
def _open_shards(folder: Path) -> Iterator[dict[str, _Shards]]:
    shards: dict[str, _Shards] = {split: _Shards(folder, split) for split in SPLITS}
    try:
        yield shards
    finally:
        for split in shards.values():
            split.close()


def _record(row: ManifestRow, file: PlacedFile, multi: bool) -> bytes:
    values = {name: getattr(row, name) for name in _COLUMNS}
    record = {**values, "label": list(row.labels) if multi else row.label, "width": file.width, "height": file.height}
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode()
