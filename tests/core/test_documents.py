"""Tests for reading JSON, TOML and CSV files of other people by the kinds of their values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fototeca.core.documents import MAX_PROBLEMS, Document, parse_csv, parse_json, parse_toml, read_table
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import (
    FILE_NAME,
    IMAGE_ID,
    LABEL,
    NAME,
    TIME,
    Choice,
    Flag,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Number,
    Optional,
    Record,
    Text,
    shorten,
)
from fototeca.core.paths import inside, is_file_name

FORM = Record({"name": NAME, "sizes": ListOf(Integer(1, 9), low=2, high=2)}, {"split": Optional(Choice(("train", "val")))})
COLUMNS: dict[str, Kind] = {"id": IMAGE_ID, "size": Integer(1, 9), "share": Number(0, 1), "reviewed": Flag()}
HEAD = "id,size,share,reviewed\n"


def document(path: Path) -> Document:
    """Return a document with the hint `look`."""
    return Document(path, path.name, "look")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"name": "cat", "sizes": [1, 2], "later": {}}', ""),
        ('{"name": "cat", "sizes": [1, 2], "split": null}', ""),
        ('{"name": "cat"}', "x.json: sizes is missing"),
        ('{"name": "a/b", "sizes": [1, 2]}', "x.json: name is 'a/b', not a name without"),
        ('{"name": "cat", "sizes": [1, 2, 3]}', "x.json: sizes is [1, 2, 3], not a list of 2"),
        ('{"name": "cat", "sizes": [1, true]}', "x.json: sizes[1] is True, not a whole number from 1 to 9"),
        ('{"name": "cat", "sizes": [1, 2], "split": "test"}', "x.json: split is 'test', not train or val or null"),
        ("[]", "x.json: the content is [], not an object"),
        ("{", "x.json cannot be read: line 1 is not valid JSON"),
        ('{"name": NaN}', "x.json cannot be read: NaN is not a number of JSON"),
        ("[" * 200_000, "x.json cannot be read: its lists or objects are nested too deeply"),
        ("9" * 5000, "x.json cannot be read: "),
        ('{"name": "cat\\ud800", "sizes": [1, 2]}', "x.json: name is 'cat\\ud800', not a name"),
    ],
)
def test_json_is_read_by_its_form(tmp_path: Path, text: str, problem: str) -> None:
    """A wrong value is one line with file, field, value and what belongs there; unknown keys are ignored."""
    path = tmp_path / "x.json"
    path.write_text(text)
    if not problem:
        assert document(path).json(FORM)["name"] == "cat"
        return
    with pytest.raises(FototecaError) as error:
        document(path).json(FORM)
    assert error.value.message.startswith(problem)
    assert error.value.hint == "look"
    assert "\n" not in error.value.message
    assert len(error.value.message) < 200


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        ([f"{'a' * 64},1,0.5,yes", f"{'b' * 64},9,1,no"], []),
        (["x,1,0.5,yes"], ["line 2: id is 'x', not 64 hexadecimal digits"]),
        ([f"{'A' * 64},1,0.5,yes"], [f"line 2: id is {shorten('A' * 64)}, not 64 hexadecimal digits"]),
        ([f"{'a' * 64},10,0.5,yes"], ["line 2: size is 10, not a whole number from 1 to 9"]),
        ([f"{'a' * 64},01,nan,maybe"], ["'01', not a whole", "share is 'nan', not a number", "'maybe', not yes or no"]),
        ([f'"{"a" * 63}', 'b",1,1,no', "short"], ["line 2: id is ", "line 4: it has 1 cells, not 4"]),
        ([f"{'a' * 64},१,0,no"], ["line 2: size is '१', not a whole number"]),
    ],
)
def test_csv_is_read_by_its_columns(lines: list[str], problems: list[str]) -> None:
    """Every wrong cell is a problem with its line, column and value; right cells have their types."""
    table = read_table((HEAD + "\n".join(lines) + "\n").encode(), COLUMNS)
    assert [text in problem for text, problem in zip(problems, table.problems, strict=True)] == [True] * len(problems)
    if not problems:
        assert table.rows[1] == {"id": "b" * 64, "size": 9, "share": 1.0, "reviewed": False}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "line 1: the columns are ''"),
        (b"id,size\n", "line 1: the columns are 'id,size'"),
        (HEAD.encode() + b"a,1,1,no\n\xff", "line 3: it is not UTF-8"),
        (HEAD.encode() + b'"' + b"x" * 11_000_000, "line 2 is not valid CSV"),
    ],
)
def test_damaged_csv_is_a_problem(content: bytes, problem: str) -> None:
    """Wrong columns, bytes and cells beyond every measure are problems, not exceptions."""
    assert any(line.startswith(problem) for line in read_table(content, COLUMNS).problems)


def test_number_of_problems_is_limited(tmp_path: Path) -> None:
    """A file of a million wrong lines is not read to its end; the error names the first and counts the others."""
    path = tmp_path / "x.csv"
    path.write_text(HEAD + "x,1,1,no\n" * 10_000)
    assert len(read_table(path.read_bytes(), COLUMNS).problems) == MAX_PROBLEMS
    with pytest.raises(FototecaError, match=r"^x.csv, line 2: id is 'x', not 64 hexadecimal digits \(and 99 more\); look$"):
        document(path).rows(COLUMNS)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "latin"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A pipe or a link to an endless device does not block; each is one line."""
    path = tmp_path / "x.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "latin":
        path.write_bytes(b"\xf1")
    with pytest.raises(FototecaError, match=r"^x\.toml (is missing|cannot be read)"):
        document(path).toml(Record({}))


