"""The curves of a run as files that grow while it learns."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import IO, Any

from workspace import write_text

STEP_COLUMNS = ("step", "epoch", "loss", "learning_rate")
EPOCH_COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "images_per_second")


class Journal:
    """A CSV that grows by a row at a time. On opening, rows after `keep` are dropped: they will be made again.

    Without a path it writes nowhere: of several processes one keeps the books.
    """

    def __init__(self, path: Path | None, columns: tuple[str, ...], keep: int) -> None:
        self.file: IO[str] | None = None
        if path is None:
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if keep and path.is_file() else []
        write_text(path, "".join([",".join(columns) + "\n", *lines[1 : keep + 1]]))
        self.file = path.open("a", encoding="utf-8", newline="")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()

    def write(self, row: tuple[Any, ...]) -> None:
        """Append a row; it is there for readers at once."""
        if self.file:
            writer = csv.writer(self.file, lineterminator="\n")
            writer.writerow([f"{cell:.8g}" if isinstance(cell, float) else cell for cell in row])
            self.file.flush()
