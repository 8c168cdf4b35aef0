"""What a workspace of another person may do before `fototeca trust`: nothing."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

import fototeca as ft
from fototeca.core.errors import EXIT_USAGE, FototecaError
from fototeca.core.trust import list_trusted_things, read_trusted, record_trust
from fototeca.core.workspace import Workspace, create_workspace
from tests.conftest import Fototeca
from tests.trusting import trust

SITE = 'version = 1\nendpoint = "https://evil.example/\u202egpj.exe\x1b[2J"\n'


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State folder of a user who trusts nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "fototeca" / "trust"


@pytest.fixture
def workspace(tmp_path: Path, state: Path) -> Workspace:
    """A workspace with a site file."""
    workspace = create_workspace(tmp_path / "w", ["cat"])
    (workspace.root / "sites").mkdir()
    (workspace.root / "sites" / "bing.toml").write_text(SITE, encoding="utf-8")
    return workspace


def is_trusted(workspace: Workspace) -> bool:
    """Return True if the site file may be used."""
    try:
        read_trusted(workspace.root, workspace.root / "sites" / "bing.toml", "site file")
    except FototecaError as error:
        assert error.exit_code == EXIT_USAGE
        assert str(error) == "sites/bing.toml is not trusted; see what it does, then trust it: fototeca trust"
        return False
    return True


def test_a_changed_file_asks_again(workspace: Workspace) -> None:
    """Trust is in the bytes of the file, and ends when they change."""
    assert not is_trusted(workspace)
    trust(workspace)
    assert is_trusted(workspace)
    (workspace.root / "sites" / "bing.toml").write_text(SITE + "pause = 0.0\n", encoding="utf-8")
    assert not is_trusted(workspace)


def test_records_are_private_and_outside_of_the_workspace(workspace: Workspace, state: Path) -> None:
    """Mode 0600 in a folder with 0700; nothing is written into the workspace."""
    before = sorted(workspace.root.rglob("*"))
    trust(workspace)
    assert sorted(workspace.root.rglob("*")) == before
    (record,) = state.iterdir()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert json.loads(record.read_text())["sha256"].keys() == {"sites/bing.toml"}


def test_trust_does_not_move_to_another_workspace(workspace: Workspace, tmp_path: Path, state: Path) -> None:
    """Neither a copy elsewhere is trusted, nor one with the record of another workspace under its own name."""
    trust(workspace)
    moved = Workspace(workspace.root.rename(tmp_path / "moved"))
    assert not is_trusted(moved)
    (record,) = state.iterdir()
    trust(moved)
    (other,) = set(state.iterdir()) - {record}
    other.write_bytes(record.read_bytes())
    assert not is_trusted(moved)


@pytest.mark.parametrize("content", ["", "[]", "{}", "nonsense", '{"workspace": 1}', '{"workspace": "ROOT", "sha256": 5}'])
def test_damaged_record_trusts_nothing(workspace: Workspace, state: Path, content: str) -> None:
    """And `fototeca trust` writes it again."""
    trust(workspace)
    (record,) = state.iterdir()
    record.write_text(content.replace("ROOT", str(workspace.root)))
    assert not is_trusted(workspace)
    trust(workspace)
    assert is_trusted(workspace)


def test_record_that_others_can_write_trusts_nothing(workspace: Workspace, state: Path) -> None:
    """Another user of the machine may have written it."""
    trust(workspace)
    (record,) = state.iterdir()
    record.chmod(0o666)
    assert not is_trusted(workspace)


def test_record_inside_the_workspace_trusts_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace in the home folder, or that is the home folder, could bring the record with it."""
    trust(workspace)
    inside = workspace.root / "home"
    Path(os.environ["XDG_STATE_HOME"]).rename(inside)
    monkeypatch.setenv("XDG_STATE_HOME", str(inside))
    assert not is_trusted(workspace)
    with pytest.raises(FototecaError, match="in the workspace itself"):
        trust(workspace)


@pytest.mark.parametrize(
    "table",
    ['[store]\nimages = "s3://evil"', '[cluster]\naddress = "tcp://evil:8786"', '[remotes]\norigin = "hf://evil"', "store = 7"],
)
def test_tables_that_name_machines_are_refused(workspace: Workspace, table: str) -> None:
    """First as not trusted, then, as long as nothing reads them, as not supported: photographs must not silently stay here."""
    text = workspace.config.read_text()
    workspace.config.write_text(f"{table}\n{text}" if "=" in table.partition("\n")[0] else f"{text}\n{table}\n")
    name = table.partition("]")[0].strip("[") if table.startswith("[") else "store"
    with pytest.raises(FototecaError, match=rf"\[{name}\] is not trusted; .*fototeca trust"):
        _ = Workspace(workspace.root).settings
    trust(workspace)
    with pytest.raises(FototecaError, match=rf"\[{name}\] is not supported"):
        _ = Workspace(workspace.root).settings
    workspace.config.write_text(text + '\n[store]\nimages = "s3://other"\n\n[cluster]\naddress = "tcp://other:1"\n')
    with pytest.raises(FototecaError, match="is not trusted"):
        _ = Workspace(workspace.root).settings


@pytest.mark.parametrize("line", ['[models]\nsource = "x.py"', '[hooks]\nfreeze = "sh -c id"', 'plugins = ["x"]'])
def test_unknown_sections_are_refused(workspace: Workspace, line: str) -> None:
    """A section that this version does not know has no effect and is not passed over."""
    text = workspace.config.read_text()
    workspace.config.write_text(f"{text}\n{line}\n" if line.startswith("[") else f"{line}\n{text}")
    with pytest.raises(FototecaError, match="unknown key"):
        _ = Workspace(workspace.root).settings


