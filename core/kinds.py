"""Kinds of values, from which the forms of files that other people may have made are declared.

A form is a kind: `Record` of `Text`, `Integer`, `ListOf` and so on. `core.documents` reads files by their forms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR, check_name

MAX_SHOWN = 60
"""Characters of a wrong value that an error shows."""

MAX_TEXT = 100_000
"""Longest text in characters, unless a kind has its own limit."""

MAX_COUNT = 2**53
"""Largest number of anything: larger integers do not survive JSON and floating point."""

MISSING = object()
"""Value of a key that is not there."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """A value that is not of its kind. `field`: its name, with the keys and positions below it; `expected`: what it should be."""

    field: str
    value: object
    expected: str

    def __str__(self) -> str:
        field = self.field or "the content"
        return f"{field} is missing" if self.value is MISSING else f"{field} is {shorten(self.value)}, not {self.expected}"


class Kind:
    """Base of the kinds. `expected` completes the sentence "the value is 7, not …"."""

    expected: str = "a value"

    def accepts(self, value: object) -> bool:
        """Return True if `value` is of this kind."""
        raise NotImplementedError

    def problems(self, value: object, field: str = "") -> Iterator[Problem]:
        """Yield what is wrong with `value`, each with the name of its field."""
        if not self.accepts(value):
            yield Problem(field, value, self.expected)

    def from_cell(self, cell: str) -> object:
        """Return the value of a CSV cell; the text itself where it is no value of this kind, which `accepts` then refuses."""
        return cell


@dataclass(frozen=True)
class Text(Kind):
    """Text that UTF-8 can store. `pattern`: a regular expression for all of it; `check`: a further condition."""

    pattern: str = ""
    expected: str = "text"
    max_length: int = MAX_TEXT
    check: Callable[[str], bool] | None = None

    def accepts(self, value: object) -> bool:
        """Return True for text within the length that fits pattern and condition."""
        if not isinstance(value, str) or len(value) > self.max_length or _UNSTORABLE.search(value):
            return False
        return (not self.pattern or bool(re.fullmatch(self.pattern, value))) and (self.check is None or self.check(value))


@dataclass(frozen=True)
class Choice(Kind):
    """One of some texts."""

    values: tuple[str, ...]

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The values, for people."""
        *head, last = (value or "empty" for value in self.values)
        return f"{', '.join(head)} or {last}" if head else last

    def accepts(self, value: object) -> bool:
        """Return True for one of the texts."""
        return isinstance(value, str) and value in self.values


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int = MAX_COUNT

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The range, for people."""
        return f"a whole number from {self.low} to {self.high}"

    def accepts(self, value: object) -> bool:
        """Return True for an int in the range; True and False are none."""
        return type(value) is int and self.low <= value <= self.high

    def from_cell(self, cell: str) -> object:
        """Return the number in a cell."""
        return int(cell) if re.fullmatch(r"-?(0|[1-9]\d{0,17})", cell, re.ASCII) else cell


@dataclass(frozen=True)
class Number(Kind):
    """A finite number from `low` to `high`."""

    low: float = -1e300
    high: float = 1e300

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The range, for people."""
        return f"a number from {self.low:g} to {self.high:g}"

    def accepts(self, value: object) -> bool:
        """Return True for an int or float in the range; True, False, NaN and infinity are none."""
        return type(value) in (int, float) and self.low <= value <= self.high  # type: ignore[operator]

    def from_cell(self, cell: str) -> object:
        """Return the number in a cell."""
        try:
            value = float(cell)
        except ValueError:
            return cell
        return value if math.isfinite(value) else cell


@dataclass(frozen=True)
class Flag(Kind):
    """True or false; in CSV `yes` or `no`."""

    expected: str = "yes or no"

    def accepts(self, value: object) -> bool:
        """Return True for a bool."""
        return isinstance(value, bool)

    def from_cell(self, cell: str) -> object:
        """Return True for yes and False for no."""
        return {"yes": True, "no": False}.get(cell, cell)


@dataclass(frozen=True)
class Anything(Kind):
    """A value that nothing is done with but to show or compare it."""

    def accepts(self, value: object) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class Optional(Kind):
    """A value of a kind, or null."""

    kind: Kind

    def accepts(self, value: object) -> bool:
        """Return True for None and for values of the kind."""
        return not any(self.problems(value))

    def problems(self, value: object, field: str = "") -> Iterator[Problem]:
        """Yield the problems of a value that is not None."""
        if value is not None:
            for problem in self.kind.problems(value, field):
                yield Problem(problem.field, problem.value, f"{problem.expected} or null")


