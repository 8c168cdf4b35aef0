"""Columns of a label table: the name of the file and its label, by usual headers, by content or as the user states them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fototeca.core.errors import FototecaError
from fototeca.core.file_index import has_image_ending
from fototeca.core.text_tables import Table, TableRow, text_of

_PATH_WORDS = """
path filepath imagepath imgpath ruta rutaarchivo rutaimagen rutadelaimagen
filename file fname imagefile imagefilename imagename imgname archivo nombrearchivo nombredearchivo nombredelarchivo
nombreimagen nombredeimagen nombredelaimagen fichero image img imagen photo picture foto fotografia
imageid imgid idimage idimagen imagenid fileid photoid id uuid name nombre url imageurl
"""
_LABEL_WORDS = """
label labels labelname etiqueta etiquetas category categories categoryname categoria categorias
class classes classname classlabel clase clases target targets tag tags choice groundtruth
species especie breed raza diagnosis diagnostico dx labelid categoryid classid classindex y
"""

PATH_HEADERS = tuple(_PATH_WORDS.split())
"""Headers of names of files, in order of preference, as `normalize_header` writes them."""

LABEL_HEADERS = tuple(_LABEL_WORDS.split())
"""Headers of labels, in order of preference."""

_NO, _YES = ("", "0", "0.0", "false", "no", "falso"), ("1", "1.0", "true", "yes", "si", "verdadero", "x")

ONE_HOT = dict.fromkeys(_NO, False) | dict.fromkeys(_YES, True)
"""Cells of one-hot columns, in lower case and without accents."""

_MAX_TRIED = 500
"""Rows by whose content columns are recognized."""

Test = Callable[[str], bool]


@dataclass(frozen=True)
class Columns:
    """Positions of the columns; `one_hot` has the class of each of its columns. `header`: the first record is one."""

    paths: tuple[int, ...]
    labels: tuple[int, ...] = ()
    one_hot: tuple[tuple[int, str], ...] = ()
    header: bool = True


def find_columns(table: Table, is_file: Test, is_category: Test, stated: str = "") -> Columns:
    """Return the columns of a table.

    Of several columns with a usual header, that with most cells that are files or categories counts. Columns whose header is
    unusual are recognized by such cells; a table without header by its first record.

    Args:
        table: columns and records.
        is_file: True for names of known files.
        is_category: True for names of categories, and for classes that a mapping names.
        stated: the user's choice, as `path=A,label=B`; several `label=` are united.

    Raises:
        FototecaError: a stated column does not exist, or a column cannot be recognized.
    """
    if stated:
        return _find_stated(table, stated)
    header = _has_header(table, is_file, is_category)
    rows = table.rows if header else (TableRow(table.first_line, table.columns), *table.rows)
    tried = rows[:_MAX_TRIED]
    path = _choose_path(table, tried, header, is_file)
    labels = _choose_labels(table, tried, header, path, is_category)
    one_hot = () if labels or not header else _find_one_hot(table, tried, path, is_category)
    if not labels and not one_hot:
        hint = f"it has: {_listed(table.columns)}; name its columns: --columns path=COLUMN,label=COLUMN"
        raise FototecaError(f"{table.name} has no column of labels", hint)
    return Columns((path,), labels, one_hot, header)


def normalize_header(text: str) -> str:
    """Return a header in lower case, without accents, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", plain_text(text))


