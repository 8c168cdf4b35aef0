"""Settings, names and atomic writes."""

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


def test_created_workspace_reads_back(tmp_path: Path) -> None:
    """Settings equal the arguments of `create_workspace`, also with quotes of other languages in names."""
    create_workspace(tmp_path / "perros", ["husky siberiano", "mastín"], task="multi", target=120, contact="me@example.org")
    settings = Workspace(tmp_path / "perros").settings
    assert settings.names == ("husky siberiano", "mastín")
    assert (settings.name, settings.task, settings.target, settings.contact) == ("perros", "multi", 120, "me@example.org")
    assert settings.categories[1].queries == ("mastín",)


def test_create_workspace_does_not_overwrite(tmp_path: Path) -> None:
    """A second call for the same folder fails and changes nothing."""
    create_workspace(tmp_path, ["a"])
    before = (tmp_path / "fototeca.toml").read_text()
    with pytest.raises(FototecaError, match="already"):
        create_workspace(tmp_path, ["b"])
    assert (tmp_path / "fototeca.toml").read_text() == before


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a|b"], ["../x"], [" a"], [""], [".a"], ['a"b']])
def test_invalid_category_names(tmp_path: Path, names: list[str]) -> None:
    """Category names appear in CSV cells, joined labels and folder names."""
    with pytest.raises(FototecaError):
        create_workspace(tmp_path / "w", names)
    assert not (tmp_path / "w" / "fototeca.toml").exists()


@given(st.text(min_size=1, max_size=20))
def test_valid_names_survive_toml(name: str) -> None:
    """Names accepted by check_name are read back from fototeca.toml in NFC."""
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
def test_invalid_config_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    """Each error in fototeca.toml names the file and the correction."""
    (tmp_path / "fototeca.toml").write_text(text)
    with pytest.raises(FototecaError, match=words) as caught:
        _ = Workspace(tmp_path).settings
    assert "\n" not in str(caught.value)


def test_unreadable_config_is_one_line(tmp_path: Path) -> None:
    """A folder named fototeca.toml is reported like an invalid file."""
    (tmp_path / "fototeca.toml").mkdir()
    with pytest.raises(FototecaError, match="Is a directory"):
        _ = Workspace(tmp_path).settings


def test_data_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    """Paths in manifests do not depend on where `data` points."""
    made = create_workspace(tmp_path / "w", ["a"])
    made.data.rmdir()
    (tmp_path / "big").mkdir()
    made.data.symlink_to(tmp_path / "big")
    assert made.relative(made.images / "ab" / "x.png") == "data/images/ab/x.png"
    (tmp_path / "short").symlink_to(made.root)
    assert made.relative(tmp_path / "short" / "manifests" / "v001.csv") == "manifests/v001.csv"


def test_names_are_compared_in_nfc(tmp_path: Path) -> None:
    """Decomposed names, as macOS writes them, equal composed ones in the file, in commands and in folder names."""
    apart, to_nfc = "nin\u0303o", "ni\xf1o"
    made = create_workspace(tmp_path / "w", [apart, "perro"], task="multi")
    assert made.settings.names == (to_nfc, "perro")
    assert made.settings.check_label(f"perro|{apart}") == f"{to_nfc}|perro"
    made.config.write_text(f'[categories."{apart}"]\n[categories."{to_nfc}"]\n', encoding="utf-8")
    with pytest.raises(FototecaError, match="one of them twice"):
        _ = Workspace(made.root).settings


def test_find_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a parent folder, by FOTOTECA_WORKSPACE, or an error."""
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


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    """The old content stays and the temporary file is removed."""
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
def test_openmp_threads_sleep_early(own: dict[str, str], shown: str) -> None:
    """GOMP_SPINCOUNT is set before torch is loaded, unless the user has set a wait policy."""
    environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(Path(__file__).parents[2]), **own}
    script = "import fototeca.cli, torch"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    (line,) = set(re.findall(r"GOMP_SPINCOUNT.*", done.stderr))
    assert f"= '{shown}" in line and ("5000" in line) is (not own)


def test_python_dash_m_fototeca(tmp_path: Path) -> None:
    """`python -m fototeca` works where the installed script is not on PATH."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "fototeca", "status"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "fototeca init" in done.stderr


@pytest.mark.parametrize("name", ["restore", "reject:blurry", ".hidden", "a|b", " a", ""])
def test_reserved_category_names(tmp_path: Path, name: str) -> None:
    """Words of decisions are not valid category names."""
    with pytest.raises(FototecaError, match="is invalid"):
        create_workspace(tmp_path / "w", ["fox", name])
