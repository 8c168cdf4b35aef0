"""Read JSON, TOML and CSV files that other people may have made, by the kinds of their values.

Versions, runs, stored results and the catalog's JSON values are read here, so that a damaged or hostile file is one line that
names the file, the line, the field and the value.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.core.kinds import Kind, Problem, shorten

MAX_BYTES = 1 << 30
"""Largest file that is read whole."""

MAX_PROBLEMS = 100
"""Problems of one file that are listed; reading stops there."""

MAX_CELL = 10_000_000
"""Characters of one CSV cell."""


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file by column, and its problems, each with its line. Only a table without problems is complete."""

    rows: list[dict[str, Any]] = field(repr=False)
    problems: list[str]


RowCheck = Callable[[dict[str, Any]], Iterable[Problem]]


@dataclass(frozen=True)
class Document:
    """A file that another person may have made. `name` and `hint` are what errors say: its name, and what to do."""

    path: Path
    name: str
    hint: str

    def error(self, *problems: object) -> FototecaError:
        """Return the error of a file with these problems: the first one, and how many more there are."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return FototecaError(self.describe(problems[:1])[0] + more, self.hint)

    def describe(self, problems: Iterable[object]) -> list[str]:
        """Return problems with the name of the file: `manifests/v001.csv, line 2: split is …`."""
        texts = map(str, problems)
        return [f"{self.name}{', ' if text.startswith('line ') else ': '}{text}" for text in texts]

    def read(self) -> bytes:
        """Return the bytes. FototecaError if the file is missing, no regular file, or larger than MAX_BYTES."""
        try:
            return read_regular_file(self.path)
        except FileNotFoundError:
            raise FototecaError(f"{self.name} is missing", self.hint) from None
        except (OSError, ValueError) as error:
            raise FototecaError(f"{self.name} cannot be read: {getattr(error, 'strerror', None) or error}", self.hint) from None

    def read_text(self) -> str:
        """Return the text. FototecaError as `read`, or if it is not UTF-8."""
        try:
            return self.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FototecaError(f"{self.name} cannot be read: byte {error.start} is not UTF-8", self.hint) from None

    def json(self, kind: Kind) -> Any:  # noqa: ANN401  (of the kind)
        """Return the content of a JSON file. FototecaError names the first value that is not of its kind."""
        return self._checked(parse_json, kind)

    def toml(self, kind: Kind) -> Any:  # noqa: ANN401  (of the kind)
        """Return the content of a TOML file. FototecaError names the first value that is not of its kind."""
        return self._checked(parse_toml, kind)

    def rows(self, columns: Mapping[str, Kind], check: RowCheck | None = None) -> list[dict[str, Any]]:
        """Return the rows of a CSV file: see `read_table`. FototecaError names the first wrong line, field and value."""
        table = read_table(self.read(), columns, check)
        if table.problems:
            raise self.error(*table.problems)
        return table.rows

    def _checked(self, parse: Callable[[str], object], kind: Kind) -> object:
        text = self.read_text()
        try:
            value = parse(text)
        except ValueError as error:
            raise FototecaError(f"{self.name} cannot be read: {error}", self.hint) from None
        if problem := next(kind.problems(value), None):
            raise self.error(problem)
        return value


def read_regular_file(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no regular file, which could block or never end, or is larger than `limit` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is no regular file")
        if facts.st_size > limit:
            raise ValueError(f"it has {facts.st_size:,} bytes, more than {limit:,}")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    return data


def parse_json(text: str | bytes) -> object:
    """Return the value of a JSON text. ValueError, in one line, if it is invalid, not UTF-8, or nested too deeply."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is not valid JSON ({error.msg})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise ValueError("its lists or objects are nested too deeply") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number of JSON")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text. ValueError, in one line, if it is invalid or nested too deeply."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("its lists or tables are nested too deeply") from None


def parse_csv(text: str, **form: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401  (of csv.reader)
    """Yield the rows of a CSV text that have cells, each with its first line. `form`: options of csv.reader.

    ValueError, with the line, if the text is malformed.
    """
    old_limit = csv.field_size_limit(MAX_CELL)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), **form)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"line {line} is not valid CSV ({error})") from None
    finally:
        csv.field_size_limit(old_limit)


def read_table(content: bytes, columns: Mapping[str, Kind], check: RowCheck | None = None) -> Table:
    """Return the rows of a CSV file that has exactly these columns, in this order, with their values checked.

    `check`: yields further problems of a row whose values are all of their kinds.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    try:
        lines = parse_csv(content.decode("utf-8"))
        _, head = next(lines, (1, []))
        if head != list(columns):
            return Table(rows, [f"line 1: the columns are {shorten(','.join(head))}, not {','.join(columns)}"])
        kinds = [kind.from_cell for kind in columns.values()]
        for line, cells in lines:
            if len(cells) != len(columns):
                problems.append(f"line {line}: it has {len(cells)} cells, not {len(columns)}")
            else:
                row = {name: parse(cell) for name, parse, cell in zip(columns, kinds, cells, strict=True)}
                wrong = row_problems(row, columns, check)
                problems += [f"line {line}: {problem}" for problem in wrong]
                rows.append(row)
            if len(problems) >= MAX_PROBLEMS:
                problems[MAX_PROBLEMS - 1 :] = [f"line {line}: further lines were not checked"]
                break
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(f"line {line}: it is not UTF-8")
    except ValueError as error:
        problems.append(str(error))
    return Table(rows, problems)


def row_problems(row: dict[str, Any], columns: Mapping[str, Kind], check: RowCheck | None = None) -> list[Problem]:
    """Return what is wrong with the values of a row; `check` is asked only where each is of its kind."""
    wrong = [Problem(name, row[name], kind.expected) for name, kind in columns.items() if not kind.accepts(row[name])]
    return wrong if wrong or check is None else list(check(row))
