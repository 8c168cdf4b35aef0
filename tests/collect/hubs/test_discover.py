"""`fototeca collect discover` and the commands of the hubs."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable

import pytest
import typer

import fototeca.cli
from fototeca.collect.cli.hubs import HUBS as COMMANDS
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs import get_hub
from fototeca.collect.hubs.discover import discover
from fototeca.collect.hubs.registry import HUBS as KNOWN
from fototeca.core.errors import EXIT_DONE, EXIT_OUTSIDE, EXIT_SHORT, EXIT_USAGE, FototecaError
from fototeca.core.workspace import Workspace
from tests.collect.hub_server import HUBS, REFS, Hubs
from tests.servers import StubResponse, json_response

OPTIONS = ("--allow-loopback", "--send-key-to", "127.0.0.1")
LOCAL = FetchOptions(allow_loopback=True, send_key_to=("127.0.0.1",), timeout=5.0)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `fototeca collect ARG…` in the workspace: exit code, stdout, stderr."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr(sys, "argv", ["fototeca", "collect", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return command


def test_discover_lists_datasets_of_all_hubs(workspace: Workspace) -> None:
    """Reference, title and URL, and size, images and license where the hub states them."""
    found = discover(workspace, "cats", (), LOCAL)
    assert not found.problems
    assert [dataset.hub for dataset in found.datasets] == list(HUBS)
    assert {dataset.title for dataset in found.datasets} == {"Cats and dogs"}
    facts = {dataset.hub: (dataset.size, dataset.images, dataset.license) for dataset in found.datasets}
    assert facts["kaggle"] == (4321, None, "CC0-1.0")
    assert facts["roboflow"] == (None, 4, "unknown")
    assert facts["huggingface"] == (4321, None, "CC-BY-4.0")
    assert facts["zenodo"][2] == "CC-BY-4.0"
    assert all(dataset.url.startswith("http") for dataset in found.datasets)


def test_discovered_reference_can_be_imported(workspace: Workspace, run: Run) -> None:
    """The hub's command accepts the reference of a result."""
    for dataset in discover(workspace, "cats", (), LOCAL).datasets:
        code, _, errors = run(dataset.hub, dataset.ref, *OPTIONS)
        assert (code, errors.count("\n")) == (EXIT_SHORT, 1), errors


def test_failed_hub_is_one_line_on_stderr(workspace: Workspace, hubs: Hubs, run: Run) -> None:
    """The others are listed."""
    hubs.instead["/zenodo"] = json_response({}, 429, Retry_After="0")
    hubs.instead["/figshare"] = json_response({"changed": True})
    code, out, errors = run("discover", "cats", "--json", *OPTIONS)
    assert code == EXIT_DONE
    assert [row["hub"] for row in json.loads(out)] == ["kaggle", "roboflow", "huggingface", "mendeley"]
    lines = errors.splitlines()
    assert len(lines) == 2
    assert "zenodo: the quota is exhausted" in lines[0]
    assert "figshare returned an unexpected response" in lines[1]


