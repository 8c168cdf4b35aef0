"""The ground floor: settings, names, atomic writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write, write_text
from fototeca.core.settings import check_name, to_nfc
from fototeca.core.workspace import Workspace, create_workspace


def test_init_makes_a_workspace_that_reads_back(tmp_path: Path) -> None:
    """What `init` was told is what the settings say, names with quotes of other languages included."""
    create_workspace(tmp_path / "perros", ["husky siberiano", "mastín"], task="multi", target=120, contact="me@example.org")
    settings = Workspace(tmp_path / "perros").settings
    assert settings.names == ("husky siberiano", "mastín")
    assert (settings.name, settings.task, settings.target, settings.contact) == ("perros", "multi", 120, "me@example.org")
    assert settings.categories[1].queries == ("mastín",)


def test_init_never_overwrites_a_workspace(tmp_path: Path) -> None:
    """A second init of the same folder is refused and changes nothing."""
    create_workspace(tmp_path, ["a"])
    before = (tmp_path / "fototeca.toml").read_text()
    with pytest.raises(FototecaError, match="already"):
        create_workspace(tmp_path, ["b"])
    assert (tmp_path / "fototeca.toml").read_text() == before


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a|b"], ["../x"], [" a"], [""], [".a"], ['a"b']])
def test_names_that_would_break_a_file_are_refused(tmp_path: Path, names: list[str]) -> None:
    """A category name ends up in CSV cells, joined labels and folder names."""
    with pytest.raises(FototecaError):
        create_workspace(tmp_path / "w", names)
    assert not (tmp_path / "w" / "fototeca.toml").exists()


@given(st.text(min_size=1, max_size=20))
def test_a_name_that_passes_survives_toml(name: str) -> None:
    """Whatever check_name lets through is read back from fototeca.toml as it was, its accents in one piece."""
    import tempfile

    try:
        check_name(name, "category")
        name.encode("utf-8")
    except (FototecaError, UnicodeEncodeError):
        return
    with tempfile.TemporaryDirectory() as folder:
        assert create_workspace(Path(folder) / "w", [name]).settings.names == (to_nfc(name),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[dataset", "toml"),
        ('[dataset]\nname = "x"\n', "no categories"),
        ('[dataset]\ntask = "both"\n[categories.a]\n', "task"),
        ("[dataset]\ntarget = 0\n[categories.a]\n", "target"),
        ("[categories.a]\nqueries = 3\n", "queries"),
        ("dataset = 3\n[categories.a]\n", "not a table"),
        ("categories = 3\n", "not a table"),
        ("[categories.a]\nquery = ['x']\n", "must have only a list of texts"),
        ('[dataset]\ntaks = "multi"\n[categories.a]\n', "unknown key 'taks'"),
        ("[datset]\n[categories.a]\n", "unknown key 'datset'"),
        ("[[categories]]\n", "not a table"),
        ('[dataset]\nname = ["x"]\n[categories.a]\n', "name is"),
        ("[dataset]\ncontact = 3\n[categories.a]\n", "contact is 3"),
    ],
)
def test_a_broken_config_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """Each mistake in fototeca.toml names the file and what to write instead."""
    (tmp_path / "fototeca.toml").write_text(text)
    with pytest.raises(FototecaError, match=words) as caught:
        _ = Workspace(tmp_path).settings
    assert "\n" not in str(caught.value)


def test_a_config_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    """A folder of that name, say."""
    (tmp_path / "fototeca.toml").mkdir()
    with pytest.raises(FototecaError, match="Is a directory"):
        _ = Workspace(tmp_path).settings


def test_a_store_on_another_disk_is_inside(tmp_path: Path) -> None:
    """`data` may be a link: manifests name what lies there as if it were not."""
    made = create_workspace(tmp_path / "w", ["a"])
    made.data.rmdir()
    (tmp_path / "big").mkdir()
    made.data.symlink_to(tmp_path / "big")
    assert made.relative(made.images / "ab" / "x.png") == "data/images/ab/x.png"
    (tmp_path / "short").symlink_to(made.root)
    assert made.relative(tmp_path / "short" / "manifests" / "v001.csv") == "manifests/v001.csv"


def test_names_are_compared_composed(tmp_path: Path) -> None:
    """macOS takes accents apart: what looks the same is the same, in the file, in a command and in a folder's name."""
    apart, to_nfc = "nin\u0303o", "ni\xf1o"
    made = create_workspace(tmp_path / "w", [apart, "perro"], task="multi")
    assert made.settings.names == (to_nfc, "perro")
    assert made.settings.check_label(f"perro|{apart}") == f"{to_nfc}|perro"
    made.config.write_text(f'[categories."{apart}"]\n[categories."{to_nfc}"]\n', encoding="utf-8")
    with pytest.raises(FototecaError, match="one twice"):
        _ = Workspace(made.root).settings


def test_the_nearest_workspace_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder inside, by FOTOTECA_WORKSPACE, and not at all."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FototecaError, match="init"):
        Workspace.find()
    create_workspace(tmp_path / "w", ["a"])
    monkeypatch.setenv("FOTOTECA_WORKSPACE", str(tmp_path / "w"))
    assert Workspace.find().root == tmp_path / "w"
    monkeypatch.delenv("FOTOTECA_WORKSPACE")
    inside = tmp_path / "w" / "data" / "images"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert Workspace.find().root == tmp_path / "w"


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    """The file is there whole or as it was; no temporary file stays."""
    path = tmp_path / "a" / "b.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="disk"), atomic_write(path) as file:
        file.write(b"half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [child.name for child in path.parent.iterdir()] == ["b.txt"]


SPINS = [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "")]


@pytest.mark.skipif(sys.platform != "linux", reason="it is libgomp's")
@pytest.mark.parametrize(("own", "shown"), SPINS)
def test_waiting_threads_soon_sleep(own: dict[str, str], shown: str) -> None:
    """Told before torch is loaded: threads that spin beside another program are slow. A person's own word comes first."""
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(Path(__file__).parents[2]), **own}
    script = "import fototeca.cli, torch"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    (line,) = set(re.findall(r"GOMP_SPINCOUNT.*", done.stderr))
    assert f"= '{shown}" in line and ("5000" in line) is (not own)


def test_the_program_runs_as_a_module(tmp_path: Path) -> None:
    """`python -m fototeca` is the command, also where the program that is installed beside Python is not on PATH."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "fototeca", "status"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "fototeca init" in done.stderr


@pytest.mark.parametrize("name", ["restore", "reject:blurry", ".hidden", "a|b", " a", ""])
def test_names_that_mean_something_else_are_refused(tmp_path: Path, name: str) -> None:
    """A category called as a decision is written would be taken for that decision."""
    with pytest.raises(FototecaError, match="is invalid"):
        create_workspace(tmp_path / "w", ["fox", name])
