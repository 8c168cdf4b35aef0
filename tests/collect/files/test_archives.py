"""Members of archives: taken, or counted by reason; links are resolved inside the archive."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.collect.files.archives import DamagedArchiveError, unpack
from fototeca.collect.files.exclude import Exclude
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from tests.servers import jpeg

Link = tuple[str, str]


def tar_of(path: Path, files: dict[str, bytes], soft: list[Link] = [], hard: list[Link] = []) -> Path:  # noqa: B006
    """Write a tar with files, then soft and hard links (name, target)."""
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind, links in ((tarfile.SYMTYPE, soft), (tarfile.LNKTYPE, hard)):
            for name, target in links:
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                archive.addfile(info)
    return path


def zip_of(path: Path, files: dict[str, bytes], soft: list[Link] = []) -> Path:  # noqa: B006
    """Write a zip with files, then soft links (name, target)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for name, target in soft:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return path


def extracted(path: Path, exclude: tuple[str, ...] = ()) -> tuple[dict[str, bytes], dict[str, tuple[str, ...]]]:
    """Return the bytes of the extracted files by name, and the names that were passed over by reason."""
    folder = path.with_name(f"{path.name}-out")
    unpack(path, folder, passed_over := PassedOver(), Exclude(exclude))
    assert not [file for file in folder.rglob("*") if file.is_symlink()]
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return files, {count.reason: count.names for count in passed_over.counts()}


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_soft_links_are_resolved_inside(tmp_path: Path, make: Callable[..., Path]) -> None:
    """To files, to folders, and through other links, whatever their order; one that leads out is refused."""
    soft = [
        ("best.jpg", "album/1.jpg"),
        ("cat/first.jpg", "../store/1.jpg"),
        ("album", "store"),
        ("store/self", "."),
        ("gone.jpg", "store/9.jpg"),
        ("notes", "store/notes.mp4"),
        ("passwd.jpg", "/etc/passwd"),
        ("up.jpg", "../../up.jpg"),
        ("ring1", "ring2"),
        ("ring2", "ring1"),
    ]
    path = make(tmp_path / "a", {"store/1.jpg": jpeg(1), "store/in/2.jpg": jpeg(2), "store/notes.mp4": b"x"}, soft)
    path = path.rename(tmp_path / f"a.{make.__name__[:3]}")
    files, passed_over = extracted(path)
    assert files == {
        "store/1.jpg": jpeg(1),
        "store/in/2.jpg": jpeg(2),
        "album/1.jpg": jpeg(1),
        "album/in/2.jpg": jpeg(2),
        "cat/first.jpg": jpeg(1),
        "best.jpg": jpeg(1),
    }
    assert passed_over == {
        "video": ("store/notes.mp4", "notes"),
        "link-outside": ("passwd.jpg", "up.jpg"),
        "link-cycle": ("store/self",),
        "broken-link": ("gone.jpg", "ring1", "ring2"),
    }


def test_names_that_begin_with_a_dot_and_a_slash(tmp_path: Path) -> None:
    """As tar writes them for `tar -cf a.tar .`; they are shown without."""
    path = tar_of(tmp_path / "a.tar", {"./cat/1.jpg": jpeg(1), "./cat/2.mp4": b"x"}, hard=[("./dog/1.jpg", "./cat/1.jpg")])
    assert unpack(path, tmp_path / "out", passed_over := PassedOver()) == {}
    assert passed_over.text() == ["1 video: cat/2.mp4"]
    assert (tmp_path / "out" / "dog" / "1.jpg").read_bytes() == jpeg(1)


def test_hard_links_are_files(tmp_path: Path) -> None:
    """As tar writes the second name of a file; the target is named from the top."""
    path = tar_of(tmp_path / "a.tar", {"store/1.jpg": jpeg(1)}, hard=[("dog/1.jpg", "store/1.jpg"), ("dog/2.jpg", "../up.jpg")])
    files, passed_over = extracted(path)
    assert files == {"store/1.jpg": jpeg(1), "dog/1.jpg": jpeg(1)}
    assert passed_over == {"link-outside": ("dog/2.jpg",)}


def test_links_to_links_of_folders_stay_within_the_limits(tmp_path: Path) -> None:
    """A few links of links multiply the files; the archive is refused, not the disk filled."""
    files = {"l0/1.jpg": b"x" * 50_000}
    soft = [(f"l{level + 1}/{side}", f"../l{level}") for level in range(20) for side in "ab"]
    with pytest.raises(DamagedArchiveError, match="unpacks to too much"):
        extracted(tar_of(tmp_path / "a.tar", files, soft))


def encrypted(path: Path, name: str) -> Path:
    """Set the flag of encryption of one member, in both of its headers."""
    data, place = bytearray(path.read_bytes()), -1
    while (place := data.find(name.encode(), place + 1)) >= 0:
        flags = place - (30 - 6 if data[place - 30 : place - 26] == b"PK\x03\x04" else 46 - 8)
        data[flags] |= 1
    path.write_bytes(data)
    return path