def plain_text(text: str) -> str:
    """Return text in lower case without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter))


def _find_stated(table: Table, stated: str) -> Columns:
    """Return the columns that `path=A,label=B` names, by header or, for a table without one, by number from 1."""
    by_header = {normalize_header(name): index for index, name in reversed(list(enumerate(table.columns)))}
    chosen: dict[str, list[int]] = {"path": [], "label": []}
    numbers = 0
    for part in stated.split(","):
        kind, _, name = part.partition("=")
        if kind.strip() not in chosen or not name.strip():
            raise FototecaError(f"--columns {stated!r} is invalid", "write: --columns path=COLUMN,label=COLUMN")
        index = by_header.get(normalize_header(name))
        if index is None and name.strip().isdecimal() and 0 < int(name) <= len(table.columns):
            index, numbers = int(name) - 1, numbers + 1
        if index is None:
            raise FototecaError(f"{table.name} has no column {name.strip()!r}", f"it has: {_listed(table.columns)}")
        chosen[kind.strip()].append(index)
    if not chosen["path"] or not chosen["label"]:
        raise FototecaError(f"--columns {stated!r} is incomplete", "write: --columns path=COLUMN,label=COLUMN")
    return Columns(tuple(chosen["path"]), tuple(chosen["label"]), header=not numbers or _has_usual_header(table))


def _has_usual_header(table: Table) -> bool:
    return any(_base(name) in {*PATH_HEADERS, *LABEL_HEADERS} for name in table.columns)


def _has_header(table: Table, is_file: Test, is_category: Test) -> bool:
    """Return False if the first record has the name of an image, or of two columns the second holds categories from there."""
    if not table.delimiter or _has_usual_header(table):
        return True
    if any(is_file(cell) or has_image_ending(cell) for cell in table.columns):
        return False
    is_pair = len(table.columns) == 2 and is_category(table.columns[1])
    return not (is_pair and any(is_category(text_of(row.cells[1])) for row in table.rows[:_MAX_TRIED]))


def _base(header: str) -> str:
    """Return a normalized header without a number at its end: `label_2` is a label."""
    normalized = normalize_header(header)
    return normalized.rstrip("0123456789") or normalized


def _choose_path(table: Table, rows: Sequence[TableRow], header: bool, is_file: Test) -> int:
    """Return the column with most names of files; of equal ones that with the most usual header."""
    width = range(len(table.columns))
    usual = {
        index: PATH_HEADERS.index(name) for index in width if (name := normalize_header(table.columns[index])) in PATH_HEADERS
    }
    files = {index: _count(rows, index, is_file) for index in (usual if header and usual else width)}
    endings = {index: _count(rows, index, has_image_ending) for index in files}  # classes may be numbers, as files are
    best = min(files, key=lambda index: (-files[index], usual.get(index, len(PATH_HEADERS)), -endings[index], index), default=0)
    if not usual and not files.get(best):
        hint = f"it has: {_listed(table.columns)}; name its columns: --columns path=COLUMN,label=COLUMN"
        raise FototecaError(f"{table.name} has no column of file names", hint)
    return best


def _choose_labels(table: Table, rows: Sequence[TableRow], header: bool, path: int, is_category: Test) -> tuple[int, ...]:
    """Return the columns of labels: numbered columns of one header, else a single column."""
    others = [index for index in range(len(table.columns)) if index != path]
    names = {index: _base(table.columns[index]) for index in others}
    usual = [index for index in others if header and names[index] in LABEL_HEADERS]
    if not header and len(others) == 1:
        return (others[0],)
    hits = {index: _count(rows, index, is_category) for index in usual or others}
    if not usual and not any(hits.values()):
        return ()
    best = min(hits, key=lambda index: (-hits[index], LABEL_HEADERS.index(names[index]) if usual else 0, index))
    if not usual:
        return (best,)
    numbered = normalize_header(table.columns[best]) != names[best]
    return tuple(index for index in usual if names[index] == names[best]) if numbered else (best,)


def _find_one_hot(table: Table, rows: Sequence[TableRow], path: int, is_category: Test) -> tuple[tuple[int, str], ...]:
    """Return the columns of zeros and ones, if one of them is a category. FototecaError if a category has other cells."""
    found = []
    has_category = False
    for index, name in enumerate(table.columns):
        if index == path:
            continue
        cells = {plain_text(text_of(row.cells[index])) for row in rows if not row.is_empty}
        if cells <= ONE_HOT.keys() and (cells != {""} or is_category(name)):
            found.append((index, name))
            has_category |= is_category(name)
        elif is_category(name):
            cell = min(cells - ONE_HOT.keys())
            hint = "write 0 or 1, or name its columns: --columns path=COLUMN,label=COLUMN"
            raise FototecaError(f"{table.name}: column {name!r} has {cell!r}, neither 0 nor 1", hint)
    return tuple(found) if has_category else ()


def _count(rows: Iterable[TableRow], index: int, test: Test) -> int:
    return sum(test(text) for row in rows if (text := text_of(row.cells[index])))


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")
