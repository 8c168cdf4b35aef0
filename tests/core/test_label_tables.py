"""Label tables as people write them: columns, encodings, names of files, and the outcome of every row."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fototeca.core.errors import FototecaError
from fototeca.core.file_index import FileIndex
from fototeca.core.label_rows import Classes, LabelAssignment
from fototeca.core.label_tables import read_label_table
from fototeca.core.settings import Category, Settings, Task
from fototeca.core.text_tables import read_table

FILES = ("0.jpg", "1.jpg", "sub/nin\u0303o.JPG", "sub/deep/x 1.png", "ISIC_7.jpeg", "a/same.jpg", "b/same.jpg")


def categories(task: Task = "single") -> Settings:
    """Settings with the categories cat, dog and gato montés."""
    names = ("cat", "dog", "gato montés")
    return Settings("x", task, 1, "", tuple(Category(name, (name,)) for name in names))


def read(
    folder: Path,
    content: str | bytes,
    *,
    task: Task = "single",
    name: str = "labels.csv",
    columns: str = "",
    mapping: Mapping[str, str] = MappingProxyType({}),
) -> LabelAssignment:
    """Read a table that labels FILES."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    index = FileIndex((each, each) for each in FILES)
    return read_label_table(file, index.find, Classes(categories(task), mapping), columns=columns)


@pytest.mark.parametrize(
    "content",
    [
        "path,label\n0.jpg,cat\n1.jpg,dog\n",
        "label,path\r\ncat,0.jpg\r\ndog,1.jpg\r\n",
        "0.jpg,cat\n1.jpg,dog\n",
        "0.jpg cat\n1.jpg dog\n",
        "Nombre de archivo;Categoría\r0.jpg;cat\r1.jpg;dog\r",
        '"File Name"\t"CLASS"\n"0.jpg"\t"cat"\n"1.jpg"\t"dog"\n\n\n',
        "sep=;\nruta;clase;\n0.jpg;cat;\n1.jpg;dog;\n",
        "\n\nimage_id|breed\n0|cat\n1|dog\n",
        "id,filename,age,class\n1,0.jpg,3,cat\n0,1.jpg,4,dog\n",
        "foto,pelo,x_y\n0.jpg,corto,cat\n1.jpg,largo,dog\n",
        "name,cat,dog\n0.jpg,1,0\n1.jpg,0.0,1.0\n",
        "imagen,Dogs,CATS,birds\n0.jpg,false,TRUE,False\n1.jpg,true,False,false\n",
        '{"file_name": "0.jpg", "label": "cat"}\n{"file_name": "1.jpg", "label": ["dog"]}\n',
        '[{"image": "0.jpg", "choice": "cat"}, {"image": "1.jpg", "choice": {"choices": ["dog"]}}]',
        "path,label\n0.jpg,Cats\n1.jpg,n02084071 DOG\n",
        "path,label\nC:\\fotos\\0.jpg,cat\nD:/x/1.jpg,dog\n",
        "path,label\n/home/ana/set/0.jpg,cat\n./1.jpg,dog\n",
        "path,label\nhttps://e.org/pics/0.jpg?w=2,cat\nfile:///pics/1%2Ejpg,dog\n",
        "path,label\n0.JPG,cat\n1,dog\n",
        "# labelled by Ana\npath,label\n0.jpg,cat\n1.jpeg,dog\n",
        "id,label\n0.0,cat\n01,dog\n",
        "cat 0.jpg\ndog 1.jpg\n",
    ],
)
def test_two_images_are_labelled(tmp_path: Path, content: str) -> None:
    """Every way to write that 0.jpg is a cat and 1.jpg a dog gives these labels."""
    assignment = read(tmp_path, content)
    assert dict(assignment.labels) == {"0.jpg": "cat", "1.jpg": "dog"}
    assert assignment.counts() == {"applied": 2}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """A composed accent names a file whose name is decomposed and in another case, in every encoding."""
    content = "archivo;etiqueta\nniño.jpg;Gato Montes\n1.jpg;dog\n".encode(encoding)
    assert dict(read(tmp_path, content).labels) == {FILES[2]: "gato montés", "1.jpg": "dog"}