def test_parsers_raise_value_errors_alone() -> None:
    """Malformed text is a ValueError of one line."""
    for parse, text in ((parse_json, "{"), (parse_json, b"\xff"), (parse_toml, "a = ["), (parse_toml, "a = " + "[" * 50_000)):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            parse(text)  # type: ignore[operator]
    with pytest.raises(ValueError, match="line 2 is not valid CSV"):
        list(parse_csv('a\n"b"c', strict=True))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (NAME, ["cat", "ñu 2"], ["", "..", "a/b", "a\\b", "a|b", " a", "a\n", "restore", "x" * 256, None, 3]),
        (LABEL, ["", "cat", "cat|dog"], ["dog|cat", "cat|cat", "|", "../x", "cat|", 1]),
        (TIME, ["2026-01-31T12:00:00+00:00"], ["2026-01-31", "9999-12-31T23:59:59+00:00", "2026-02-30T12:00:00+00:00", "x"]),
        (FILE_NAME, ["a.jpg", "..a"], ["", ".", "..", "a/b", "a\\b", "c:x"]),
        (MapOf(NAME, Integer()), [{"a": 1}], [{"a/b": 1}, {"a": -1}, []]),
        (ListOf(Text(), unique=True), [["a", "b"]], [["a", "a"], ["a", 1], "ab"]),
        (Number(), [1, -2.5], [float("inf"), float("nan"), True, "1"]),
    ],
)
def test_kinds_accept_their_values_alone(kind: Kind, good: list[Any], bad: list[Any]) -> None:
    """Values of other types, out of range or with separators are refused."""
    assert [value for value in good if not kind.accepts(value)] == []
    assert [value for value in bad if kind.accepts(value)] == []


def test_shown_values_are_short_and_printable() -> None:
    """A value of a megabyte, with escape characters or too deep to show, becomes at most 60 printable characters."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 1_000_000, "\x1b[31m\u202e\ud800", 10**5000, deep, {"a": ["b"] * 1000}):
        assert len(shorten(value)) <= 60
        assert shorten(value).isprintable()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "", ".", "link/x", "a\0"])
def test_paths_of_names_stay_inside(tmp_path: Path, name: str) -> None:
    """A name that leads out of the folder, through a link too, is refused."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(FototecaError, match="is not a path inside"):
        inside(folder, name)
    assert inside(folder, "a/b.jpg") == folder / "a" / "b.jpg"


def test_file_names_are_names_alone() -> None:
    """Separators, dots alone, control characters and lone surrogates make no file name."""
    assert all(map(is_file_name, ("cnn-scratch-v001-7d1e02", "..a", "ñ")))
    assert not any(map(is_file_name, ("", ".", "..", "a/b", "a\\b", "/", "a\0", "a\n", "\ud800", "x" * 256)))
