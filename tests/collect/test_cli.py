"""The commands of `fototeca collect` and `doctor` as a person gives them: what they print, and how they end."""

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
from fototeca.collect.hubs.registry import HUBS
from fototeca.collect.sources import load_sources
from fototeca.core.workspace import Workspace, create_workspace
from tests.collect.conftest import PointTo
from tests.servers import ReceivedRequest, StubResponse, image_response, jpeg, json_response, serve

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a command in a workspace; its exit code."""

    def command(workspace: Workspace, *arguments: object) -> int:
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr("sys.argv", ["fototeca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
        return int(stop.value.code or 0)

    return command


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """Two categories that want one image each."""
    return create_workspace(tmp_path / "small", ["fox", "dog"], target=1)


def test_one_archive_taken_in_twice_at_once(tmp_path: Path, fototeca: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Two commands beside one another share what is unpacked, and none takes it away from the other."""
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
    """A folder for each category, an image in each, and files that are none."""
    for number, name in enumerate(("fox", "dog")):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.jpg").write_bytes(jpeg(number))
    (folder / "fox" / "b.heic").write_bytes(b"x")
    (folder / "fox" / "notes").write_bytes(b"x")
    return folder


def zipped(folder: Path) -> Path:
    """The folder as a zip file."""
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return folder.with_suffix(".zip")


def tarred(folder: Path) -> Path:
    """The folder as a compressed tar file."""
    with tarfile.open(folder.with_suffix(".tar.gz"), "w:gz") as archive:
        archive.add(folder, "x")
    return folder.with_suffix(".tar.gz")


@pytest.mark.parametrize("packed", [Path, zipped, tarred])
def test_a_folder_or_archive_is_taken_in(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], packed: Callable[[Path], Path]
) -> None:
    """Labels from the folders, exit 0 with the target reached, exit 0 again with nothing new; nothing unpacked stays."""
    path = packed(photos(tmp_path / "photos"))
    assert run(small, "collect", "folder", path, "--label-from-folder") == 0
    assert "2 candidates, 0 known before, 2 accepted" in capsys.readouterr().out
    assert run(small, "collect", "folder", path, "--label-from-folder") == 0
    assert "2 known before, 0 accepted" in capsys.readouterr().out
    with Catalog.open(small) as catalog:
        assert sorted(image.label for image in catalog.images.all()) == ["dog", "fox"]
    assert not list((small.root / "data" / "cache").rglob("*.jpg"))


def test_files_that_are_passed_over_are_told(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, and of which kinds: nobody looks for them later."""
    run(small, "collect", "folder", photos(tmp_path / "photos"), "--label-from-folder")
    assert "passed over" in (said := capsys.readouterr().err)
    assert said.endswith("can be read: 1 .heic, 1 without ending\n")


def test_what_a_killed_collection_unpacked_goes_with_a_later_one(small: Workspace, run: Run, tmp_path: Path) -> None:
    """Once it is a day old and nobody is at work on it: its own archive may never be given again."""
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


def test_an_archive_that_cannot_be_taken_in_leaves_nothing_unpacked(run: Run, tmp_path: Path) -> None:
    """A folder that names no category is wrong input; the copies of the images do not stay behind."""
    workspace = create_workspace(tmp_path / "w", ["fox"], target=1)
    assert run(workspace, "collect", "folder", zipped(photos(tmp_path / "photos")), "--label-from-folder") == 2
    assert not list(workspace.data.rglob("*.jpg"))


def test_a_list_of_addresses_keeps_what_it_says(small: Workspace, run: Run, tmp_path: Path) -> None:
    """Each row's category, page, author and licence are in ATTRIBUTION.csv."""
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
        told = {row["label"]: row for row in csv.DictReader(file)}
    assert told["fox"]["page_url"] == "https://e.org/0"
    assert (told["dog"]["author"], told["dog"]["license"]) == ("A. 1", "CC-BY-4.0")


def test_retry_says_when_there_is_nothing_and_tries_what_there_is(
    small: Workspace, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reasons joined with commas, a bare number for a site's answer; exit 2 and a line when no candidate fits."""
    gone = [True]

    def respond(request: ReceivedRequest) -> StubResponse:
        return (None if gone[0] else image_response(request)) or StubResponse(status=404)

    with serve(respond) as site:
        (tmp_path / "list.txt").write_text(f"{site.base}/full/1.jpg\n")
        assert run(small, "collect", "urls", tmp_path / "list.txt", "--category", "fox", "--allow-loopback") == 3
        assert run(small, "collect", "retry", "--reason", "timeout", "--allow-loopback") == 2
        assert "no candidate fits" in capsys.readouterr().err
        gone.clear()
        gone.append(False)
        assert run(small, "collect", "retry", "--reason", "timeout,404", "--allow-loopback") == 3
        assert "1 candidates, 0 known before, 1 accepted" in capsys.readouterr().out


def test_a_search_states_its_shortfall_and_a_dry_run_fetches_nothing(
    point_to: PointTo, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two results where a hundred are wanted: counted by --dry-run, then fetched, and the rest is told with exit code 3."""

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
    said = capsys.readouterr()
    assert "2 candidates, 0 known before, 2 accepted" in said.out
    assert said.err.strip().splitlines()[-1].endswith("do not look alike: fox 98; collect more")


def test_sources_are_listed(small: Workspace, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Every source and hub in three lines: keys, limits, licences, terms."""
    assert run(small, "collect", "sources") == 0
    told = {block.split(" ")[0]: block for block in capsys.readouterr().out.strip().split("\n\n")}
    infos = {**load_sources(), **HUBS}
    assert told.keys() == infos.keys()
    for name, info in infos.items():
        assert len(told[name].splitlines()) == 3
        assert all(fact and fact in told[name] for fact in (info.needs, info.limits, info.licenses, info.terms))


def test_doctor_names_keys_and_what_is_missing(
    small: Workspace, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each key by its variable and never by its value; what is missing has its fix; without a browser the exit code is 4."""
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
