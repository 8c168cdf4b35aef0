"""The label file in a zip file or folder, as annotation programs download them."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.text_tables import MAX_TABLE_BYTES
from fototeca.vision.image_files import find_files, is_junk

LABEL_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".xml", ".parquet", ".txt")
"""Endings of label files."""

_KNOWN = ("annotations.xml", "samples.json", "labels.json")
"""Names of the label files of CVAT and FiftyOne, which write others beside them."""

_FAULTS = (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error, OSError)
_HINT = "give the label file itself"


@contextmanager
def open_label_file(path: Path) -> Iterator[Path]:
    """Yield the path itself, or the one label file of a folder or zip file; that of a zip file is temporary.

    FototecaError if there is none or several, or the zip file is damaged.
    """
    if path.is_dir():
        names = find_files(path, PassedOver(), lambda name: "" if name.lower().endswith(LABEL_SUFFIXES) else "data")
        yield path / _choose(names, path)
    elif path.is_file() and zipfile.is_zipfile(path) and not _is_spreadsheet(path):
        with tempfile.TemporaryDirectory(prefix="fototeca-") as folder:
            yield _extract(path, Path(folder))
    else:
        yield path


def _choose(names: Sequence[str], path: Path) -> str:
    """Return the only label file: one of a known name, else any; a text file, such as a README, counts last."""
    known = [name for name in names if PurePosixPath(name).name.lower() in _KNOWN]
    chosen = known or [name for name in names if not name.lower().endswith(".txt")] or list(names)
    if len(chosen) != 1:
        listed = ", ".join(chosen[:5]) or "none"
        raise FototecaError(f"{path} has {count_of(len(chosen), 'label file')}: {listed}", _HINT)
    return chosen[0]


def _is_spreadsheet(path: Path) -> bool:
    """Return True for an Excel or OpenDocument file, which is a zip file too."""
    with zipfile.ZipFile(path) as archive:
        return not {"[Content_Types].xml", "mimetype"}.isdisjoint(archive.namelist())


def _extract(path: Path, folder: Path) -> Path:
    """Write the label file of a zip file below a folder, within MAX_TABLE_BYTES."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info.filename for info in archive.infolist() if not info.is_dir() and not is_junk(info.filename)]
            name = _choose([name for name in files if name.lower().endswith(LABEL_SUFFIXES)], path)
            if archive.getinfo(name).file_size > MAX_TABLE_BYTES:
                raise FototecaError(f"{name} in {path} has more than {MAX_TABLE_BYTES >> 20} MiB", "split it")
            target = folder / (PurePosixPath(name.replace("\\", "/")).name or "labels")
            with archive.open(name) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
            return target
    except _FAULTS as error:
        raise FototecaError(f"{path} cannot be unpacked: {error}", "get the file again, without a password") from None
