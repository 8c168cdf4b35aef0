"""Tests that a kill or a full disk at any moment loses no acknowledged decision and no frozen version."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fototeca.cli
from fototeca.collect.catalog import Actor, Catalog, Decision, Edit
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import list_versions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.verify import verify_version

AddImages = Callable[..., list[str]]
GroupImages = Callable[..., None]

FREEZE_WITH_FAULT = """
import errno, os, signal, sqlite3, sys
from fototeca.curate.versions.freeze import freeze_version
from fototeca.core.errors import FototecaError; from fototeca.core.workspace import Workspace
import fototeca.curate.versions.split_optimizer
folder, fault = sys.argv[1:]
remaining = 0
connect, fsync = sqlite3.connect, os.fsync
def step(statement=""):
    global remaining
    remaining -= not statement.startswith(("SELECT", "PRAGMA"))
    if remaining < 0 and fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
def connect_with_trace(*arguments, **options):
    connection = connect(*arguments, **options)
    connection.set_trace_callback(step)
    return connection
def hook(event, arguments):
    if event == "os.rename" or (event == "open" and str(arguments[0]).startswith(folder) and arguments[1] == "x"):
        step()
        if remaining < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))
def fsync_with_fault(file):
    hook("os.rename", ("a file",))
    fsync(file)
def attempt(step_number):
    global remaining
    remaining = step_number
    os.fsync = fsync_with_fault
    if fault == "kill":
        sqlite3.connect = connect_with_trace
    sys.addaudithook(hook)
    try:
        print(freeze_version(Workspace(folder)).manifest.version, flush=True)
    except FototecaError as error:
        print(error, flush=True)
        return error.exit_code
    return 0
"""
"""Freeze with a fault at the given statement or file operation: a kill, or a full disk from there on."""

FREEZE_WITH_SIZE_LIMIT = """
import os, resource, signal, sys
import fototeca.cli
import fototeca.curate.versions.freeze, fototeca.curate.versions.split_optimizer
def attempt(size):
    os.dup2(1, 2)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    sys.argv = ["fototeca", "--workspace", sys.argv[1], "curate", "freeze"]
    try:
        fototeca.cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