@dataclass(frozen=True)
class ListOf(Kind):
    """A list of `low` to `high` values of a kind; `unique`: each once."""

    kind: Kind
    low: int = 0
    high: int = MAX_COUNT
    unique: bool = False

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The length, for people."""
        length = f" of {self.low}" if self.low == self.high else f" of {self.low} or more" if self.low else ""
        return f"a list{length}"

    def accepts(self, value: object) -> bool:
        """Return True for a list of values of the kind."""
        return not any(self.problems(value))

    def problems(self, value: object, field: str = "") -> Iterator[Problem]:
        """Yield the problems of the list, else of its items."""
        if not isinstance(value, list) or not self.low <= len(value) <= self.high:
            yield Problem(field, value, self.expected)
            return
        for index, item in enumerate(value):
            yield from self.kind.problems(item, f"{field}[{index}]")
        if self.unique and len({repr(item) for item in value}) < len(value):
            yield Problem(field, value, "a list without duplicates")


@dataclass(frozen=True)
class MapOf(Kind):
    """An object whose keys are of one kind and whose values are of another."""

    key: Kind
    kind: Kind
    expected: str = "an object"

    def accepts(self, value: object) -> bool:
        """Return True for an object of such keys and values."""
        return not any(self.problems(value))

    def problems(self, value: object, field: str = "") -> Iterator[Problem]:
        """Yield the problems of the keys and values."""
        if not isinstance(value, dict):
            yield Problem(field, value, self.expected)
            return
        for name, item in value.items():
            yield from self.key.problems(name, f"a key of {field or 'the content'}")
            yield from self.kind.problems(item, f"{field}.{shorten(name)}" if field else shorten(name))


@dataclass(frozen=True)
class Record(Kind):
    """An object with certain keys. Keys that are in neither mapping are ignored: a later release may write them."""

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    expected: str = "an object"

    def accepts(self, value: object) -> bool:
        """Return True for an object with the required keys, whose values are of their kinds."""
        return not any(self.problems(value))

    def problems(self, value: object, field: str = "") -> Iterator[Problem]:
        """Yield the missing keys and the problems of the values."""
        if not isinstance(value, Mapping):
            yield Problem(field, value, self.expected)
            return
        for name, kind in {**self.required, **self.optional}.items():
            place = f"{field}.{name}" if field else name
            if name in value:
                yield from kind.problems(value[name], place)
            elif name in self.required:
                yield Problem(place, MISSING, kind.expected)


def shorten(value: object) -> str:
    """Return a value as one line of at most MAX_SHOWN characters; what does not print is escaped."""
    try:
        text = repr(value[: 2 * MAX_SHOWN] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError):  # integers of thousands of digits; nested lists
        text = f"a value of type {type(value).__name__}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


@lru_cache(maxsize=4096)
def is_valid_name(name: str) -> bool:
    """Return True for a valid name of a category or dataset, which is then also a name of a file or folder."""
    try:
        return check_name(name, "category") == name
    except FototecaError:
        return False


@lru_cache(maxsize=4096)
def is_time(text: str) -> bool:
    """Return True for a time in ISO 8601 that exists, in UTC, from the year 1000 to 9998."""
    if not re.fullmatch(r"[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00", text, re.ASCII) or text >= "9999":
        return False
    try:
        return datetime.fromisoformat(text) is not None
    except ValueError:
        return False


def is_label(label: str) -> bool:
    """Return True for empty text, and for valid names of categories that are sorted, each once, and joined by `|`."""
    names = label.split(LABEL_SEPARATOR) if label else []
    return names == sorted(set(names)) and all(map(is_valid_name, names))


IMAGE_ID = Text(r"[0-9a-f]{64}", "64 hexadecimal digits", 64)
SHA256 = IMAGE_ID
PHASH = Text(r"[0-9a-f]{16}", "16 hexadecimal digits", 16)
NAME = Text("", 'a name without | / \\ or quotes, such as "siberian-husky"', 255, is_valid_name)
TIME = Text("", "a time in UTC such as 2026-01-31T12:00:00+00:00", 40, is_time)
LABEL = Text("", "categories, sorted and joined by |", MAX_TEXT, is_label)
VERSION = Text(r"v\d{3,9}", "a version such as v001", 10)
GROUP = Text(r"[0-9A-Za-z._:-]+", "an id of letters, digits and . _ : -", 128)
SPLIT = Choice(("train", "val", "test"))
LINE = Text(r"[^\r\n]*", "text of one line")
FILE_NAME = Text(r"(?!\.{1,2}$)[^/\\:]+", "the name of a file, without folders", 255)
SIDE = Integer(1, 10**9)