def test_missing_key_is_one_line_that_names_it(workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """For Kaggle, whose client would print help and exit, and for Roboflow."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "ROBOFLOW_API_KEY"):
        monkeypatch.delenv(name)
    code, out, errors = run("discover", "cats", *OPTIONS)
    assert code == EXIT_DONE
    assert "kaggle needs a key; set KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN" in errors
    assert "roboflow needs a key; set ROBOFLOW_API_KEY" in errors
    assert "Cats and dogs" in out


def test_table_lists_datasets_and_their_urls(run: Run) -> None:
    """The table has readable sizes; below it are the URLs and the next step."""
    code, out, _ = run("discover", "cats", "--hub", "kaggle", "--hub", "zenodo", *OPTIONS)
    lines = out.splitlines()
    assert code == EXIT_DONE
    assert lines[0].split() == ["hub", "ref", "title", "size", "images", "license"]
    assert all(len(line) <= 80 for line in lines[:3])
    assert "4.3 kB" in lines[1]
    assert [line.split(": ")[0] for line in lines if ": http" in line] == ["kaggle alice/pets", "zenodo 1234"]
    assert lines[-1] == "fetch one with: fototeca collect HUB REF"


def test_no_results(run: Run) -> None:
    """Exit code 0 with a message; --json prints an empty list."""
    code, out, errors = run("discover", "nothing", "--json", *OPTIONS)
    assert (code, json.loads(out)) == (EXIT_DONE, [])
    assert "no dataset found" in errors


def test_no_results_and_a_failed_hub(hubs: Hubs, run: Run) -> None:
    """Both are reported; exit code 0."""
    hubs.instead["/figshare"] = json_response({}, 404)
    code, _, errors = run("discover", "nothing", "--hub", "zenodo", "--hub", "figshare", *OPTIONS)
    assert (code, errors.count("\n")) == (EXIT_DONE, 2)


def test_exit_code_4_if_every_hub_fails(workspace: Workspace, hubs: Hubs, run: Run) -> None:
    """The command has failed."""
    hubs.instead["/"] = json_response({}, 404)
    code, out, errors = run("discover", "cats", "--hub", "mendeley", "--hub", "figshare", "--json", *OPTIONS)
    assert (code, json.loads(out)) == (EXIT_OUTSIDE, [])
    assert errors.count("request failed") == 2


def test_mendeley_search_respects_robots(hubs: Hubs, run: Run) -> None:
    """robots.txt is read first."""
    hubs.instead["/robots.txt"] = StubResponse(b"User-agent: *\nDisallow: /mendeley/search\n", "text/plain")
    code, _, errors = run("discover", "cats", "--hub", "mendeley", *OPTIONS)
    assert code == EXIT_OUTSIDE
    assert "the robots.txt of mendeley forbids this request" in errors


def test_wrong_use(workspace: Workspace, run: Run) -> None:
    """An unknown hub, an empty query and an invalid reference: exit code 2."""
    assert run("discover", "cats", "--hub", "nowhere")[0] == EXIT_USAGE
    assert run("discover", " ")[0] == EXIT_USAGE
    for hub in HUBS:
        code, _, errors = run(hub, "!")
        assert (code, errors.count("\n")) == (EXIT_USAGE, 1)
        assert "is not a dataset of" in errors


def test_bug_in_a_hub_is_raised(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own mistakes are not reported as failures of the hub."""
    monkeypatch.setattr("fototeca.collect.hubs.zenodo.find_datasets", lambda query, context: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        discover(workspace, "cats", ("zenodo",), LOCAL)


def test_hanging_hub_is_given_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients of some hubs have no deadline."""
    done = threading.Event()
    monkeypatch.setattr("fototeca.collect.hubs.zenodo.find_datasets", lambda query, context: done.wait(30))
    found = discover(workspace, "cats", ("zenodo", "figshare"), FetchOptions(allow_loopback=True, timeout=0.3))
    done.set()
    assert [dataset.hub for dataset in found.datasets] == ["figshare"]
    assert "did not respond" in found.problems["zenodo"]


def test_import_command_from_proposal_to_images(workspace: Workspace, run: Run) -> None:
    """Exit code 3 with a proposal, then 0 with --map."""
    code, out, errors = run("zenodo", REFS["zenodo"], *OPTIONS)
    assert (code, out, errors.count("\n")) == (EXIT_SHORT, "", 1)
    file = errors.strip().rpartition("--map ")[2]
    code, out, _ = run("zenodo", REFS["zenodo"], "--map", file, *OPTIONS)
    assert (code, out.splitlines()[0]) == (EXIT_DONE, "3 candidates, 0 already known, 3 accepted")


def test_every_hub_has_a_command_and_a_description() -> None:
    """Commands, registry and modules list the same hubs."""
    commands = set(typer.main.get_command(fototeca.cli.collect_app).commands)  # type: ignore[attr-defined]
    assert set(COMMANDS) == set(KNOWN) == set(HUBS)
    assert set(HUBS) <= commands


@pytest.mark.parametrize(
    ("hub", "ref", "canonical"),
    [
        ("kaggle", "https://www.kaggle.com/datasets/a-b/c-d?select=x", "a-b/c-d"),
        ("kaggle", "a-b/c-d/versions/3", "a-b/c-d/versions/3"),
        ("roboflow", "https://universe.roboflow.com/a-b/c-d/dataset/3", "a-b/c-d/3"),
        ("roboflow", "https://universe.roboflow.com/a-b/c-d", "a-b/c-d"),
        ("roboflow", "a-b/c-d/3", "a-b/c-d/3"),
        ("huggingface", "https://huggingface.co/datasets/a/b.c/tree/main/data", "a/b.c@main"),
        ("huggingface", "beans", "beans"),
        ("huggingface", "a/b@1234abc", "a/b@1234abc"),
        ("huggingface", "https://huggingface.co/datasets/a/b/tree/refs%2Fconvert%2Fparquet/all", "a/b@refs/convert/parquet"),
        ("zenodo", "https://zenodo.org/records/1234?token=x", "1234"),
        ("zenodo", "https://zenodo.org/record/1234/files/x.zip", "1234"),
        ("zenodo", "10.5281/zenodo.1234", "1234"),
        ("figshare", "https://figshare.com/articles/dataset/Cats_2019/5678/3", "5678/3"),
        ("figshare", "https://uni.figshare.com/articles/dataset/Cats_and_dogs/5678", "5678"),
        ("figshare", "10.6084/m9.figshare.5678.v2", "5678/2"),
        ("figshare", "5678", "5678"),
        ("mendeley", "https://data.mendeley.com/datasets/abcdefghij/2", "abcdefghij/2"),
        ("mendeley", "10.17632/abcdefghij.2", "abcdefghij/2"),
        ("mendeley", "abcdefghij", "abcdefghij"),
    ],
)
def test_references_are_normalized(hub: str, ref: str, canonical: str) -> None:
    """An id, a DOI and a page's URL are one reference."""
    assert get_hub(hub).normalize_ref(ref) == canonical
    assert get_hub(hub).normalize_ref(canonical) == canonical


@pytest.mark.parametrize("hub", HUBS)
@pytest.mark.parametrize("ref", ["", "../etc", "../../etc", "https://example.org/a/b", "a/b/c/d/e", "10.1234/x", "a b/c"])
def test_invalid_references_are_refused(hub: str, ref: str) -> None:
    """Before any request; no reference can name a file elsewhere."""
    with pytest.raises(FototecaError, match="is not a dataset of"):
        get_hub(hub).normalize_ref(ref)
