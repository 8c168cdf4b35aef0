"""The curves of a run as CSV files that grow during training, and optionally as TensorBoard events."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from fototeca.core.documents import parse_csv, read_regular_file
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text

STEP_COLUMNS = ("step", "epoch", "loss", "learning_rate")
EPOCH_COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "images_per_second")


def check_tensorboard() -> None:
    """FototecaError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise FototecaError("--tensorboard needs tensorboard", "run: pip install 'fototeca[tensorboard]'")


class TensorBoardLog:
    """TensorBoard's event files of one table, in a folder of their own; events after `keep` are purged."""

    def __init__(self, folder: Path, keep: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=keep + 1)

    def write(self, table: str, columns: tuple[str, ...], row: tuple[Any, ...]) -> None:
        """Write a scalar for each column after the first, which is the step."""
        for name, value in zip(columns[1:], row[1:], strict=True):
            self.writer.add_scalar(f"{table}/{name}", value, row[0])

    def close(self) -> None:
        """Write what is buffered."""
        self.writer.close()


class MetricsLog:
    """A CSV file to which rows are appended. Opening it drops rows after `keep`, which a resumed run writes again.

    Without a path nothing is written: only the first of several processes has a log. With `tensorboard` the same numbers go to
    `tensorboard/` beside the file.
    """

    def __init__(self, path: Path | None, columns: tuple[str, ...], keep: int, *, tensorboard: bool = False) -> None:
        self.file: IO[str] | None = None
        self.tensorboard: TensorBoardLog | None = None
        self.columns = columns
        if path is None:
            return
        self.table = path.stem
        if tensorboard:  # one folder per table: their steps differ, and events are purged by step
            self.tensorboard = TensorBoardLog(path.parent / "tensorboard" / self.table, keep)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if keep and path.is_file() else []
        write_text(path, "".join([",".join(columns) + "\n", *lines[1 : keep + 1]]))
        self.file = path.open("a", encoding="utf-8", newline="")

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()
        if self.tensorboard:
            self.tensorboard.close()

    def write(self, row: tuple[Any, ...]) -> None:
        """Append a row and flush it."""
        if self.file:
            writer = csv.writer(self.file, lineterminator="\n")
            writer.writerow([f"{cell:.8g}" if isinstance(cell, float) else cell for cell in row])
            self.file.flush()
        if self.tensorboard:
            self.tensorboard.write(self.table, self.columns, row)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the complete rows of a metrics CSV as numbers; an empty list if the file does not exist.

    FototecaError if it cannot be read or has other columns.
    """
    if not path.is_file():
        return []
    try:
        lines = [cells for _, cells in parse_csv(read_regular_file(path).decode("utf-8", "replace"))]
        head, *rows = lines
        if tuple(head) not in (STEP_COLUMNS, EPOCH_COLUMNS):
            raise ValueError
    except (OSError, ValueError):
        raise FototecaError(f"{path} cannot be read", "delete the run's folder and train it again") from None
    return [dict(zip(head, map(_parse_number, row), strict=True)) for row in rows if len(row) == len(head)]


def _parse_number(cell: str) -> float | int:
    """Return the number in a cell; NaN for a damaged one."""
    try:
        return int(cell) if cell.lstrip("-").isdigit() else float(cell)
    except ValueError:
        return float("nan")
