"""Rows of label tables: the categories of each, the file that each means, and an outcome for every row."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from fototeca.core.class_mapping import category_spellings, find_category
from fototeca.core.file_index import NO_MATCH, FileMatch
from fototeca.core.label_columns import ONE_HOT, Columns, plain_text
from fototeca.core.results import Result
from fototeca.core.settings import LABEL_SEPARATOR, Settings, to_nfc
from fototeca.core.text_tables import Table, TableRow, text_of

RowOutcome = Literal["applied", "conflicting", "ambiguous", "unmatched", "other-class", "no-label", "malformed"]

OUTCOME_TEXTS: dict[RowOutcome, str] = {
    "conflicting": "contradict another row of the same image, or give several labels",
    "ambiguous": "name several files",
    "unmatched": "name no file",
    "other-class": "name another class than the categories",
    "no-label": "have no label",
    "malformed": "have too few or too many cells, or are empty",
}
"""Text of each outcome other than `applied`."""


@dataclass(frozen=True)
class LabelRow:
    """One row of a label file, before its names and classes are looked up.

    `names` are tried in order. `classes` are the row's labels as written. `is_none_meant`: no class means an image without any
    category, as in one-hot columns of a multi-label task, and not a missing label.
    """

    line: int
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    is_none_meant: bool = False
    problem: str = ""

    @property
    def name(self) -> str:
        """Return the first name."""
        return self.names[0] if self.names else ""


@dataclass(frozen=True)
class LabelledRow(Result):
    """A row with its outcome. `target`: the file or image that it means, if exactly one. `label`: categories joined by `|`."""

    line: int
    name: str
    outcome: RowOutcome
    label: str = ""
    target: str = ""
    detail: str = ""

    def text(self) -> str:
        """Return line, name and detail, for people."""
        return f"line {self.line}" + (f": {self.name}" if self.name else "") + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class LabelAssignment:
    """Outcome of every row of a label file, in their order, and the label of each file that they label."""

    rows: tuple[LabelledRow, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label by target; `reject:REASON` for a rejection."""

    def count(self, outcome: RowOutcome) -> int:
        """Return the number of rows with this outcome."""
        return sum(row.outcome == outcome for row in self.rows)

    def counts(self) -> dict[RowOutcome, int]:
        """Return the number of rows of each outcome that occurs, most first."""
        return dict(Counter(row.outcome for row in self.rows).most_common())

    def of(self, outcome: RowOutcome) -> list[LabelledRow]:
        """Return the rows with this outcome."""
        return [row for row in self.rows if row.outcome == outcome]


class Classes:
    """The category of each class name in a file: by a mapping, by its exact name, or but for spelling."""

    def __init__(
        self,
        settings: Settings,
        mapping: Mapping[str, str] = MappingProxyType({}),
        *,
        rejection_of: Callable[[str], str] = lambda label: "",
    ) -> None:
        """Prepare a search for categories.

        Args:
            settings: categories of the workspace.
            mapping: category of each class name, "" for classes to leave out.
            rejection_of: returns `reject` or `reject:REASON` for a label that rejects an image, "" for others.
        """
        self.settings = settings
        self._rejection_of = rejection_of
        self._mapping = {to_nfc(name): category for name, category in mapping.items()}
        self._spellings = category_spellings(settings)

    def find(self, name: str) -> str:
        """Return the category of a class, "" if it has none; `reject` or `reject:REASON` for a rejection."""
        text = to_nfc(name.strip())
        for key in (text, re.sub(r"\.0+$", "", text)):  # a number that a spreadsheet made a decimal
            if key in self._mapping:
                return self._mapping[key]
        if text in self.settings.names:
            return text
        return find_category(text, self._spellings) or self._rejection_of(text)

    def is_rejection(self, label: str) -> bool:
        """Return True for a result of `find` that is a rejection, and no category."""
        return label not in self.settings.names and bool(self._rejection_of(label))

    def knows(self, name: str) -> bool:
        """Return True for a name of a category, and for a class that the mapping names."""
        return bool(self.find(name)) or to_nfc(name.strip()) in self._mapping or self._is_joined(name)

    def split(self, cell: str) -> tuple[str, ...]:
        """Return the class names in a cell: one, or several of a list, joined by `|`, or by `;` or `,` if each is known."""
        text = cell.strip()
        if text[:1] in "[{(":
            return tuple(_names_in_list(text))
        if self.find(text) or LABEL_SEPARATOR not in text:
            return tuple(_parts(text, self._joined_by(text))) if text else ()
        return tuple(_parts(text, LABEL_SEPARATOR))

    def join(self, names: Sequence[str]) -> tuple[str, RowOutcome]:
        """Return the label that class names make together, and whether it can be applied."""
        if not names:
            return "", "no-label"
        labels = {label for name in names if (label := self.find(name))}
        rejections = {label for label in labels if self.is_rejection(label)}
        categories = {name for label in labels - rejections for name in label.split(LABEL_SEPARATOR)}
        if not labels:
            return "", "other-class"
        if len(rejections) + bool(categories) > 1 or (len(categories) > 1 and self.settings.task == "single"):
            return "", "conflicting"
        return LABEL_SEPARATOR.join(sorted(rejections or categories)), "applied"

    def _joined_by(self, text: str) -> str:
        """Return `;` or `,` if it joins several known classes, else ""."""
        if self.find(text) or to_nfc(text) in self._mapping:
            return ""
        return next((mark for mark in ";," if mark in text and all(map(self.find, _parts(text, mark)))), "")

    def _is_joined(self, text: str) -> bool:
        mark = LABEL_SEPARATOR if LABEL_SEPARATOR in text else self._joined_by(text)
        return bool(mark) and all(map(self.find, _parts(text, mark)))


