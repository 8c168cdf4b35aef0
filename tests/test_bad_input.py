"""Wrong input at every stage: one clear line, the design's exit code, nothing lost."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import fototeca.cli
from fototeca.core.errors import EXIT_OUTSIDE, EXIT_SHORT, EXIT_USAGE
from fototeca.core.workspace import create_workspace

MakeImages = Callable[[Path, dict[str, int]], Path]

OUTSIDE = (
    ["status"],
    ["collect", "folder", "."],
    ["curate", "freeze"],
    ["train", "list"],
    ["analysis", "report", "--manifest", "v001"],
)


@dataclass
class Outcome:
    """What a person sees of one command."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The line that says what is wrong."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


class Shell:
    """Runs commands in this process, as `fototeca ARG…` in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def __call__(self, *arguments: object) -> Outcome:
        """Run one command and return what it printed and its exit code."""
        self.monkeypatch.chdir(self.folder)
        self.monkeypatch.setattr(sys, "argv", ["fototeca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
        captured = self.capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in an empty workspace with the categories red and blue."""
    create_workspace(tmp_path / "w", ["red", "blue"], target=1)
    return Shell(tmp_path / "w", monkeypatch, capsys)


@pytest.fixture
def filled(shell: Shell, make_images: MakeImages) -> Shell:
    """The same with thirty images of each category, frozen as v001."""
    make_images(shell.folder / "in", {"red": 30, "blue": 30})
    assert shell("collect", "folder", "in", "--label-from-folder").code == 0
    assert shell("curate", "freeze").code == 0
    return shell


def refuses(outcome: Outcome, *words: str, code: int = EXIT_USAGE) -> None:
    """One line on stderr with these words and nothing else there, and the right exit code."""
    assert outcome.code == code, outcome
    assert outcome.err.splitlines() == [outcome.last]
    assert outcome.last.startswith("fototeca: ")
    for word in words:
        assert word in outcome.last


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["collect", "attribution", "names.csv"],
        ["collect", "retry"],
        *(
            ["curate", name]
            for name in ("dedup", "groups", "check", "agreement", "log", "freeze", "versions", "recover", "suggest")
        ),
        ["curate", "verify", "latest"],
        ["train", "list"],
        ["train", "run", "--manifest", "latest", "--model", "cnn", "--regime", "scratch"],
        ["train", "ensemble", "a", "b"],
        ["analysis", "evaluate", "r", "--split", "val"],
        ["analysis", "report", "--manifest", "latest"],
    ],
    ids=" ".join,
)
def test_a_command_before_there_is_anything(shell: Shell, words: list[str]) -> None:
    """In a workspace without an image: it does what it can, or one line says what to do first."""
    outcome = shell(*words)
    assert outcome.code in (0, EXIT_USAGE, EXIT_SHORT) and "Traceback" not in outcome.err, outcome
    assert outcome.code == 0 or (outcome.last.startswith("fototeca: ") and "; " in outcome.last), outcome


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "run", "--model", "cnn"], "fototeca: Missing option '--manifest'; see: fototeca train run --help"),
        (["curate", "freeze", "--seed", "x"], "fototeca: Invalid value for '--seed': 'x' is not a valid integer; see:"),
        (["curate", "feeze"], "fototeca: No such command 'feeze'"),
        (
            ["curate", "export", "v001", "--format"],
            "fototeca: Option '--format' requires an argument; see: fototeca curate export --help",
        ),
    ],
)
def test_wrong_words_are_one_line(shell: Shell, words: list[str], message: str) -> None:
    """What is wrong with the command, and where its help is."""
    outcome = shell(*words)
    assert outcome.code == EXIT_USAGE
    assert outcome.err.count("\n") == 1 and outcome.last.startswith(message), outcome.err


def test_images_without_a_label_are_told(shell: Shell, make_images: MakeImages) -> None:
    """Taken in without a category they are no category's: status says how many wait, and where to give them one."""
    make_images(shell.folder / "in", {"red": 3})
    assert "3 accepted" in shell("collect", "folder", "in").out
    assert "3 accepted images have no label: give them one in fototeca curate review" in shell("status").out
    refuses(shell("curate", "freeze"), "red has 0", "collect more, label the 3 images that have no label, or remove the category")