def test_each_row_that_labels_nothing_has_a_line_and_a_reason(tmp_path: Path) -> None:
    """Missing, ambiguous, contradicting, unlabelled, foreign, short, long and empty rows are all named by line."""
    lines = ["path,label", "0.jpg,cat", "gone.jpg,dog", "same.jpg,dog", "1.jpg,cat", "1.jpg,dog", "sub/x 1.png,cat"]
    lines += ["ISIC_7,", "a/same.jpg,horse", "b/same.jpg", "niño.jpg,cat,dog", ",", "deep/x 1.png,cat|dog", "0.jpg,cat"]
    rows = {row.line: row for row in read(tmp_path, "\n".join(lines) + "\n").rows}
    assert {line: row.outcome for line, row in rows.items()} == {
        2: "applied", 3: "unmatched", 4: "ambiguous", 5: "conflicting", 6: "conflicting", 7: "unmatched", 8: "no-label",
        9: "other-class", 10: "malformed", 11: "malformed", 12: "malformed", 13: "conflicting", 14: "applied",
    }  # fmt: skip
    assert rows[5].text() == "line 5: 1.jpg (cat; line 6: dog)"
    assert rows[4].text() == "line 4: same.jpg (2 files)"
    assert rows[9].detail == "horse"


def test_rows_of_one_image_unite_in_multi_label_tasks(tmp_path: Path) -> None:
    """Rows, cells with several labels and one-hot columns unite; no column set means no category."""
    rows = 'path,label\n0.jpg,cat\n./0.jpg,dog\n1.jpg,"cat, gato montés"\nISIC_7,cat;dog\na/same.jpg,dog|horse\n'
    assert dict(read(tmp_path, rows, task="multi").labels) == {
        "0.jpg": "cat|dog", "1.jpg": "cat|gato montés", "ISIC_7.jpeg": "cat|dog", "a/same.jpg": "dog",
    }  # fmt: skip
    one_hot = "file,dog,cat\n0.jpg,1,1\n1.jpg,0,0\n"
    assert dict(read(tmp_path, one_hot, task="multi").labels) == {"0.jpg": "cat|dog", "1.jpg": ""}
    assert read(tmp_path, one_hot).counts() == {"conflicting": 1, "no-label": 1}
    numbered = "file,label1,label2\n0.jpg,cat,dog\n1.jpg,cat,\n"
    assert dict(read(tmp_path, numbered, task="multi").labels) == {"0.jpg": "cat|dog", "1.jpg": "cat"}


