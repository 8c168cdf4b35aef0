"""Output and exit codes of `fototeca collect` and `doctor`."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

import fototeca.cli
from fototeca.collect.api.quotas import Quota
from fototeca.collect.catalog import Catalog
from fototeca.collect.checks import python_check
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.sources import load_sources
from fototeca.core.workspace import Workspace, create_workspace
from tests.collect.conftest import PointTo
from tests.servers import ReceivedRequest, StubResponse, image_response, jpeg, json_response, serve

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in a workspace and returns its exit code."""

    def command(workspace: Workspace, *arguments: object) -> int:
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr("sys.argv", ["fototeca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
        return int(stop.value.code or 0)

    return command


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """A workspace of two categories with a target of one image."""
    return create_workspace(tmp_path / "small", ["fox", "dog"], target=1)


def test_two_processes_share_one_archive(tmp_path: Path, fototeca: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Both share the extracted files, and neither removes them from the other."""
    workspace = create_workspace(tmp_path / "w", ["fox", "dog"], target=40)
    for number in range(80):
        file = tmp_path / "photos" / ("fox", "dog")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
    archive = zipped(tmp_path / "photos")
    with ThreadPoolExecutor(2) as pool:
        command = ("collect", "folder", archive, "--label-from-folder")
        both = [pool.submit(fototeca, *command, cwd=workspace.root) for _ in range(2)]
        assert [each.result().returncode for each in both] == [0, 0], [each.result().stderr for each in both]
    with Catalog.open(workspace) as catalog:
        assert len(catalog.images.all("accepted")) == 80
        assert not catalog.candidates.in_state("failed")


def photos(folder: Path) -> Path:
    """Create a folder per category with an image, and two files that are not images."""
    for number, name in enumerate(("fox", "dog")):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.jpg").write_bytes(jpeg(number))
    (folder / "fox" / "b.mp4").write_bytes(b"x")
    (folder / "fox" / "notes").write_bytes(b"x")
    return folder


def zipped(folder: Path) -> Path:
    """Return the folder as a zip file."""
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return folder.with_suffix(".zip")


def tarred(folder: Path) -> Path:
    """Return the folder as a compressed tar file."""
    with tarfile.open(folder.with_suffix(".tar.gz"), "w:gz") as archive:
        archive.add(folder, "x")
    return folder.with_suffix(".tar.gz")


@pytest.mark.parametrize("packed", [Path, zipped, tarred])
def test_folder_and_archives_are_collected(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], packed: Callable[[Path], Path]
) -> None:
    """Labels come from folders; exit 0 with the target reached, and again with nothing new; no extracted file remains."""
    path = packed(photos(tmp_path / "photos"))
    assert run(small, "collect", "folder", path, "--label-from-folder") == 0
    assert "2 candidates, 0 already known, 2 accepted" in capsys.readouterr().out
    assert run(small, "collect", "folder", path, "--label-from-folder") == 0
    assert "2 already known, 0 accepted" in capsys.readouterr().out
    with Catalog.open(small) as catalog:
        assert sorted(image.label for image in catalog.images.all()) == ["dog", "fox"]
    assert not list((small.root / "data" / "cache").rglob("*.jpg"))


def test_ignored_files_are_counted_by_suffix(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary has a line for each kind of file that is no image, with its names."""
    run(small, "collect", "folder", photos(tmp_path / "photos"), "--label-from-folder")
    assert "\n  passed over: 1 video: fox/b.mp4\n" in (stdout := capsys.readouterr().out)
    assert "\n  passed over: 1 not-an-image: fox/notes\n" in stdout


def test_archives_go_by_their_bytes_too(small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As browsers save them."""
    folder = photos(tmp_path / "photos")
    for pack, name in ((zipped, "photos.zip?dl=1"), (tarred, "download")):
        path = pack(folder).rename(tmp_path / name)
        assert run(small, "collect", "folder", path, "--label-from-folder") == 0
        assert capsys.readouterr().out.startswith("2 candidates")


def test_excluded_files_are_counted(small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder and in an archive alike; a pattern that matches nothing is named."""
    folder = photos(tmp_path / "photos")
    for path in (folder, zipped(folder)):
        run(
            small, "collect", "folder", path, "--category", "fox", "--exclude", "dog/", "--exclude", "*.mp4", "--exclude", "*.gif"
        )
        captured = capsys.readouterr()
        assert captured.out.startswith("1 candidate")
        assert "\n  passed over: 2 excluded: dog/a.jpg, fox/b.mp4\n" in captured.out
        assert "fototeca: --exclude *.gif matched no file\n" in captured.err


def test_folder_without_images_tells_what_it_has(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder, an archive and a single file that is no image."""
    (tmp_path / "in").mkdir()
    for name in ("a.psd", "b.PSD", "clip.mp4", "Thumbs.db"):
        (tmp_path / "in" / name).write_bytes(b"8BPS")
    for path, contents in ((tmp_path / "in", "2 psd, 1 mp4"), (zipped(tmp_path / "in"), "2 psd, 1 mp4")):
        assert run(small, "collect", "folder", path) == 2
        assert f"has no images; it has {contents}; see docs/not-taken.md for " in capsys.readouterr().err
    assert run(small, "collect", "folder", tmp_path / "in" / "clip.mp4") == 2
    assert "clip.mp4 has no images; it has 1 mp4; see docs/not-taken.md for video" in capsys.readouterr().err


def test_stale_extracted_folders_are_removed(small: Workspace, run: Run, tmp_path: Path) -> None:
    """Folders of other archives are removed when they are older than a day and not locked."""
    old, held, young = (small.cache / "archives" / name for name in ("0a", "0b", "0c"))
    for folder in (old, held, young):
        (folder / "fox").mkdir(parents=True)
        folder.with_suffix(".lock").touch()
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as packed:
        packed.writestr("a.jpg", jpeg(1))
    with FileLock(held.with_suffix(".lock")):
        for folder in (old, held):
            os.utime(folder.with_suffix(".lock"), (0, 0))
        run(small, "collect", "folder", tmp_path / "new.zip", "--category", "fox")
    assert [folder.exists() for folder in (old, held, young)] == [False, True, True]


def test_failed_archive_leaves_no_extracted_files(run: Run, tmp_path: Path) -> None:
    """Folders that name no category are exit code 2, and the extracted images are removed."""
    workspace = create_workspace(tmp_path / "w", ["cow"], target=1)
    assert run(workspace, "collect", "folder", zipped(photos(tmp_path / "photos")), "--label-from-folder") == 2
    assert not list(workspace.data.rglob("*.jpg"))


def test_url_list_columns_reach_the_attribution_file(small: Workspace, run: Run, tmp_path: Path) -> None:
    """Category, page, author and license of each row are in ATTRIBUTION.csv."""
    with serve(lambda request: image_response(request) or StubResponse(status=404)) as site:
        rows = [
            (f"{site.base}/full/{n}.jpg", name, f"https://e.org/{n}", f"A. {n}", "CC-BY-4.0")
            for n, name in enumerate(["fox", ""])
        ]
        with (tmp_path / "list.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("url", "category", "page_url", "author", "license"), *rows])
        assert run(small, "collect", "urls", tmp_path / "list.csv", "--category", "dog", "--allow-loopback") == 0
    assert run(small, "collect", "attribution", "rights.csv") == 0
    with (small.root / "rights.csv").open(encoding="utf-8", newline="") as file:
        rights = {row["label"]: row for row in csv.DictReader(file)}
    assert rights["fox"]["page_url"] == "https://e.org/0"
    assert (rights["dog"]["author"], rights["dog"]["license"]) == ("A. 1", "CC-BY-4.0")


def test_retry_reasons_on_the_command_line(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reasons may be comma-separated or a bare status; exit 2 if no candidate matches."""
    gone = [True]

    def respond(request: ReceivedRequest) -> StubResponse:
        return (None if gone[0] else image_response(request)) or StubResponse(status=404)

    with serve(respond) as site:
        (tmp_path / "list.txt").write_text(f"{site.base}/full/1.jpg\n")
        assert run(small, "collect", "urls", tmp_path / "list.txt", "--category", "fox", "--allow-loopback") == 3
        assert run(small, "collect", "retry", "--reason", "timeout", "--allow-loopback") == 2
        assert "can be retried" in capsys.readouterr().err
        gone.clear()
        gone.append(False)
        assert run(small, "collect", "retry", "--reason", "timeout,404", "--allow-loopback") == 3
        assert "1 candidate, 0 already known, 1 accepted" in capsys.readouterr().out


def test_search_prints_shortfall_and_dry_run_fetches_nothing(
    point_to: PointTo, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """--dry-run counts the candidates; the search ends with exit code 3 and the number of missing images."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        results = [{"id": str(n), "url": f"{request.base}/full/{n}.jpg", "license": "cc0", "license_version": "1.0",
                    "license_url": "https://creativecommons.org/publicdomain/zero/1.0/"} for n in range(2)]  # fmt: skip
        return json_response({"results": results, "result_count": 2})

    with serve(respond) as site:
        workspace = point_to("openverse", site.base)
        assert run(workspace, "collect", "search", "openverse", "--dry-run", "--allow-loopback") == 0
        assert json.loads(capsys.readouterr().out)["fox"]["candidates"] == 2
        assert not [request for request in site.requests if request.path.startswith("/full")]
        assert run(workspace, "collect", "search", "openverse", "--allow-loopback") == 3
    output = capsys.readouterr()
    assert "2 candidates, 0 already known, 2 accepted" in output.out
    assert output.err.strip().splitlines()[-1].endswith("without near-duplicates: fox 98; collect more")


def test_sources_lists_requirements_limits_licenses_terms(small: Workspace, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Every source and hub has three lines."""
    assert run(small, "collect", "sources") == 0
    blocks = {block.split(" ")[0]: block for block in capsys.readouterr().out.strip().split("\n\n")}
    infos = {**load_sources(), **HUBS}
    assert blocks.keys() == infos.keys()
    for name, info in infos.items():
        assert len(blocks[name].splitlines()) == 3
        assert all(fact and fact in blocks[name] for fact in (info.needs, info.limits, info.licenses, info.terms))


@pytest.mark.parametrize(
    ("version", "ok"),
    [
        ((3, 11, 13), False),
        ((3, 11, 14), True),
        ((3, 12, 11), False),
        ((3, 13, 5), False),
        ((3, 13, 6), True),
        ((3, 14, 0), True),
    ],
)
def test_doctor_warns_of_python_without_the_fixes_of_tarfile(version: tuple[int, int, int], ok: bool) -> None:
    """The check names the vulnerabilities and the release to install."""
    check = python_check(version)
    assert check.ok is ok
    assert ok or ("CVE-2025-4517" in check.detail and "or newer" in check.fix)


def test_doctor_reports_keys_quotas_and_fixes(
    small: Workspace, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are named by variable, never by value; every failed check has a fix."""
    monkeypatch.setenv("FLICKR_API_KEY", "s3cret-value")
    monkeypatch.setattr("fototeca.collect.checks.read_quotas", lambda: {"pexels": Quota("0", "200", "2026-01-02T03:04:05Z")})
    run(small, "doctor", "--json")
    text = capsys.readouterr().out
    checks = {check["name"]: check for check in json.loads(text)}
    assert "s3cret-value" not in text
    assert all(check["fix"] for check in checks.values() if not check["ok"])
    assert [name for name, check in checks.items() if "flickr" in name.lower() and check["ok"]]
    assert [name for name, check in checks.items() if "pexels" in name.lower() and not check["ok"]]
    quota = checks["quota pexels"]
    assert (quota["ok"], quota["detail"]) == (False, "0 of 200 requests left at 2026-01-02T03:04 UTC")
