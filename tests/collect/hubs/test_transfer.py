"""Files of hubs: resumed, verified, limited; and hostile archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.collect.files import archives, disk_space
from fototeca.collect.files.archives import unpack
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.safe_names import safe_name
from fototeca.collect.http.client import Downloader
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs.import_dataset import import_dataset
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from tests.collect.hub_server import ARCHIVE, IMAGES, Hubs, workspace_at, zipped
from tests.servers import ReceivedRequest, Site, StubResponse, jpeg, serve

LOCAL = FetchOptions(allow_loopback=True, timeout=3.0)
MD5 = f"md5:{hashlib.md5(ARCHIVE).hexdigest()}"


def get(site: Site, folder: Path, size: int | None = len(ARCHIVE), checksum: str = MD5, options: FetchOptions = LOCAL) -> Path:
    """Download the archive and return its path."""
    download_files(
        "zenodo", [RemoteFile(f"{site.base}/files/archive.zip", "a.zip", size, checksum)], folder, Downloader(options, "")
    )
    return folder / "a.zip"


@pytest.mark.parametrize("size", [len(ARCHIVE), None])
def test_interrupted_download_is_resumed(site: Site, hubs: Hubs, tmp_path: Path, size: int | None) -> None:
    """Each retry requests only the rest."""
    hubs.half = 2
    assert get(site, tmp_path, size).read_bytes() == ARCHIVE
    ranges = [request.headers.get("Range") for request in site.requests]
    assert ranges == [
        None,
        f"bytes={len(ARCHIVE) // 2}-",
        f"bytes={len(ARCHIVE) // 2 + (len(ARCHIVE) - len(ARCHIVE) // 2) // 2}-",
    ]
    assert not list(tmp_path.glob("*.part"))


def test_server_without_ranges_restarts(site: Site, hubs: Hubs, tmp_path: Path) -> None:
    """Status 200 for a range request is the whole file."""
    (tmp_path / "a.zip.part").write_bytes(b"old rubbish")
    hubs.instead["/files/archive.zip"] = StubResponse(ARCHIVE)
    assert get(site, tmp_path).read_bytes() == ARCHIVE


def test_wrong_part_fails_its_checksum(site: Site, tmp_path: Path) -> None:
    """A partial file with a wrong checksum is downloaded again from the start."""
    (tmp_path / "a.zip.part").write_bytes(b"rubbish")
    assert get(site, tmp_path).read_bytes() == ARCHIVE
    assert [request.headers.get("Range") for request in site.requests] == ["bytes=7-", None]


def test_complete_part_needs_no_bytes(site: Site, hubs: Hubs, tmp_path: Path) -> None:
    """After a kill before the rename: status 416 confirms it, and a known size needs no request."""
    (tmp_path / "a.zip.part").write_bytes(ARCHIVE)
    hubs.instead["/files/archive.zip"] = StubResponse(b"", status=416, headers={"Content-Range": f"bytes */{len(ARCHIVE)}"})
    assert get(site, tmp_path, None).read_bytes() == ARCHIVE
    (tmp_path / "a.zip").rename(tmp_path / "a.zip.part")
    site.requests.clear()
    assert get(site, tmp_path).read_bytes() == ARCHIVE
    assert not site.requests


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (StubResponse(ARCHIVE + b"x"), "too-large"),
        (StubResponse(ARCHIVE[:-1]), "checksum"),
        (StubResponse(bytes(len(ARCHIVE))), "checksum"),
        (StubResponse(status=403), "http-403"),
        (StubResponse(status=503, headers={"Retry-After": "0"}), "http-503"),
        (StubResponse(status=429, headers={"Retry-After": "1000"}), "http-429"),
        (StubResponse(gzip.compress(ARCHIVE), headers={"Content-Encoding": "gzip"}), "encoded"),
        (StubResponse(status=302, headers={"Location": "/files/archive.zip"}), "too-many-redirects"),
        (StubResponse(status=302, headers={"Location": "http://169.254.169.254/latest"}), "private-address"),
        (StubResponse(status=302, headers={"Location": "file:///etc/passwd"}), "bad-url"),
        (StubResponse(status=206, headers={"Content-Range": "bytes 5-9/10"}), "incomplete"),
        (StubResponse(status=206, headers={"Content-Range": f"bytes {'9' * 5000}-/9"}), "incomplete"),
        (StubResponse(ARCHIVE[:-9], headers={"Content-Length": "9" * 5000, "Connection": "close"}), "checksum"),
        (StubResponse(status=503, headers={"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}), "http-503"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_download_faults(
    site: Site, hubs: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: StubResponse, reason: str
) -> None:
    """Each ends with exit code 4, its reason, and no file that looks complete."""
    monkeypatch.setattr("fototeca.collect.http.client.TRIES", 1)
    hubs.instead["/files/archive.zip"] = answer
    with pytest.raises(FototecaError, match=reason) as stop:
        get(site, tmp_path)
    assert stop.value.exit_code == EXIT_OUTSIDE
    assert not (tmp_path / "a.zip").exists()


def test_body_without_length_is_limited(tmp_path: Path) -> None:
    """The hub's size is the limit."""

    def endless(request: ReceivedRequest) -> StubResponse:
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        return StubResponse(chunk * 40, headers={"Transfer-Encoding": "chunked", "Content-Length": ""})

    with serve(endless) as site, pytest.raises(FototecaError, match=r"too-large|connection"):
        get(site, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(ARCHIVE)


def test_stalled_server_times_out(site: Site, hubs: Hubs, tmp_path: Path) -> None:
    """The part stays for the next try."""
    hubs.stalled = True
    with pytest.raises(FototecaError, match="timeout"):
        get(site, tmp_path, options=FetchOptions(allow_loopback=True, timeout=0.4))
    assert (tmp_path / "a.zip.part").stat().st_size > 0
    hubs.stalled = False
    assert get(site, tmp_path).read_bytes() == ARCHIVE


def test_failed_file_does_not_stop_the_others(site: Site, hubs: Hubs, tmp_path: Path) -> None:
    """The same call then downloads only what is missing."""
    files = [RemoteFile(f"{site.base}/files/{name}", name, len(data)) for name, data in IMAGES.items()]
    hubs.instead["/files/train/Cats"] = StubResponse(status=404)
    with pytest.raises(FototecaError, match=r"1 of 4 files of zenodo failed \(train/Cats/1.jpg: http-404\)"):
        download_files("zenodo", files, tmp_path, Downloader(LOCAL, ""))
    hubs.instead.clear()
    site.requests.clear()
    download_files("zenodo", files, tmp_path, Downloader(LOCAL, ""))
    assert [request.path for request in site.requests] == ["/files/train/Cats/1.jpg"]
    assert {name: (tmp_path / name).read_bytes() for name in IMAGES} == IMAGES


def test_full_disk_fails_before_the_download(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive needs its size twice."""
    monkeypatch.setattr(disk_space, "free_disk_space", lambda folder: len(ARCHIVE) * 2 - 1)
    with pytest.raises(FototecaError, match=r"the disk has .* available") as stop:
        get(site, tmp_path)
    assert stop.value.exit_code == EXIT_OUTSIDE
    assert not site.requests


def test_only_images_and_archives_are_selected() -> None:
    """Hidden names and names outside the folder are skipped; no image or archive at all is an error."""
    names = ["a.JPG", "b/c.tar.gz", "d.csv", "../e.jpg", "/f.jpg", ".g.jpg", "C:\\h.jpg", "i.svg", "j/../k.jpg"]
    selected = select_files("zenodo", [RemoteFile("", name) for name in names], passed_over := PassedOver())
    assert [file.name for file in selected] == ["a.JPG", "b/c.tar.gz"]
    counts = {count.reason: count.count for count in passed_over.counts()}
    assert counts == {"unsafe-name": 4, "table": 1, "junk": 1, "not-an-image": 1}
    for table in ("a.csv", "labels.csv"):
        with pytest.raises(FototecaError, match=r"it has: 1 without ending, 1 csv|it has: 1 csv, 1 without ending"):
            select_files("zenodo", [RemoteFile("", table), RemoteFile("", "README")], PassedOver())
    files = [RemoteFile("", name) for name in ("train/1.jpg", "train/metadata.jsonl")]
    passed_over = PassedOver()
    assert select_files("zenodo", files, passed_over) == files
    assert not passed_over.total


def test_killed_download_is_resumed(tmp_path: Path) -> None:
    """kill -9 in the middle of an archive; the same command requests the rest."""
    hubs = Hubs(archive=zipped({name: jpeg(number, 900) for number, name in enumerate(IMAGES)}), stalled=True)
    with serve(hubs) as site:
        workspace = workspace_at(tmp_path / "w", site.base)
        command = [sys.executable, "-m", "fototeca", "collect", "zenodo", "1234", "--allow-loopback"]
        process = subprocess.Popen(command, cwd=workspace.root, stderr=subprocess.PIPE, start_new_session=True)
        part = workspace.cache / "hubs" / "zenodo-1234" / "1234" / "pets.zip.part"
        deadline = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size >= len(hubs.archive) // 2) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        begun = part.stat().st_size
        hubs.stalled = False
        site.requests.clear()
        with pytest.raises(FototecaError, match="confirm it"):
            import_dataset(workspace, "zenodo", "1234", FolderOptions(), LOCAL)
        ranges = [request.headers["Range"] for request in site.requests if "Range" in request.headers]
        assert ranges == [f"bytes={begun}-"]
        place = workspace.cache / "hubs" / "zenodo-1234"
        assert sorted(path.name for path in place.rglob("*.jpg")) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
        assert not list(place.rglob("*.part"))
        assert not list(place.rglob("*.zip"))


def test_archive_bomb_from_a_hub_has_exit_code_4(tmp_path: Path) -> None:
    """The fault is outside, not the user's."""
    hubs = Hubs(archive=deflated({"a/bomb.jpg": bytes(30_000_000)}))
    with serve(hubs) as site, pytest.raises(FototecaError, match="unpacks to too much") as stop:
        import_dataset(workspace_at(tmp_path / "w", site.base), "zenodo", "1234", FolderOptions(), LOCAL)
    assert stop.value.exit_code == EXIT_OUTSIDE


def test_archive_without_images_is_an_error(tmp_path: Path) -> None:
    """Not an empty proposal."""
    with serve(Hubs(archive=zipped({"a.csv": b"1,2"}))) as site, pytest.raises(FototecaError, match="has no images"):
        import_dataset(workspace_at(tmp_path / "w", site.base), "zenodo", "1234", FolderOptions(), LOCAL)


# ---- archives that want to harm


def deflated(files: dict[str, bytes]) -> bytes:
    """A compressed zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def taped(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    """A tar archive of these members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tape:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            tape.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def unpacked(tmp_path: Path, data: bytes, name: str = "a.zip") -> dict[str, bytes]:
    """Return the files that an archive creates, outside its folder too."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(data)
    unpack(tmp_path / "in" / name, tmp_path / "out" / "folder", PassedOver())
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    return {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }


def test_zip_slip(tmp_path: Path) -> None:
    """Absolute, climbing and hidden names and other drives write nothing outside."""
    bad = [
        "../up.jpg",
        "a/../../up.jpg",
        "/abs.jpg",
        "..\\win.jpg",
        "C:\\win.jpg",
        "\\\\host\\x.jpg",
        ".hidden/x.jpg",
        "__MACOSX/x.jpg",
    ]
    assert unpacked(tmp_path, zipped({**dict.fromkeys(bad, b"evil"), "ok/x.jpg": b"fine"})) == {"folder/ok/x.jpg": b"fine"}


def test_links_and_devices_of_a_tar_are_skipped(tmp_path: Path) -> None:
    """An image behind a linked folder stays inside."""
    data = taped(
        (member("link.jpg", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("dir", tarfile.SYMTYPE, "/tmp"), b""),
        (member("dir/x.jpg"), b"fine"),
        (member("hard.jpg", tarfile.LNKTYPE, "../../secret"), b""),
        (member("pipe.jpg", tarfile.FIFOTYPE), b""),
        (member("disk.jpg", tarfile.BLKTYPE), b""),
    )
    assert unpacked(tmp_path, data, "a.tar.gz") == {"folder/dir/x.jpg": b"fine"}


def test_links_of_a_zip_are_skipped(tmp_path: Path) -> None:
    """A zip stores a link as a file with a mode."""
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("x.jpg", b"fine")
    assert unpacked(tmp_path, stream.getvalue()) == {"folder/x.jpg": b"fine"}


def lying_zip() -> bytes:
    """A zip whose directory tells a small size for a large member."""
    honest = deflated({"a.jpg": bytes(30_000_000)})
    return honest.replace((30_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))


def long_header() -> bytes:
    """A tar whose header announces a name of 40 MB."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 40_000_000
    return gzip.compress(info.tobuf() + b"9 path=a\n" * 4_444_444 + bytes(1024), 1)


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "one large member": ("a.zip", lambda: deflated({"a.jpg": bytes(30_000_000)})),
    "many members": ("a.zip", lambda: deflated({f"{n}.jpg": bytes(1_000_000) for n in range(30)})),
    "a size that lies": ("a.zip", lying_zip),
    "bombs in a bomb": ("a.zip", lambda: zipped({f"{n}.zip": deflated({"a.jpg": bytes(3_000_000)}) for n in range(9)})),
    "a tape of zeros": ("a.tar.gz", lambda: taped((member("a.jpg"), bytes(30_000_000)))),
    "zeros that are no image": ("a.tar.gz", lambda: taped((member("a.bin"), bytes(90_000_000)), (member("b.jpg"), b"x"))),
    "a header without end": ("a.tar.gz", long_header),
    "xz": ("a.tar.xz", lambda: taped((member("a.jpg"), bytes(30_000_000)), mode="w:xz")),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_archive_bombs_are_refused(tmp_path: Path, kind: str) -> None:
    """More than 200 times the archive's size; little of it is written."""
    name, make = BOMBS[kind]
    with pytest.raises(FototecaError, match=r"unpacks to too much|cannot be unpacked"):
        unpacked(tmp_path, make(), name)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()) <= 25_000_000


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty members and those of nested archives count."""
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    inner = zipped({f"{number}.jpg": b"" for number in range(6)})
    with pytest.raises(FototecaError, match="unpacks to too much"):
        unpacked(tmp_path, zipped({"a.zip": inner, "b.zip": inner}))


def test_nested_archives_become_folders(tmp_path: Path) -> None:
    """Nesting is limited to three levels, so a zip that contains itself does not recurse forever."""
    data = zipped({"x.jpg": b"4"})
    for depth in (3, 2, 1):
        data = zipped({"in.zip": data, "x.jpg": str(depth).encode()})
    assert unpacked(tmp_path, data) == {"folder/x.jpg": b"1", "folder/in/x.jpg": b"2", "folder/in/in/x.jpg": b"3"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.zip", b"PK\x03\x04 broken"),
        ("a.zip", b""),
        ("a.zip", ARCHIVE[: len(ARCHIVE) // 2]),
        ("a.tar.gz", gzip.compress(b"no tape" * 1000, mtime=0)),
        ("a.tar.gz", taped((member("a.jpg"), jpeg(1)))[:-1000]),
        ("a.tar.xz", b"\xfd7zXZ\x00 broken"),
        ("a.tar.bz2", b"BZh91AY&SY broken"),
        ("a.tar", b"\x00" * 100),
    ],
)
def test_broken_archives_are_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    """For every exception of the libraries."""
    with pytest.raises(FototecaError, match="cannot be unpacked"):
        unpacked(tmp_path, data, name)


def test_names_in_any_encoding(tmp_path: Path) -> None:
    """UTF-8, code page 437, Latin-1, very long names and wrong endings all become files."""
    long = "ñ" * 200
    names = {"perro/año.jpg": b"1", f"{long}a.jpg": b"2", f"{long}b.jpg": b"3"}
    found = unpacked(tmp_path, zipped(names))
    assert sorted(found.values()) == [b"1", b"2", b"3"]
    assert "folder/perro/año.jpg" in found
    assert all(name.endswith(".jpg") and len(Path(name).name.encode()) <= 255 for name in found)
    unflagged = zipped({"perro/aNNo.jpg": b"1"}).replace(b"aNNo", "añ".encode() + b"o")  # as many programs write UTF-8
    (tmp_path / "zero").mkdir()
    assert list(unpacked(tmp_path / "zero", unflagged)) == ["folder/perro/año.jpg"]
    latin = taped((member("gar\udce7on.jpg"), b"x"), mode="w")
    (tmp_path / "two").mkdir()
    assert list(unpacked(tmp_path / "two", latin, "a.tar").values()) == [b"x"]
    (tmp_path / "three").mkdir()
    assert list(unpacked(tmp_path / "three", latin, "tape.zip.tar").values()) == [b"x"]


def test_distinct_names_stay_distinct(tmp_path: Path) -> None:
    """Other encodings, capitals, and a folder named like an image."""
    tape = taped((member("a\udcf1o.jpg"), b"1"), (member("a\udce7o.jpg"), b"2"), mode="w")
    assert sorted(unpacked(tmp_path, tape, "a.tar").values()) == [b"1", b"2"]
    (tmp_path / "two").mkdir()
    names = {"x.jpg": b"1", "X.jpg": b"2", "x.jpg/y.jpg": b"3", "a:b/c.jpg": b"4", "a?b/c.jpg": b"5"}
    found = unpacked(tmp_path / "two", zipped(names))
    assert sorted(found.values()) == [b"1", b"2", b"3", b"4", b"5"]
    assert len({name.casefold() for name in found}) == 5


@pytest.mark.parametrize("name", ["a/b:c.jpg", "CON.jpg", "con/x.jpg", "what?.jpg", "dot./x.jpg", "x<y>|.jpg", "lpt1.tar.jpg"])
def test_names_are_portable(name: str) -> None:
    """Streams, devices and reserved names of Windows are renamed."""
    parts = safe_name(name).split("/")
    assert len(parts) == name.count("/") + 1 and parts[-1].endswith(".jpg")
    assert not any(set(part) & set('<>:"|?*') or part.endswith((".", " ")) for part in parts)
    assert not any(part.split(".")[0].lower() in ("con", "lpt1") for part in parts)


def test_part_of_another_version_is_not_resumed(site: Site, hubs: Hubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If-Range makes the server send the whole new version."""
    hubs.half = 1
    hubs.tag = '"first"'
    with monkeypatch.context() as patch, pytest.raises(FototecaError, match="files of zenodo failed"):
        patch.setattr("fototeca.collect.http.client.TRIES", 1)
        get(site, tmp_path, None, "")
    hubs.tag = '"second"'
    hubs.half = 0
    assert get(site, tmp_path, None, "").read_bytes() == ARCHIVE
    assert site.requests[-1].headers["If-Range"] == '"first"'
    assert not list(tmp_path.glob("*.tag"))


def test_circuit_breaker_counts_hub_downloads(site: Site, hubs: Hubs, tmp_path: Path) -> None:
    """After repeated failures the host is not requested again."""
    hubs.instead["/files/archive.zip"] = StubResponse(status=500)
    downloader = Downloader(LOCAL, "")
    files = [RemoteFile(f"{site.base}/files/archive.zip", f"{number}.zip") for number in range(20)]
    with pytest.raises(FototecaError, match="files of zenodo failed"):
        download_files("zenodo", files, tmp_path, downloader)
    assert len(site.requests) < 20 and downloader.hosts[site.base].is_down


def test_broken_archive_is_downloaded_again(workspace: Workspace, hubs: Hubs) -> None:
    """Without a checksum, an archive that cannot be unpacked does not count as downloaded."""
    hubs.archive = b"PK\x03\x04 broken"
    with pytest.raises(FototecaError, match="cannot be unpacked"):
        import_dataset(workspace, "kaggle", "alice/pets", FolderOptions(), LOCAL)
    hubs.archive = ARCHIVE
    with pytest.raises(FototecaError, match="proposes a category for each folder"):
        import_dataset(workspace, "kaggle", "alice/pets", FolderOptions(), LOCAL)


def test_unpacked_files_are_kept(tmp_path: Path) -> None:
    """A second call writes nothing."""
    (tmp_path / "a.zip").write_bytes(ARCHIVE)
    unpack(tmp_path / "a.zip", tmp_path / "out", PassedOver())
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    unpack(tmp_path / "a.zip", tmp_path / "out", PassedOver())
    assert len(times) == 4
    assert {path: path.stat().st_mtime_ns for path in times} == times