"""
"""Run `curate freeze` with a limit on file sizes, writing its errors to standard output."""

FORK_LOOP = """
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = attempt(int(line)) or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    print("=", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Call `attempt` in a forked process for each number on standard input, to import modules only once."""


@contextmanager
def run_attempts(script: str, *arguments: object) -> Iterator[Callable[[int], tuple[int, list[str]]]]:
    """Yield a function that calls the script's `attempt` and returns its exit code and output lines."""
    command = [sys.executable, "-c", script + FORK_LOOP, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def attempt(number: int) -> tuple[int, list[str]]:
            print(number, file=stdin, flush=True)
            lines: list[str] = []
            while not (line := stdout.readline()).startswith("= "):
                assert line, "the process ended"
                lines.append(line.rstrip("\n"))
            return int(line[2:]), lines

        yield attempt
        stdin.close()


def read_version_files(workspace: Workspace, version: str) -> dict[str, bytes]:
    """Return the content of a version's files by name."""
    return {path.name: path.read_bytes() for path in workspace.manifests.glob(f"{version}*")}


def check_catalog(workspace: Workspace) -> list[Decision]:
    """Check that the catalog opens and is consistent, and return its decisions."""
    with Catalog.open(workspace) as catalog:
        assert [row[0] for row in catalog.database.connection.execute("PRAGMA integrity_check")] == ["ok"]
        assert not catalog.database.connection.execute("PRAGMA foreign_key_check").fetchall()
        last = {decision.image_id: decision for decision in catalog.decisions.all()}
        for image in catalog.images.all():
            if image.image_id in last:
                after = last[image.image_id].edit.apply(image.review_state)
                assert (after.label, after.rejected) == (image.label, image.rejected), "the last decision is applied"
        return catalog.decisions.all()


@pytest.fixture
def changed_workspace(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> Workspace:
    """A workspace with a frozen version, and images and a group added since."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    group_images(workspace, [ids[:3]])
    freeze_version(workspace)
    ids += add_images(workspace, ["cat", "dog"] * 10, start=100)
    group_images(workspace, [ids[:3], ids[30:33], ids[-3:]])
    return workspace


def test_freeze_killed_at_any_step_leaves_the_catalog_and_versions_intact(changed_workspace: Workspace) -> None:
    """After a kill at any statement or file operation, v001 is unchanged and a partial v002 can be completed."""
    before, decisions = read_version_files(changed_workspace, "v001"), check_catalog(changed_workspace)
    with run_attempts(FREEZE_WITH_FAULT, changed_workspace.root, "kill") as freeze:
        for step in range(200):
            code, _ = freeze(step)
            assert code in (0, -signal.SIGKILL)
            assert check_catalog(changed_workspace) == decisions
            assert read_version_files(changed_workspace, "v001") == before
            assert all(verify_version(changed_workspace, version).ok for version in list_versions(changed_workspace))
            assert all(rebuild_version(changed_workspace, version) for version in list_versions(changed_workspace))
            if code == 0:
                break
    assert step > 10, "the kills interrupted the freeze"
    assert list_versions(changed_workspace) == ["v001", "v002"]
    assert freeze_version(changed_workspace).manifest.version == "v002", "nothing has changed since v002"


def test_full_disk_at_any_file_removes_the_new_version(changed_workspace: Workspace) -> None:
    """The error is one line with exit code 4, earlier files are unchanged, and the next freeze succeeds."""
    before, decisions = read_version_files(changed_workspace, "v001"), check_catalog(changed_workspace)
    with run_attempts(FREEZE_WITH_FAULT, changed_workspace.root, "full") as freeze:
        for step in range(50):
            code, lines = freeze(step)
            if code == 0:
                break
            assert code == 4
            assert len(lines) == 1 and "No space left" in lines[0] and "v001 is as it was" in lines[0]
            assert {path.name: path.read_bytes() for path in changed_workspace.manifests.iterdir()} == before
            assert check_catalog(changed_workspace) == decisions
    assert step == 9, "three files, each opened, flushed and renamed"
    assert verify_version(changed_workspace, "v002").ok and rebuild_version(changed_workspace, "v002")


DECIDE_GROUP_FREEZE = """
import sys
from fototeca.curate.versions.freeze import freeze_version
from fototeca.collect.catalog import Actor, Catalog, Edit, GroupRow
from fototeca.core.workspace import Workspace
workspace = Workspace(sys.argv[1])
with Catalog.open(workspace) as catalog:
    ids = [image.image_id for image in catalog.images.all()]
    for turn in range(10_000):
        for image_id in ids[turn % 7 :: 7]:
            edit = Edit.relabel(("cat", "dog")[turn % 2])
            decision = catalog.decisions.add(image_id, edit, by=Actor.person("ana"), reason=str(turn))
            print("decided", decision.decision_id, flush=True)
        members = ids[turn % 5 : turn % 5 + 3]
        catalog.groups.replace(GroupRow(x, members[0], x == members[0], "test", 0) for x in members)
        print("grouped", members[0], flush=True)
        print("frozen", freeze_version(workspace).manifest.version, flush=True)
"""
"""Decide, group and freeze in a loop, printing each step once it is complete."""


def test_killed_while_deciding_grouping_and_freezing(workspace: Workspace, add_images: AddImages) -> None:
    """After SIGKILL, every acknowledged decision, grouping and version exists and verifies."""
    add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    rng = random.Random(4)
    for _ in range(6):
        command = [sys.executable, "-c", DECIDE_GROUP_FREEZE, str(workspace.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(rng.randrange(5, 25))]
            time.sleep(rng.random() * 0.02)
            process.kill()
            lines += process.stdout.readlines()
        acknowledged = [line.split() for line in lines if line.endswith("\n")]
        decisions = {decision.decision_id for decision in check_catalog(workspace)}
        assert {int(word) for kind, word in acknowledged if kind == "decided"} <= decisions
        versions = list_versions(workspace)
        assert {word for kind, word in acknowledged if kind == "frozen"} <= set(versions)
        assert all(verify_version(workspace, version).ok for version in versions[-2:])
        assert all(rebuild_version(workspace, version) for version in versions[-2:])
        with Catalog.open(workspace) as catalog:
            assert len(catalog.groups.all()) in (0, 3), "groups are replaced atomically"


@pytest.fixture(scope="module")
def write_ahead_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, list[tuple[int, list[Decision]]]]:
    """A catalog file, its write-ahead log, and the decisions at each size of the log."""
    workspace = create_workspace(tmp_path_factory.mktemp("w") / "w", ["cat", "dog"], target=1)
    with Catalog.open(workspace) as catalog:
        from tests.curate.conftest import store_labeled_images

        catalog.database.connection.execute("PRAGMA wal_autocheckpoint = 0")
        ids = store_labeled_images(workspace, ["cat"] * 6)
        catalog.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        path = workspace.catalog.with_name("catalog.sqlite-wal")
        decisions_by_size = [(0, catalog.decisions.all())]
        for number in range(12):
            edit = (Edit.relabel("dog"), Edit.reject("blurry"))[number % 2]
            catalog.decisions.add(ids[number % 6], edit, by=Actor.person("ana"))
            decisions_by_size.append((path.stat().st_size, catalog.decisions.all()))
        return workspace.catalog.read_bytes(), path.read_bytes(), decisions_by_size


@given(share=st.floats(0, 1), torn=st.booleans())
@settings(max_examples=80, deadline=None)
def test_truncated_write_ahead_log(
    tmp_path_factory: pytest.TempPathFactory,
    write_ahead_log: tuple[bytes, bytes, Sequence[tuple[int, list[Decision]]]],
    share: float,
    torn: bool,
) -> None:
    """After truncation or corruption at any byte, the decisions committed before it are read, and new ones can be added."""
    file, full_log, decisions_by_size = write_ahead_log
    length = round(share * len(full_log))
    truncated = full_log[:length] + (b"\xff" * 700 if torn else b"")
    workspace = create_workspace(tmp_path_factory.mktemp("cut") / "w", ["cat", "dog"], target=1)
    workspace.catalog.write_bytes(file)
    workspace.catalog.with_name("catalog.sqlite-wal").write_bytes(truncated)
    expected = [decisions for size, decisions in decisions_by_size if size <= length][-1]
    assert check_catalog(workspace) == expected
    with Catalog.open(workspace) as catalog:
        image_id = catalog.images.all()[0].image_id
        assert catalog.decisions.add(image_id, Edit.relabel("cat"), by=Actor.person("ana")) is not None
    assert len(check_catalog(workspace)) == len(expected) + 1, "new decisions can be added"


def test_full_disk_for_the_catalog_is_one_error_line(changed_workspace: Workspace) -> None:
    """The exit code is 4, nothing changes, and the hint does not suggest recovering the catalog."""
    before, decisions = read_version_files(changed_workspace, "v001"), check_catalog(changed_workspace)
    with run_attempts(FREEZE_WITH_SIZE_LIMIT, changed_workspace.root) as freeze:
        for size in (0, 100, 4_000, 8_000, 16_000, 24_000, 32_000, 40_000):
            code, lines = freeze(size)
            if code == 0 and size >= 32_000:
                break
            assert code == 4, lines
            assert len(lines) == 1 and "disk space" in lines[0] and "recover" not in lines[0], lines
            assert read_version_files(changed_workspace, "v001") == before
            assert check_catalog(changed_workspace) == decisions
    assert freeze_version(changed_workspace).manifest.version == "v002"
    assert verify_version(changed_workspace, "v001").ok and verify_version(changed_workspace, "v002").ok


def run_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run `fototeca ARG...` in this process and return its exit code and stderr; unexpected errors propagate."""
    monkeypatch.setattr(sys, "argv", ["fototeca", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        fototeca.cli.main()
    return int(stop.value.code or 0), capfd.readouterr().err


DAMAGES = {"cut": b"half a page", "zeros": bytes(4096), "noise": b"\xff" * 4096}
"""Replacements for a page of the catalog file; `cut` also removes the rest of the file."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_catalog_file_is_reported_and_recovered(
    changed_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], damage: str
) -> None:
    """Damage to any page gives a one-line error with a hint and never a traceback, v001 is unchanged, and recovery works."""
    monkeypatch.chdir(changed_workspace.root)
    with Catalog.open(changed_workspace) as catalog:
        catalog.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content, before, handler = (
        changed_workspace.catalog.read_bytes(),
        read_version_files(changed_workspace, "v001"),
        signal.getsignal(signal.SIGTERM),
    )
    num_errors = 0
    for offset in range(4096, len(content), 3 * 4096):
        for path in changed_workspace.data.glob("catalog.sqlite*"):
            path.unlink()
        changed_workspace.catalog.write_bytes(
            content[:offset] + DAMAGES[damage] + (b"" if damage == "cut" else content[offset + 4096 :])
        )
        for arguments in (["status"], ["curate", "history"], ["curate", "freeze"]):
            code, stderr = run_command(monkeypatch, capfd, *arguments)
            if code:
                num_errors += 1
                assert code == 2 and len(stderr.splitlines()) == 1, stderr
                assert "run: fototeca curate recover" in stderr or "too few" in stderr
            assert read_version_files(changed_workspace, "v001") == before
        for path in changed_workspace.manifests.glob("v002*"):
            path.unlink()
    assert num_errors > 5
    signal.signal(signal.SIGTERM, handler)
    changed_workspace.catalog.unlink()
    assert run_command(monkeypatch, capfd, "curate", "recover")[0] == 0
    assert check_catalog(changed_workspace) and read_version_files(changed_workspace, "v001") == before
