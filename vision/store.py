"""Rows of one shape by image id in one growing, memory-mapped file: the form of every cache of decoded or computed values.

Data first, flushed to disk, then the ids: after a kill the file may be longer than the index, and the next row overwrites that.
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
"""Characters of a SHA-256 in hex."""

RESIDENT = 2**28
"""Bytes of rows that are looked at through one mapping: the pages of every row seen count as the process's own memory."""


class RowStore:
    """`folder/rows.bin` holds rows of `shape` and `dtype`; `folder/ids.txt` their image ids, one a line, in the same order."""

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
        """The image's row, read-only; KeyError when it is not there."""
        slot = self.index[image_id]
        if self._rows is None or self._touched > RESIDENT:  # a fresh mapping has no pages; the system's cache keeps them
            self._rows = np.memmap(self.folder / "rows.bin", self.dtype, "r", shape=(len(self.index), *self.shape))
            self._touched = 0
        self._touched += self.row_bytes
        row: npt.NDArray[np.generic] = self._rows[slot]
        return row

    def take(self, image_ids: Sequence[str]) -> npt.NDArray[np.generic]:
        """The images' rows, copied to memory, in order."""
        return np.stack([np.asarray(self[image_id]) for image_id in image_ids])

    def reload(self) -> None:
        """Read the index again: another process may have added rows."""
        try:
            text = (self.folder / "ids.txt").read_text(encoding="ascii")
            whole = (self.folder / "rows.bin").stat().st_size // self.row_bytes
        except FileNotFoundError:
            text, whole = "", 0
        ids = [line for line in text.splitlines(keepends=True) if len(line) == ID_LENGTH + 1 and line.endswith("\n")]
        self.index = {line.strip(): slot for slot, line in enumerate(ids[:whole])}
        self._rows = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store: one process adds rows at a time, the others wait and then find them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            self.reload()
            yield

    def append(self, image_ids: Sequence[str], rows: Iterable[npt.NDArray[np.generic]]) -> None:
        """Add rows for ids that are new. Only within `writing`."""
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