def test_one_bad_member_does_not_lose_the_others(tmp_path: Path) -> None:
    """Encrypted and damaged ones are counted; if there is nothing else, the archive is refused."""
    path = encrypted(zip_of(tmp_path / "a.zip", {"1.jpg": jpeg(1), "2.jpg": jpeg(2), "3.jpg": jpeg(3)}), "2.jpg")
    data = bytearray(path.read_bytes())
    data[data.index(jpeg(3)) + 100] ^= 1
    path.write_bytes(data)
    assert extracted(path) == ({"1.jpg": jpeg(1)}, {"encrypted": ("2.jpg",), "damaged-member": ("3.jpg",)})
    with pytest.raises(DamagedArchiveError, match=r"1 encrypted: 1\.jpg; check that .* no password"):
        extracted(encrypted(zip_of(tmp_path / "b.zip", {"1.jpg": jpeg(1)}), "1.jpg"))


def test_members_go_by_their_bytes_and_keep_their_names(tmp_path: Path) -> None:
    """Odd endings, the same name twice, names that no disk accepts, and what phones and systems add."""
    path = tmp_path / "a.zip"
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(("a.jpg_large", "b.jpg?x=1", "c", "same.jpg", "same.jpg")):
            archive.writestr(name, jpeg(number))
        for name in ("__MACOSX/._a.jpg", "cat/@eaDir/a.jpg/SYNOPHOTO_THUMB_S.jpg", ".DS_Store", "Thumbs.db"):
            archive.writestr(name, jpeg(9))
        archive.writestr("clip.mp4", b"video")
        archive.writestr("odd.jpg_small", b"text")
        archive.writestr("empty.jpg", b"")
        archive.writestr("labels.csv", "path,label\n")
    file_names = unpack(path, tmp_path / "out", passed_over := PassedOver())
    found = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert {file_names.get(name, name) for name in found} == {"a.jpg_large", "b.jpg?x=1", "c", "same.jpg", "labels.csv"}
    assert len(found) == 6
    assert {count.reason: count.count for count in passed_over.counts()} == {
        "junk": 4,
        "video": 1,
        "not-an-image": 1,
        "empty": 1,
    }


def test_nested_archives_are_named_and_one_may_be_damaged(tmp_path: Path) -> None:
    """Names give the way through the archives; a folder with the name of an archive keeps its files."""
    inner = zip_of(tmp_path / "inner.zip", {"x.jpg": jpeg(1), "b.mp4": b"x"}).read_bytes()
    outer = {"in.zip": inner, "in/x.jpg": jpeg(2), "bad.zip": b"PK\x03\x04 broken", "ok.jpg": jpeg(3)}
    path = zip_of(tmp_path / "a.zip", outer)
    file_names = unpack(path, tmp_path / "out", passed_over := PassedOver())
    assert file_names == {"in_/x.jpg": "in.zip/x.jpg"}
    assert (tmp_path / "out/in/x.jpg").read_bytes() == jpeg(2)
    assert {count.reason: count.names for count in passed_over.counts()} == {
        "video": ("in.zip/b.mp4",),
        "damaged-archive": ("bad.zip",),
    }


def test_patterns_exclude_members(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a .gitignore file; a pattern that matched nothing is known."""
    path = zip_of(tmp_path / "a.zip", dict.fromkeys(("a/raw/1.jpg", "a/2.jpg", "b/2.jpg", "c/3.gif"), jpeg(1)))
    files, passed_over = extracted(path, ("raw/", "/b/*.jpg", "*.gif", "**/none"))
    assert list(files) == ["a/2.jpg"] and passed_over == {"excluded": ("a/raw/1.jpg", "b/2.jpg", "c/3.gif")}
    exclude = Exclude(["*.gif", "*.png"])
    assert exclude("a/b.gif") and not exclude("a/b.jpg")
    exclude.report_unused()
    assert capsys.readouterr().err == "fototeca: --exclude *.png matched no file\n"
    for pattern in ("", "!keep", "# note", "a\\"):
        with pytest.raises(FototecaError, match="is invalid"):
            Exclude([pattern])


def test_a_negative_size_ends_the_reading(tmp_path: Path) -> None:
    """Such a tar leads back to its own start for ever."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"size": "-1536"}
        archive.addfile(info)
    with pytest.raises(DamagedArchiveError, match="cannot be unpacked"):
        extracted(tmp_path / "a.tar")


NAMES = st.sampled_from(
    ["1.jpg", "cat/2.jpg", "cat/3.txt", "../4.jpg", "/5.jpg", ".6.jpg", "7.mp4", "cat", "8.jpg_large", "9.odd"]
)
TARGETS = st.sampled_from(["1.jpg", "cat/2.jpg", "../cat/2.jpg", "link0", "../../x", "/etc/passwd", "missing", "7.mp4"])


@settings(max_examples=60)
@given(
    st.dictionaries(NAMES, st.sampled_from([b"", jpeg(1), jpeg(2), b"text"]), min_size=1),
    st.lists(TARGETS, max_size=3),
    st.booleans(),
)
def test_every_member_is_taken_or_counted(files: dict[str, bytes], targets: list[str], is_zip: bool) -> None:
    """Files and links to files, in both kinds of archive."""
    soft = [(f"link{number}", target) for number, target in enumerate(targets)]
    with TemporaryDirectory() as name:
        path = (zip_of if is_zip else tar_of)(Path(name) / ("a.zip" if is_zip else "a.tar"), files, soft)
        unpack(path, folder := Path(name) / "out", passed_over := PassedOver())
        taken = sum(file.is_file() for file in folder.rglob("*"))
        assert taken + passed_over.total == len(files) + len(soft)
        assert not [file for file in Path(name).rglob("*") if file.is_file() and file != path and folder not in file.parents]
