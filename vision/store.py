"""Append-only store of equally shaped rows by image id in one memory-mapped file; the base of the pixel and feature caches.

Rows are flushed to disk before their ids. After a kill the file may be longer than the index; the next row overwrites the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

ID_LENGTH = 64
"""Length of a SHA-256 in hex."""

RESIDENT = 2**28
"""Bytes read through one mapping before it is renewed, because pages that were read count as memory of the process."""


class RowStore:
    """Rows of `shape` and `dtype` in `folder/rows.bin`, and their image ids in `folder/ids.txt`, one per line."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.folder = folder
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.row_bytes = prod(shape) * self.dtype.itemsize
        self.index: dict[str, int] = {}
        self._rows: npt.NDArray[np.generic] | None = None
        self._touched = 0
        self.reload()

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.index

    def __getitem__(self, image_id: str) -> npt.NDArray[np.generic]:
        """Return the row of one image, read-only. KeyError if it is not stored."""
        slot = self.index[image_id]
        if self._rows is None or self._touched > RESIDENT:  # a new mapping holds no pages; the page cache keeps them
            self._rows = np.memmap(self.folder / "rows.bin", self.dtype, "r", shape=(len(self.index), *self.shape))
            self._touched = 0
        self._touched += self.row_bytes
        row: npt.NDArray[np.generic] = self._rows[slot]
        return row

    def take(self, image_ids: Sequence[str]) -> npt.NDArray[np.generic]:
        """Return copies of the rows of images (N, *shape), in order."""
        return np.stack([np.asarray(self[image_id]) for image_id in image_ids])

    def reload(self) -> None:
        """Read the index again; another process may have added rows."""
        try:
            text = (self.folder / "ids.txt").read_text(encoding="ascii")
            complete = (self.folder / "rows.bin").stat().st_size // self.row_bytes
        except FileNotFoundError:
            text, complete = "", 0
        ids = [line for line in text.splitlines(keepends=True) if len(line) == ID_LENGTH + 1 and line.endswith("\n")]
        self.index = {line.strip(): slot for slot, line in enumerate(ids[:complete])}
        self._rows = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the store for appending; other processes wait and then see the new rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            self.reload()
            yield

    def append(self, image_ids: Sequence[str], rows: Iterable[npt.NDArray[np.generic]]) -> None:
        """Append rows for new ids; call it inside `writing` only."""
        start = len(self.index)
        (self.folder / "rows.bin").touch()
        with (self.folder / "rows.bin").open("r+b") as file:
            file.truncate(start * self.row_bytes)
            file.seek(start * self.row_bytes)
            for row in rows:
                assert row.shape == self.shape and row.dtype == self.dtype
                file.write(np.ascontiguousarray(row).data)
            file.flush()
            os.fsync(file.fileno())
        (self.folder / "ids.txt").touch()
        with (self.folder / "ids.txt").open("r+", encoding="ascii") as file:
            file.seek(start * (ID_LENGTH + 1))
            file.truncate()
            file.writelines(f"{image_id}\n" for image_id in image_ids)
        self.index.update((image_id, start + number) for number, image_id in enumerate(image_ids))
        self._rows = None
