"""Archives that are made to be costly, or that tarfile and zipfile answer with odd exceptions, are refused in one line."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.collect.files.archives import DamagedArchiveError, open_folder, unpack
from fototeca.collect.files.members import is_tar
from fototeca.collect.formats.detections import DetectionOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.detections import collect_detections
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import create_workspace
from tests.servers import jpeg


def negative(number: int) -> bytes:
    """Return a negative size as GNU tar writes numbers of 256."""
    return b"\xff" + (256**11 + number).to_bytes(11)


def header(name: bytes, size: bytes, kind: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    """Return the header of a tar member with its checksum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148], block[156:157], block[257:265] = size, b"00000000000\0", kind, magic
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(number: int) -> bytes:
    """Return a size as most programs write it."""
    return b"%011o\0" % number


def pax(headers: dict[str, str], name: str = "a.jpg") -> bytes:
    """Return a tar of one image with extended headers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.pax_headers = len(jpeg(1)), headers
        archive.addfile(info, io.BytesIO(jpeg(1)))
    return buffer.getvalue()


GOOD = header(b"b.jpg", octal(len(jpeg(2)))) + jpeg(2) + bytes(-len(jpeg(2)) % 512)
TARS = {
    "pax-negative": pax({"size": "-1536"}),
    "pax-negative-folder": pax({"size": "-1536"}, "folder/"),
    "negative": header(b"a.jpg", negative(-512)) + GOOD,
    "negative-folder": header(b"a/", negative(-512), b"5") + GOOD,
    "negative-long-name": header(b"././@LongLink", negative(-512), b"L", b"ustar  \0") + GOOD,
    "negative-extended": header(b"x", negative(-512), b"x") + GOOD,
    "huge": pax({"size": "9" * 30}),
    "sparse-without-map": pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "z.jpg"}),
    "sparse-with-words": pax({"GNU.sparse.map": "0,1,-5,x", "GNU.sparse.size": "100"}),
    "sparse-backwards": pax({"GNU.sparse.map": ",".join(["0", "10"] * 1000), "GNU.sparse.size": "1000000"}),
    "chain": (header(b"x", octal(10), b"x") + b"10 aa=bbb\n".ljust(512, b"\0")) * 3000 + GOOD,
}


@pytest.mark.parametrize("name", TARS)
def test_invalid_tars_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    """Sizes that do not lead forward, maps and chains of headers end the reading with the archive's name."""
    path = tmp_path / f"{name}.tar"
    path.write_bytes(TARS[name])
    with pytest.raises(DamagedArchiveError, match=rf"{name}\.tar (cannot be unpacked|unpacks to too much)") as caught:
        unpack(path, tmp_path / "out", PassedOver())
    assert "\n" not in str(caught.value)


def empty_entries() -> bytes:
    """Return a zip of 40,000 empty files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(40_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.jpg"), b"")
    return buffer.getvalue()


def shared_entries(count: int) -> bytes:
    """Return a zip whose entries all name the bytes of one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("000000.jpg", jpeg(1))
    data = buffer.getvalue()
    place, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[place:end]
    entries = b"".join(entry[:46] + b"%06d.jpg" % number for number in range(count))
    return (
        data[:place] + entries + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), place, 0)
    )


ZIPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (empty_entries, "its directory of 2 MB lists empty or repeated files"),
    "shared": (lambda: shared_entries(50), "its members overlap"),
    "repeated": (lambda: shared_entries(400_000), "its directory of 22 MB lists empty or repeated files"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zip_directories_are_checked_before_they_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long directory of empty or repeated files is not parsed; members that share bytes are refused."""
    make, reason = ZIPS[name]
    path = tmp_path / "a.zip"
    path.write_bytes(make())
    if name != "shared":
        monkeypatch.setattr(zipfile.ZipFile, "__init__", None)
    with pytest.raises(DamagedArchiveError, match=f"a.zip cannot be unpacked: {reason}"):
        unpack(path, tmp_path / "out", PassedOver())


def test_a_long_directory_of_images_is_read(tmp_path: Path) -> None:
    """Many small images are not taken for a bomb: their directory is longer than a megabyte, the images are longer."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(12_000):
            archive.writestr(f"class-{number % 10}/picture-number-{number:06}-of-the-set.mp3", b"x" * 300)
    unpack(tmp_path / "a.zip", tmp_path / "out", counted := PassedOver())
    assert sum(count.count for count in counted.counts()) == 12_000


def test_a_name_with_a_nul_is_not_cut(tmp_path: Path) -> None:
    """A name that ends for zipfile where it goes on for others is counted, not extracted under its first part."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpgX.exe", jpeg(1))
        archive.writestr("b.jpg", jpeg(2))
    path = tmp_path / "nul.zip"
    path.write_bytes((tmp_path / "a.zip").read_bytes().replace(b"a.jpgX.exe", b"a.jpg\0.exe"))
    unpack(path, tmp_path / "out", counted := PassedOver())
    assert [file.name for file in (tmp_path / "out").rglob("*.jpg")] == ["b.jpg"]
    assert [count.reason for count in counted.counts()] == ["unsafe-name"]


def test_a_file_without_ending_is_recognised_by_its_first_block(tmp_path: Path) -> None:
    """A tar is recognised without reading its headers, which may announce gigabytes; text and cut files are not."""
    (tmp_path / "bomb").write_bytes(gzip.compress(header(b"x", octal(8 << 30), b"x") + bytes(1 << 20)))
    (tmp_path / "text").write_bytes(b"plain text" * 100)
    (tmp_path / "cut").write_bytes(gzip.compress(GOOD)[:20])
    assert [is_tar(tmp_path / name) for name in ("bomb", "text", "cut")] == [True, False, False]
    workspace = create_workspace(tmp_path / "w", ["a", "b"], contact="")
    with (
        pytest.raises(DamagedArchiveError, match="a header is too long"),
        open_folder(workspace, tmp_path / "bomb", PassedOver()),
    ):
        pass


def test_errors_name_the_archive_instead_of_the_folder_that_is_deleted(tmp_path: Path) -> None:
    """An error about the contents of an archive names the archive; its temporary folder is gone when the error is read."""
    workspace = create_workspace(tmp_path / "w", ["a", "b"], contact="")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(1))
    options = DetectionOptions("coco")
    with pytest.raises(FototecaError, match=r"set\.zip has no COCO annotations") as caught:
        collect_detections(workspace, tmp_path / "set.zip", options, FetchOptions())
    assert "cache" not in str(caught.value)