@pytest.mark.parametrize(
    "place", ["data", "data/images", "data/catalog.sqlite", "data/runs/r", "data/images/ab", "manifests", "sites", "report.md"]
)
@pytest.mark.parametrize("target", ["..", "/etc", "nowhere", "../../w2"])
def test_link_out_of_the_workspace_is_refused(workspace: Workspace, place: str, target: str) -> None:
    """Existing or not: commands would read and write there."""
    path = workspace.root / place
    if path.is_dir():
        path.rename(workspace.root / "kept")
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(
        Path(target) if target.startswith("/") else Path(os.path.relpath(workspace.root.parent / target, path.parent))
    )
    with pytest.raises(FototecaError, match=f"{place}, a link to /.*, is not trusted; .*fototeca trust"):
        Workspace.find(workspace.root)
    with pytest.raises(FototecaError, match="is not trusted"):
        _ = Workspace(workspace.root).settings
    trust(workspace)
    Workspace.find(workspace.root)
    path.unlink()
    path.symlink_to("/var")
    with pytest.raises(FototecaError, match="a link to /var, is not trusted"):
        Workspace.find(workspace.root)


def test_links_inside_and_below_a_trusted_data_folder_need_no_trust(workspace: Workspace, tmp_path: Path) -> None:
    """`data` may be a link to a larger disk, with links of its own."""
    (tmp_path / "big" / "images2").mkdir(parents=True)
    (tmp_path / "big" / "images").symlink_to("images2")
    workspace.data.rmdir()
    workspace.data.symlink_to(tmp_path / "big")
    (workspace.root / "manifests" / "latest.csv").symlink_to("v001.csv")
    (workspace.root / "loop").symlink_to("loop")
    assert [thing.name for thing in list_trusted_things(workspace.root) if thing.kind == "link"] == ["data"]
    (tmp_path / "big" / "runs").symlink_to("/var")
    assert [thing.name for thing in list_trusted_things(workspace.root) if thing.kind == "link"] == ["data", "data/runs"]


def test_api_refuses_and_trusts(workspace: Workspace) -> None:
    """Opening a workspace, a version or a run by its path checks links; `trust` is the same as the command."""
    (workspace.root / "report.md").unlink()
    (workspace.root / "report.md").symlink_to("/etc/hostname")
    (workspace.runs / "r").mkdir(parents=True)
    (workspace.manifests / "v001.csv").write_text("")
    for call in (
        lambda: ft.Workspace.open(workspace.root),
        lambda: ft.load_run(workspace.runs / "r"),
        lambda: ft.load_manifest(workspace.manifests / "v001.csv"),
    ):
        with pytest.raises(FototecaError, match=r"report\.md, a link to /etc/hostname, is not trusted"):
            call()
    assert [thing.name for thing in ft.Workspace(workspace.root).trust()] == ["report.md", "sites/bing.toml"]
    assert ft.Workspace.open(workspace.root)


def test_source_of_a_model_is_listed(workspace: Workspace) -> None:
    """It needs trust before anything may import it."""
    (workspace.runs / "r").mkdir(parents=True)
    (workspace.runs / "r" / "model.py").write_text("raise SystemExit\n")
    assert ("model source", "data/runs/r/model.py") in {(thing.kind, thing.name) for thing in list_trusted_things(workspace.root)}
    with pytest.raises(FototecaError, match=r"data/runs/r/model.py is not trusted"):
        read_trusted(workspace.root, workspace.runs / "r" / "model.py", "model source")


def test_huge_file_cannot_be_trusted(workspace: Workspace) -> None:
    """Nobody could read it first."""
    (workspace.root / "sites" / "bing.toml").write_text("#" * 1_000_001)
    with pytest.raises(FototecaError, match="more than 1000000 bytes"):
        list_trusted_things(workspace.root)


def test_new_workspace_needs_no_trust(tmp_path: Path, fototeca: Fototeca) -> None:
    """`init` writes nothing that needs it."""
    assert fototeca("init", "w", "--category", "a").returncode == 0
    assert fototeca("status", cwd=tmp_path / "w").returncode == 0
    done = fototeca("--workspace", "w", "trust")
    assert (done.returncode, done.stdout) == (0, "")
    record_trust(tmp_path / "w", [])


def test_command_shows_what_it_trusts(workspace: Workspace, fototeca: Fototeca) -> None:
    """The whole text, with escape codes for what a terminal would act upon; the second time nothing is new."""
    refused = fototeca("collect", "search", "bing", "--dry-run", cwd=workspace.root)
    assert refused.returncode == EXIT_USAGE
    assert refused.stderr.count("\n") == 1
    assert "sites/bing.toml is not trusted; see what it does, then trust it: fototeca trust" in refused.stderr
    done = fototeca("trust", cwd=workspace.root)
    assert done.returncode == 0
    assert 'endpoint = "https://evil.example/\\u202egpj.exe\\u001b[2J"' in done.stdout
    assert "1 trusted, 0 trusted before" in done.stderr
    assert fototeca("trust", cwd=workspace.root).stdout == ""
    listed = json.loads(fototeca("trust", "--json", cwd=workspace.root).stdout)
    assert [thing["name"] for thing in listed] == ["sites/bing.toml"]
