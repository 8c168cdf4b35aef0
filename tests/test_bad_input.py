"""Wrong input at every stage: one clear line and the exit code of the design; nothing is lost."""

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
class CommandResult:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The error line."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


class Shell:
    """Run commands in this process, as `fototeca ARG…` in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def __call__(self, *arguments: object) -> CommandResult:
        """Run one command and return what it printed and its exit code."""
        self.monkeypatch.chdir(self.folder)
        self.monkeypatch.setattr(sys, "argv", ["fototeca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
        captured = self.capsys.readouterr()
        return CommandResult(int(stop.value.code or 0), captured.out, captured.err)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in an empty workspace with the categories red and blue."""
    create_workspace(tmp_path / "w", ["red", "blue"], target=1)
    return Shell(tmp_path / "w", monkeypatch, capsys)


@pytest.fixture
def filled(shell: Shell, make_images: MakeImages) -> Shell:
    """The shell with thirty images of each category, frozen as v001."""
    make_images(shell.folder / "in", {"red": 30, "blue": 30})
    assert shell("collect", "folder", "in", "--label-from-folder").code == 0
    assert shell("curate", "freeze").code == 0
    return shell


def assert_error(result: CommandResult, *words: str, code: int = EXIT_USAGE) -> None:
    """Check the exit code, and that stderr is one line with these words."""
    assert result.code == code, result
    assert result.err.splitlines() == [result.last]
    assert result.last.startswith("fototeca: ")
    for word in words:
        assert word in result.last


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["collect", "attribution", "names.csv"],
        ["collect", "retry"],
        *(
            ["curate", name]
            for name in ("dedup", "groups", "quality", "agreement", "history", "freeze", "versions", "recover", "label-issues")
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
def test_commands_in_an_empty_workspace(shell: Shell, words: list[str]) -> None:
    """Each command works, or one line says what to do first."""
    result = shell(*words)
    assert result.code in (0, EXIT_USAGE, EXIT_SHORT) and "Traceback" not in result.err, result
    assert result.code == 0 or (result.last.startswith("fototeca: ") and "; " in result.last), result


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
def test_usage_errors_are_one_line(shell: Shell, words: list[str], message: str) -> None:
    """The line names the error and the help to read."""
    result = shell(*words)
    assert result.code == EXIT_USAGE
    assert result.err.count("\n") == 1 and result.last.startswith(message), result.err


def test_unlabeled_images_are_reported(shell: Shell, make_images: MakeImages) -> None:
    """status counts images without a category and says how to label them."""
    make_images(shell.folder / "in", {"red": 3})
    assert "3 accepted" in shell("collect", "folder", "in").out
    assert "3 accepted images have no label; label them with: fototeca curate review" in shell("status").out
    assert_error(shell("curate", "freeze"), "red has 0", "collect more, label the 3 images without label, or remove the category")


def test_lost_file_is_restored_by_collecting_again(shell: Shell, make_images: MakeImages) -> None:
    """The image is in the store again with all its decisions."""
    make_images(shell.folder / "in", {"red": 30, "blue": 30})
    shell("collect", "folder", "in", "--label-from-folder")
    shell("curate", "freeze")
    victim = next((shell.folder / "data" / "images").glob("*/*.jpg"))
    whole = victim.read_bytes()
    victim.unlink()
    assert "is missing" in shell("curate", "verify", "v001").out
    assert "59 already known, 0 accepted, 1 restored to the store" in shell("collect", "folder", "in", "--label-from-folder").out
    assert victim.read_bytes() == whole and shell("curate", "verify", "v001").code == 0


def test_lost_file_whose_source_changed(shell: Shell, make_images: MakeImages) -> None:
    """Reported each time; the changed file becomes a new image and leaves nothing unused in the store."""
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
    assert "1 accepted, 1 lost from the store and from their source" in told
    assert len(list(store.glob("*/*.jpg"))) == 59, "58 of the old, one new"
    origins[1].write_bytes(whole)
    told = shell("collect", "folder", "in", "--label-from-folder").out
    assert "1 restored to the store, 1 lost from the store" in told and second.read_bytes() == whole


def test_commands_outside_a_workspace(shell: Shell) -> None:
    """Every command says how to create one."""
    (shell.folder / "fototeca.toml").unlink()
    for command in OUTSIDE:
        assert_error(shell(*command), "fototeca init")


def test_unknown_category(shell: Shell, make_images: MakeImages) -> None:
    """The error lists the categories of the workspace."""
    make_images(shell.folder / "in", {"red": 1})
    assert_error(shell("collect", "folder", "in", "--category", "green"), "green", "red, blue")
    assert_error(shell("curate", "label", "abc", "--label", "green"), "green")


def test_empty_folder(shell: Shell) -> None:
    """The error says that the folder has no images."""
    (shell.folder / "empty").mkdir()
    assert_error(shell("collect", "folder", "empty", "--category", "red"), "empty")
    assert_error(shell("collect", "folder", "missing", "--category", "red"), "missing")


def test_folder_without_images(shell: Shell) -> None:
    """Text files are rejected by name; nothing is accepted."""
    (shell.folder / "texts").mkdir()
    (shell.folder / "texts" / "a.txt").write_text("hello")
    assert_error(shell("collect", "folder", "texts", "--category", "red"), "texts")


def test_broken_file_is_recorded_with_its_reason(shell: Shell, make_images: MakeImages) -> None:
    """A truncated JPEG and a text named .jpg do not end the run."""
    folder = make_images(shell.folder / "in", {"red": 3})
    whole = (folder / "red" / "000.jpg").read_bytes()
    (folder / "red" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "red" / "page.jpg").write_text("<html>not found</html>")
    shell("collect", "folder", "in", "--label-from-folder")
    result = shell("status", "--json")
    assert '"truncated": 1' in result.out
    assert '"not-an-image": 1' in result.out


def test_csv_without_a_required_column(shell: Shell, make_images: MakeImages) -> None:
    """The columns that the table has are named with those it needs, for labels and for URLs."""
    make_images(shell.folder / "in", {"red": 1})
    (shell.folder / "labels.csv").write_text("file,colour\nred/000.jpg,rojizo\n")
    assert_error(shell("collect", "folder", "in", "--labels", "labels.csv"), "file, colour", "--columns path=COLUMN,label=COLUMN")
    (shell.folder / "urls.csv").write_text("place,category\nhome,red\n")
    assert_error(shell("collect", "urls", "urls.csv"), "url")


def test_target_not_reached(shell: Shell, make_images: MakeImages) -> None:
    """Exit code 3; the category below its target is named."""
    make_images(shell.folder / "in", {"red": 2})
    assert_error(shell("collect", "folder", "in", "--label-from-folder"), "blue", code=EXIT_SHORT)


def test_too_few_images_to_split(shell: Shell, make_images: MakeImages) -> None:
    """freeze names the category and writes nothing."""
    make_images(shell.folder / "in", {"red": 30, "blue": 1})
    shell("collect", "folder", "in", "--label-from-folder")
    assert_error(shell("curate", "freeze"), "blue")
    assert not list((shell.folder / "manifests").glob("v*"))


def test_edited_manifest_is_rejected(filled: Shell) -> None:
    """Every command that reads it checks the digest."""
    path = filled.folder / "manifests" / "v001.csv"
    path.write_text(path.read_text().replace(",red,", ",blue,", 1))
    assert_error(filled("train", "run", "--manifest", "v001", "--model", "cnn", "--regime", "scratch"), "v001")
    result = filled("curate", "verify", "v001", "--json")
    assert result.code != 0
    assert '"ok": false' in result.out


def test_manifest_with_a_missing_image(filled: Shell) -> None:
    """The file is named before training starts."""
    victim = next((filled.folder / "data" / "images").rglob("*.jpg"))
    victim.unlink()
    assert_error(filled("train", "run", "--manifest", "v001", "--model", "cnn", "--regime", "scratch"), victim.stem[:12])
    result = filled("curate", "verify", "v001")
    assert result.code != 0
    assert victim.stem[:12] in result.out + result.err


def test_unknown_version_model_and_run(filled: Shell) -> None:
    """The error lists what exists."""
    assert_error(filled("train", "run", "--manifest", "v009", "--model", "cnn", "--regime", "scratch"), "v009", "v001")
    assert_error(filled("train", "run", "--manifest", "v001", "--model", "resnet19", "--regime", "scratch"), "resnet18")
    assert_error(filled("analysis", "evaluate", "nothing", "--split", "val"), "nothing")
    assert_error(filled("analysis", "predict", "nothing", "in/red/000.jpg"), "nothing")


def test_missing_and_invalid_weights(filled: Shell) -> None:
    """A missing file, and a file without weights."""
    arguments = ("train", "run", "--manifest", "v001", "--model", "squeezenet1_0", "--regime", "features", "--weights")
    assert_error(filled(*arguments, "missing.pth"), "missing.pth")
    (filled.folder / "bad.pth").write_bytes(b"nothing like it")
    assert_error(filled(*arguments, "bad.pth"), "bad.pth")


def test_output_path_not_writable(filled: Shell) -> None:
    """A file as parent folder, or a folder in place of the file: one line with the given path."""
    (filled.folder / "file").write_text("x")
    (filled.folder / "taken").mkdir()
    for command in (
        ("curate", "groups", "--csv", "PLACE"),
        ("curate", "rebuild", "v001", "--output", "PLACE"),
        ("curate", "export", "v001", "PLACE", "--format", "coco"),
        ("collect", "attribution", "PLACE"),
    ):
        below = filled(*(part.replace("PLACE", "file/x") for part in command))
        assert_error(below, "file", code=EXIT_OUTSIDE)
        if command[1] != "export":
            assert_error(filled(*(part.replace("PLACE", "taken") for part in command)), "taken", code=EXIT_OUTSIDE)
