"""The walk of a folder: links, junk, odd endings; every file is taken or counted."""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fototeca.core.passed_over import PassedOver
from fototeca.vision.image_files import find_images


def image_bytes(image_format: str = "JPEG", color: str = "navy") -> bytes:
    """A plain image of 40 pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (40, 40), color).save(stream, image_format)
    return stream.getvalue()


JPEG = image_bytes()


def write(folder: Path, *names: str, data: bytes = JPEG) -> None:
    """Write files of equal bytes."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def walk(folder: Path) -> tuple[list[str], dict[str, int]]:
    """Return the images, and the number of other files by reason."""
    names = find_images(folder, passed_over := PassedOver())
    return names, {count.reason: count.count for count in passed_over.counts()}


def test_bytes_decide_where_the_ending_is_odd(tmp_path: Path) -> None:
    """Downloads of browsers and backups of editors keep their images; a text is none, whatever it begins with."""
    odd = ["a.jpg_large", "b.jpg?x=1", "c", "d.JPG~", "e.2023", "f.JPEG"]
    write(tmp_path, *odd)
    write(tmp_path, "g.webp.download", data=image_bytes("WEBP"))
    write(tmp_path, "notes", "h.jpg_small", data=b"nothing to see")
    write(tmp_path, "BMW.txt", data=b"BMW and others")
    assert walk(tmp_path) == (sorted([*odd, "g.webp.download"]), {"not-an-image": 2, "data": 1})


def test_other_files_are_counted_by_kind(tmp_path: Path) -> None:
    """One word a kind; empty files and what systems leave apart."""
    others = {
        "video": ["a.mp4", "b.MOV"],
        "audio": ["a.mp3"],
        "table": ["labels.csv", "metadata.jsonl"],
        "data": ["a.txt", "a.json", "a.xml"],
        "archive": ["more.zip", "more.7z"],
        "camera-raw": ["a.NEF", "b.dng"],
        "document": ["a.pdf"],
        "program": ["train.py"],
        "junk": [".DS_Store", "cat/._a.jpg", "cat/@eaDir/a.jpg/SYNOPHOTO_THUMB_S.jpg", "__MACOSX/a.jpg", "Thumbs.db", ".git/x"],
    }
    for names in others.values():
        write(tmp_path, *names)
    write(tmp_path, "cat/empty.jpg", data=b"")
    write(tmp_path, "cat/a.jpg")
    counts = {reason: len(names) for reason, names in others.items()} | {"empty": 1}
    assert walk(tmp_path) == (["cat/a.jpg"], counts)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """Outside the tree too; cycles are cut, and broken links are named."""
    write(tmp_path / "elsewhere", "deep/1.jpg", "2.jpg")
    write(tmp_path / "photos", "z/3.jpg")
    for link, target in {
        "album": tmp_path / "elsewhere",
        "album2": tmp_path / "elsewhere",
        "a": tmp_path / "photos" / "z",
        "up": tmp_path / "photos",
        "gone": tmp_path / "nowhere",
        "loop.jpg": tmp_path / "photos" / "loop.jpg",
        "one.jpg": tmp_path / "elsewhere" / "2.jpg",
    }.items():
        (tmp_path / "photos" / link).symlink_to(target)
    names = find_images(tmp_path / "photos", passed_over := PassedOver())
    assert names == ["album/2.jpg", "album/deep/1.jpg", "one.jpg", "z/3.jpg"]
    assert passed_over.text() == ["3 linked-again: a, album2, up", "2 broken-link: gone, loop.jpg"]


def test_pipes_and_closed_folders_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a pipe, and one closed folder does not end the walk."""
    write(tmp_path, "a.jpg", "closed/b.jpg", "c")
    os.mkfifo(tmp_path / "pipe.jpg")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert walk(tmp_path) == (["a.jpg", "c"], {"not-a-file": 1, "unreadable-folder": 1})


def test_three_names_and_the_endings_are_listed(tmp_path: Path) -> None:
    """For the summary, and for the error about a folder without images."""
    passed_over = PassedOver()
    for name in ("1.HEIC", "2.heic", "3.HEIC", "4.HEIC", "b.mp4", "README", "Thumbs.db"):
        passed_over.add("junk" if name == "Thumbs.db" else "not-an-image", name)
    assert passed_over.text()[0] == "6 not-an-image: 1.HEIC, 2.heic, 3.HEIC and 3 more"
    assert passed_over.describe_contents() == "4 HEIC, 1 without ending, 1 mp4"


PARTS = st.sampled_from(["cat", "@eaDir", ".git", "b.jpg", "x", "__MACOSX", "ñ"])
FILES = st.sampled_from(["1.jpg", "2.txt", "._3.jpg", "4.mp4", "5", "6.jpg_large", "Thumbs.db", "7.odd", "8.nef", "9.svg"])
CONTENTS = st.sampled_from([b"", JPEG, b"text", b"BM", b"\x89PNG\r\n\x1a\n", b"P6 1 1 255"])


@settings(max_examples=60)
@given(st.dictionaries(st.tuples(st.lists(PARTS, max_size=2).map("/".join), FILES).map("/".join), CONTENTS), st.data())
def test_every_file_of_a_tree_is_taken_or_counted(files: dict[str, bytes], data: st.DataObject) -> None:
    """Also below hidden folders and behind links to files."""
    with TemporaryDirectory() as name:
        root = Path(name)
        for file, content in files.items():
            path = root / file.lstrip("/")
            if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
                write(root, file.lstrip("/"), data=content)
        written = [path for path in root.rglob("*") if path.is_file()]
        for number, target in enumerate(data.draw(st.lists(st.sampled_from(written), max_size=2)) if written else ()):
            (root / f"link{number}").symlink_to(target)
        entries = Counter(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        names = find_images(root, passed_over := PassedOver())
        assert not Counter(names) - entries
        assert len(names) + passed_over.total == entries.total()