def test_a_file_that_was_lost_comes_back_from_where_it_was(shell: Shell, make_images: MakeImages) -> None:
    """As the error says: collected again from the same place, it is in the store again, with all that was decided about it."""
    make_images(shell.folder / "in", {"red": 30, "blue": 30})
    shell("collect", "folder", "in", "--label-from-folder")
    shell("curate", "freeze")
    victim = next((shell.folder / "data" / "images").glob("*/*.jpg"))
    whole = victim.read_bytes()
    victim.unlink()
    assert "is gone" in shell("curate", "verify", "v001").out
    assert (
        "59 known before, 0 accepted, 1 brought back to the store" in shell("collect", "folder", "in", "--label-from-folder").out
    )
    assert victim.read_bytes() == whole and shell("curate", "verify", "v001").code == 0


def test_a_lost_file_whose_place_has_something_else(shell: Shell, make_images: MakeImages) -> None:
    """Told each time, and nothing is left in the store that no image is of; an image in its place is a new image."""
    make_images(shell.folder / "in", {"red": 30, "blue": 30})
    shell("collect", "folder", "in", "--label-from-folder")
    store = shell.folder / "data" / "images"
    places = {path.read_bytes(): path for path in (shell.folder / "in").rglob("*.jpg")}
    first, second = sorted(store.glob("*/*.jpg"))[:2]
    origins = [places[path.read_bytes()] for path in (first, second)]
    for path in (first, second):
        path.unlink()
    origins[0].write_bytes(bytes(origins[0].stat().st_size))  # as long as it was, and no image
    whole = origins[1].read_bytes()
    Image.open(io.BytesIO(whole)).rotate(90, expand=True).save(origins[1], quality=99)
    told = shell("collect", "folder", "in", "--label-from-folder").out
    assert "1 accepted, 1 gone from the store and from where they were" in told
    assert len(list(store.glob("*/*.jpg"))) == 59, "58 of the old, one new"
    origins[1].write_bytes(whole)
    told = shell("collect", "folder", "in", "--label-from-folder").out
    assert "1 brought back to the store, 1 gone from the store" in told and second.read_bytes() == whole


def test_no_workspace(shell: Shell) -> None:
    """Outside any workspace every command says how to make one."""
    (shell.folder / "fototeca.toml").unlink()
    for command in OUTSIDE:
        refuses(shell(*command), "fototeca init")


def test_an_unknown_category(shell: Shell, make_images: MakeImages) -> None:
    """A category that the workspace lacks is named together with those it has."""
    make_images(shell.folder / "in", {"red": 1})
    refuses(shell("collect", "folder", "in", "--category", "green"), "green", "red, blue")
    refuses(shell("curate", "label", "abc", "--label", "green"), "green")


def test_an_empty_folder(shell: Shell) -> None:
    """Nothing to collect is said, not passed over."""
    (shell.folder / "empty").mkdir()
    refuses(shell("collect", "folder", "empty", "--category", "red"), "empty")
    refuses(shell("collect", "folder", "missing", "--category", "red"), "missing")


def test_a_folder_without_images(shell: Shell) -> None:
    """Texts only: refused by name, each file a row or the folder an error; nothing accepted."""
    (shell.folder / "texts").mkdir()
    (shell.folder / "texts" / "a.txt").write_text("hello")
    refuses(shell("collect", "folder", "texts", "--category", "red"), "texts")


def test_a_broken_file_is_a_row_with_its_reason(shell: Shell, make_images: MakeImages) -> None:
    """A truncated JPEG and a text named .jpg are recorded and do not end the run."""
    folder = make_images(shell.folder / "in", {"red": 3})
    whole = (folder / "red" / "000.jpg").read_bytes()
    (folder / "red" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "red" / "page.jpg").write_text("<html>not found</html>")
    shell("collect", "folder", "in", "--label-from-folder")
    outcome = shell("status", "--json")
    assert '"truncated": 1' in outcome.out
    assert '"not-an-image": 1' in outcome.out


