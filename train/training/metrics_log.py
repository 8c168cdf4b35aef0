"""The curves of a run as files that grow while it learns."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text

STEP_COLUMNS = ("step", "epoch", "loss", "learning_rate")
EPOCH_COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds", "images_per_second")


def check_tensorboard() -> None:
    """FototecaError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise FototecaError("--tensorboard needs tensorboard", "run: pip install 'fototeca[tensorboard]'")


class TensorBoardLog:
    """TensorBoard's event files of one table, in a folder of their own; what was shown after `keep` is taken back."""

    def __init__(self, folder: Path, keep: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=keep + 1)

    def show(self, kind: str, columns: tuple[str, ...], row: tuple[Any, ...]) -> None:
        """A number for each column, over the first one."""
        for name, value in zip(columns[1:], row[1:], strict=True):
            self.writer.add_scalar(f"{kind}/{name}", value, row[0])

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class MetricsLog:
    """A CSV that grows by a row at a time. On opening, rows after `keep` are dropped: they will be made again.

    Without a path it writes nowhere: of several processes one keeps the books. With `tensorboard` the same numbers are shown
    there, in `tensorboard/` beside the file.
    """

    def __init__(self, path: Path | None, columns: tuple[str, ...], keep: int, *, tensorboard: bool = False) -> None:
        self.file: IO[str] | None = None
        self.board: TensorBoardLog | None = None
        self.columns = columns
        if path is None:
            return
        self.kind = path.stem
        if tensorboard:  # each table counts in its own way, and events are taken back by their count
            self.board = TensorBoardLog(path.parent / "tensorboard" / self.kind, keep)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if keep and path.is_file() else []
        write_text(path, "".join([",".join(columns) + "\n", *lines[1 : keep + 1]]))
        self.file = path.open("a", encoding="utf-8", newline="")

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()
        if self.board:
            self.board.close()

    def write(self, row: tuple[Any, ...]) -> None:
        """Append a row; it is there for readers at once."""
        if self.file:
            writer = csv.writer(self.file, lineterminator="\n")
            writer.writerow([f"{cell:.8g}" if isinstance(cell, float) else cell for cell in row])
            self.file.flush()
        if self.board:
            self.board.show(self.kind, self.columns, row)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal, cells as numbers, without torn ones; none when it is not there yet.

    FototecaError when it cannot be read, or its columns are not those of a journal.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            head, *rows = csv.reader(file)
        if tuple(head) not in (STEP_COLUMNS, EPOCH_COLUMNS):
            raise ValueError
    except (OSError, ValueError, csv.Error):
        raise FototecaError(f"{path} cannot be read", "delete the run's folder and train it again") from None
    return [dict(zip(head, map(_parse_number, row), strict=True)) for row in rows if len(row) == len(head)]


def _parse_number(cell: str) -> float | int:
    """The number in a cell; NaN in one that was damaged."""
    try:
        return int(cell) if cell.lstrip("-").isdigit() else float(cell)
    except ValueError:
        return float("nan")