def _parts(text: str, mark: str) -> list[str]:
    return [part.strip() for part in text.split(mark) if part.strip()] if mark else [text]


def _names_in_list(text: str) -> Iterator[str]:
    """Yield the names in a list as JSON or Python writes it, or in `{"choices": [...]}`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = [part.strip(" \t\"'") for part in text.strip("[](){}").split(",")]
    yield from names_in(value)


def names_in(value: object) -> Iterator[str]:
    """Yield the class names in a JSON value: a text or number, a list, or a mapping with a list."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from names_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from names_in(item)
    elif value is not None and str(value).strip():
        yield str(value).strip()


def read_label_rows(table: Table, columns: Columns, classes: Classes) -> list[LabelRow]:
    """Return one LabelRow for each record of a table, and for each broken line of JSON Lines."""
    records = table.rows if columns.header else (TableRow(table.first_line, table.columns), *table.rows)
    rows = [_read_row(record, columns, classes) for record in records]
    rows += [LabelRow(line, (), problem="no JSON object") for line in table.broken_lines]
    return sorted(rows, key=lambda row: row.line)


def _read_row(record: TableRow, columns: Columns, classes: Classes) -> LabelRow:
    names = tuple(name for index in columns.paths if (name := text_of(record.cells[index])))
    if record.is_empty or not names:
        return LabelRow(record.line, names, problem="empty" if record.is_empty else "no file name")
    if record.is_long:
        return LabelRow(record.line, names, problem="too many cells")
    if columns.one_hot:
        wrong = next(
            (cell for index, _ in columns.one_hot if (cell := text_of(record.cells[index])) and plain_text(cell) not in ONE_HOT),
            "",
        )
        if wrong:
            return LabelRow(record.line, names, problem=f"{wrong!r} is neither 0 nor 1")
        chosen = [name for index, name in columns.one_hot if ONE_HOT[plain_text(text_of(record.cells[index]))]]
        known = [name for name in chosen if classes.find(name)]
        return LabelRow(record.line, names, tuple(known or chosen), is_none_meant=True)
    cells = [record.cells[index] for index in columns.labels]
    if record.is_cut and not any(map(text_of, cells)):
        return LabelRow(record.line, names, problem="too few cells")
    found = [name for cell in cells for name in (classes.split(cell) if isinstance(cell, str) else names_in(cell))]
    return LabelRow(record.line, names, tuple(dict.fromkeys(found)))


def assign_labels(rows: Sequence[LabelRow], find: Callable[[str], FileMatch], classes: Classes) -> LabelAssignment:
    """Return the outcome of every row and the label of each file.

    Rows of one file unite in multi-label tasks; in single-label tasks they must agree. Classes that match no category are left
    out; a row with no other class has the outcome `other-class`.

    Args:
        rows: rows of the label file.
        find: returns the files that a name may mean.
        classes: categories of the class names.
    """
    matches = [next((match for name in row.names if (match := find(name)).targets), NO_MATCH) for row in rows]
    outcomes = [_look_up(row, match, classes) for row, match in zip(rows, matches, strict=True)]
    by_target: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(outcomes):
        if row.target:
            by_target[row.target].append(index)
    labels: dict[str, str] = {}
    for target, indices in by_target.items():
        dropped = {matches[index].dropped for index in indices} - {()}
        if len(dropped) > 1:  # a/1.jpg and b/1.jpg, where only 1.jpg exists
            for index in indices:
                if matches[index].dropped:
                    outcomes[index] = replace(outcomes[index], outcome="ambiguous", target="", detail=f"{len(dropped)} folders")
            indices = [index for index in indices if not matches[index].dropped]
        _unite(target, indices, outcomes, labels, classes)
    return LabelAssignment(tuple(outcomes), labels)


def _look_up(row: LabelRow, match: FileMatch, classes: Classes) -> LabelledRow:
    if row.problem:
        return LabelledRow(row.line, row.name, "malformed", detail=row.problem)
    label, outcome, detail = _label_of(row, classes)
    if len(match.targets) == 1:
        return LabelledRow(row.line, row.name, outcome, label, match.targets[0], detail)
    if not match.targets:
        return LabelledRow(row.line, row.name, "unmatched", label)
    return LabelledRow(row.line, row.name, "ambiguous", label, detail=f"{len(match.targets)} files")


def _label_of(row: LabelRow, classes: Classes) -> tuple[str, RowOutcome, str]:
    """Return label, outcome and detail of a row whose file is known."""
    if not row.classes and row.is_none_meant and classes.settings.task == "multi":
        return "", "applied", ""
    label, outcome = classes.join(row.classes)
    return label, outcome, "" if outcome in ("applied", "no-label") else ", ".join(row.classes)


def _unite(target: str, indices: list[int], rows: list[LabelledRow], labels: dict[str, str], classes: Classes) -> None:
    """Set the label of one file, or turn the rows that label it into conflicts."""
    labelling = [index for index in indices if rows[index].outcome in ("applied", "conflicting")]
    stated = {rows[index].label for index in labelling}
    can_unite = classes.settings.task == "multi" and not any(map(classes.is_rejection, stated))
    if any(rows[index].outcome == "conflicting" for index in labelling) or (len(stated) > 1 and not can_unite):
        for index in labelling:
            row = rows[index]
            others = [rows[other] for other in labelling if rows[other].label != row.label]
            detail = row.detail or f"{row.label}; " + ", ".join(
                f"line {other.line}: {other.label or other.detail}" for other in others
            )
            rows[index] = replace(row, outcome="conflicting", detail=detail)
    elif labelling:
        labels[target] = LABEL_SEPARATOR.join(sorted({name for label in stated for name in label.split(LABEL_SEPARATOR) if name}))