def test_stated_columns_and_numeric_classes(tmp_path: Path) -> None:
    """--columns wins over usual headers; a mapping names numeric classes and leaves others out."""
    table = "file,label,expert,n\n1.jpg,cat,dog,1\n0.jpg,cat,cat,0\nISIC_7,cat,cat,2.0\n"
    assert read(tmp_path, table, columns="path=File,label=EXPERT").labels["1.jpg"] == "dog"
    assignment = read(tmp_path, table, columns="path=1,label=n", mapping={"0": "cat", "1": "dog", "2": ""})
    assert dict(assignment.labels) == {"1.jpg": "dog", "0.jpg": "cat"}
    assert assignment.counts() == {"applied": 2, "other-class": 1}
    with pytest.raises(FototecaError, match="name each class in a file for --map"):
        read(tmp_path, table, columns="path=file,label=n")
    for stated in ("path=file", "file,label", "path=file,label=nothing", "path=9,label=2"):
        with pytest.raises(FototecaError):
            read(tmp_path, table, columns=stated)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + bytes(40), "spreadsheet; export it as CSV"),
        (b"\xd0\xcf\x11\xe0" + bytes(40), "spreadsheet; export it as CSV"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is not a text file"),
        (b"", "has no rows"),
        (b"path,label\n", "no row"),
        (b"path,label\nx.jpg,cat\n", "known file .first: 'x.jpg'"),
        (b"path,label\n0.jpg,fox\n1.jpg,hen\n", "no class in labels.csv is a category .it has: fox, hen"),
        (b"file,colour\n0.jpg,red\n", "--columns path=COLUMN,label=COLUMN"),
        (b"file,cat,dog\n0.jpg,0.9,0.1\n", "neither 0 nor 1"),
        (b'path,label\n0.jpg,"cat\n1.jpg,dog\n', "line 2"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """Spreadsheets, other files, unknown columns, files and classes, and an open quote end with what to do."""
    with pytest.raises(FototecaError, match=message):
        read(tmp_path, content)


def test_equal_ends_of_different_folders_are_not_taken_for_one_file(tmp_path: Path) -> None:
    """A row of a folder that does not exist never labels a file of the same name in silence."""
    assert [row.outcome for row in read(tmp_path, "path,label\nx/0.jpg,cat\ny/0.jpg,cat\n1.jpg,dog\n").rows] == [
        "ambiguous", "ambiguous", "applied",
    ]  # fmt: skip
    assert [row.outcome for row in read(tmp_path, "path,label\nc/same.jpg,cat\n1.jpg,dog\n").rows] == ["unmatched", "applied"]


NAMES = st.sampled_from([*FILES, "niño.jpg", "0", "same.jpg", "gone.jpg", "x/0.jpg", "y/0.jpg", "", " "]) | st.text(max_size=8)
LABELS = st.sampled_from(["cat", "dog", "CATS", "cat|dog", "horse", "", "reject", "1", "cat;dog"]) | st.text(max_size=6)

ONE_HOT = st.sampled_from(["0", "1", "1.0", "", "x", "sí", "FALSE", "Verdadero"])


@given(
    rows=st.lists(st.lists(NAMES | LABELS, max_size=4) | st.tuples(NAMES, LABELS).map(list), max_size=12)
    | st.lists(st.tuples(NAMES, ONE_HOT, ONE_HOT).map(list), max_size=12),
    task=st.sampled_from(["single", "multi"]),
    delimiter=st.sampled_from(",;\t|"),
    header=st.sampled_from([["path", "label"], ["label", "path"], ["id", "cat", "dog"], []]),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_of_a_readable_table_has_one_outcome(
    tmp_path: Path, rows: list[list[str]], task: Task, delimiter: str, header: list[str]
) -> None:
    """Applied, conflicting, unmatched and all other rows add up to the records that a CSV reader sees."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([*([header] if header else []), *rows])
    try:
        assignment = read(tmp_path, text.getvalue().encode("utf-8", "replace"), task=task)
    except FototecaError:
        return
    records = [record for record in csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=delimiter) if record]
    while len(records[0]) == 1 and records[0][0].startswith("#") and len(records) > 1 and len(records[1]) > 1:
        del records[0]  # a comment
    first = next(number for number, record in enumerate(records) if any(cell.strip() for cell in record))
    count = len(records) - first
    assert len(assignment.rows) in (count, count - 1)  # the first record is a header or not
    if header:
        assert len(assignment.rows) == count - 1
    assert sum(assignment.counts().values()) == len(assignment.rows)
    applied = {row.target for row in assignment.of("applied")}
    assert applied == assignment.labels.keys()
    assert not applied & {row.target for row in assignment.of("conflicting")}
    if task == "single":
        assert all("|" not in label for label in assignment.labels.values())


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=12), unique=True)
)
def test_every_file_is_found_by_its_own_name(names: list[str]) -> None:
    """The name of a file, composed or decomposed, finds this file or is ambiguous; never another one."""
    index = FileIndex((name, name) for name in names)
    for name in names:
        if name.strip() in ("", "."):
            continue
        for form in ("NFC", "NFD"):
            targets = index.find(unicodedata.normalize(form, name)).targets
            same = [
                other
                for other in names
                if unicodedata.normalize("NFC", other.strip()) == unicodedata.normalize("NFC", name.strip())
            ]
            assert name in targets or Counter(targets) <= Counter(same)


def test_ids_that_a_spreadsheet_shortened() -> None:
    """Leading zeros are gone, or a decimal zero came; a number that fits two files is ambiguous, and a file's own name wins."""
    index = FileIndex((name, name) for name in ("a/0007.jpg", "08.png", "008.png", "9.jpg", "009.jpg"))
    found = [index.find(name).targets for name in ("7", "7.0", "8", "9", "7.jpg", "10")]
    assert found == [("a/0007.jpg",), ("a/0007.jpg",), ("008.png", "08.png"), ("9.jpg",), (), ()]


def test_json_lines_with_broken_lines_account_for_them(tmp_path: Path) -> None:
    """A line that is no object is a malformed row with its number."""
    lines = [json.dumps({"file_name": "0.jpg", "label": "cat"}), "{broken", "[1]", json.dumps({"file_name": "1.jpg", "label": 5})]
    rows = read(tmp_path, "\n".join(lines), name="metadata.jsonl").rows
    assert [(row.line, row.outcome) for row in rows] == [(1, "applied"), (2, "malformed"), (3, "malformed"), (4, "other-class")]


def test_reading_a_table_leaves_the_limit_of_csv_cells(tmp_path: Path) -> None:
    """Python's limit holds for the whole process; a cell of a table may be longer."""
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"path,label\n{'x' * (limit + 1)},cat\n", encoding="utf-8")
    assert len(read_table(tmp_path / "a.csv").rows) == 1
    assert csv.field_size_limit() == limit