def test_a_csv_without_the_column(shell: Shell, make_images: MakeImages) -> None:
    """The missing column is named, for labels and for addresses."""
    make_images(shell.folder / "in", {"red": 1})
    (shell.folder / "labels.csv").write_text("file,name\nred/000.jpg,red\n")
    refuses(shell("collect", "folder", "in", "--labels", "labels.csv"), "path")
    (shell.folder / "urls.csv").write_text("address,category\nhttp://127.0.0.1/x.jpg,red\n")
    refuses(shell("collect", "urls", "urls.csv"), "url")


def test_a_target_that_is_not_reached(shell: Shell, make_images: MakeImages) -> None:
    """Done but short is exit code 3, and the category that is short is named."""
    make_images(shell.folder / "in", {"red": 2})
    refuses(shell("collect", "folder", "in", "--label-from-folder"), "blue", code=EXIT_SHORT)


def test_too_few_images_to_split(shell: Shell, make_images: MakeImages) -> None:
    """Freezing needs enough images of each category; the one that lacks them is named and nothing is written."""
    make_images(shell.folder / "in", {"red": 30, "blue": 1})
    shell("collect", "folder", "in", "--label-from-folder")
    refuses(shell("curate", "freeze"), "blue")
    assert not list((shell.folder / "manifests").glob("v*"))


def test_a_manifest_edited_by_hand(filled: Shell) -> None:
    """Its digest no longer fits: every reader refuses it."""
    path = filled.folder / "manifests" / "v001.csv"
    path.write_text(path.read_text().replace(",red,", ",blue,", 1))
    refuses(filled("train", "run", "--manifest", "v001", "--model", "cnn", "--regime", "scratch"), "v001")
    outcome = filled("curate", "verify", "v001", "--json")
    assert outcome.code != 0
    assert '"ok": false' in outcome.out


def test_a_manifest_whose_image_is_gone(filled: Shell) -> None:
    """The missing file is named before anything is trained."""
    victim = next((filled.folder / "data" / "images").rglob("*.jpg"))
    victim.unlink()
    refuses(filled("train", "run", "--manifest", "v001", "--model", "cnn", "--regime", "scratch"), victim.stem[:12])
    outcome = filled("curate", "verify", "v001")
    assert outcome.code != 0
    assert victim.stem[:12] in outcome.out + outcome.err


def test_an_unknown_version_model_and_run(filled: Shell) -> None:
    """What does not exist is named, with what does."""
    refuses(filled("train", "run", "--manifest", "v009", "--model", "cnn", "--regime", "scratch"), "v009", "v001")
    refuses(filled("train", "run", "--manifest", "v001", "--model", "resnet19", "--regime", "scratch"), "resnet18")
    refuses(filled("analysis", "evaluate", "nothing", "--split", "val"), "nothing")
    refuses(filled("analysis", "predict", "nothing", "in/red/000.jpg"), "nothing")


def test_weights_that_are_not_there(filled: Shell) -> None:
    """A weight file that is missing, and one that is no weight file."""
    arguments = ("train", "run", "--manifest", "v001", "--model", "squeezenet1_0", "--regime", "features", "--weights")
    refuses(filled(*arguments, "missing.pth"), "missing.pth")
    (filled.folder / "bad.pth").write_bytes(b"nothing like it")
    refuses(filled(*arguments, "bad.pth"), "bad.pth")


def test_a_place_that_cannot_be_written(filled: Shell) -> None:
    """A file below a file, and a folder where a file should be: one line that names the place a person gave."""
    (filled.folder / "file").write_text("x")
    (filled.folder / "taken").mkdir()
    for command in (
        ("curate", "groups", "--csv", "PLACE"),
        ("curate", "rebuild", "v001", "--output", "PLACE"),
        ("curate", "export", "v001", "PLACE", "--format", "coco"),
        ("collect", "attribution", "PLACE"),
    ):
        below = filled(*(part.replace("PLACE", "file/x") for part in command))
        refuses(below, "file", code=EXIT_OUTSIDE)
        if command[1] != "export":
            refuses(filled(*(part.replace("PLACE", "taken") for part in command)), "taken", code=EXIT_OUTSIDE)
