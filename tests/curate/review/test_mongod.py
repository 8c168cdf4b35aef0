"""Tests for fototeca's own mongod: who can open it, when it ends, and what it recovers from."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import psutil
import pymongo
import pytest

from fototeca.core.errors import ExternalError
from fototeca.curate.review import mongod
from fototeca.curate.review.doctor import find_mongod

USER = "import sys; from fototeca.curate.review.mongod import start_mongod; print(start_mongod(), flush=True); sys.stdin.read()"
START = Callable[[], tuple[subprocess.Popen[str], str]]


@pytest.fixture(autouse=True)
def _data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the tests a data folder of their own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def start() -> Iterator[START]:
    """A function that starts a process that uses the database; return it and the URI."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(database_user())


@contextmanager
def database_user() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a process that uses the database; it ends with its standard input."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", USER], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        try:
            yield process, uri
        finally:
            process.kill()
    wait_until(lambda: not servers())


def servers() -> list[psutil.Process]:
    """Return the keeper and the mongod of this test's folder."""
    folder = str(mongod.mongod_folder())
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(folder in word for word in words) and any(word.endswith(("mongod", "mongod_keeper.py")) for word in words):
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


def wait_until(is_done: Callable[[], bool]) -> None:
    """Wait up to 30 s."""
    end = time.monotonic() + 30
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.05)


def ping(uri: str) -> bool:
    """Return True if the database answers."""
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=5000) as client:
        return bool(client.admin.command("ping")["ok"])


def test_only_this_user_can_open_it_and_it_ends_with_its_user(start: START) -> None:
    """The socket is 0600 in a folder of 0700, no port listens, and a kill of the user ends mongod and removes the socket."""
    user, uri = start()
    path = Path(unquote(uri.removeprefix("mongodb://")))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, mongod.mongod_folder())] == [0o700, 0o700]
    assert ping(uri)
    assert len(servers()) == 2
    assert not [connection for process in servers() for connection in process.net_connections("inet")]
    os.kill(user.pid, signal.SIGKILL)
    wait_until(lambda: not servers())
    assert not path.parent.exists() and mongod.running_uri() is None


def test_processes_share_it_until_the_last_one_ends(start: START) -> None:
    """A second review uses the same mongod, which survives the end of the first."""
    (first, uri), (second, other) = start(), start()
    assert uri == other
    first.kill()
    first.wait()
    time.sleep(0.5)
    assert ping(uri)
    second.kill()
    wait_until(lambda: not servers())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_keeper_takes_mongod_along(start: START) -> None:
    """mongod ends with its keeper; the next start works, with the socket that the killed keeper left."""
    user, uri = start()
    keeper, _ = servers()
    keeper.kill()
    wait_until(lambda: not servers())
    user.kill()
    _, again = start()
    assert again != uri and ping(again)


def test_start_after_a_crash(start: START) -> None:
    """What a crash of the machine leaves, a socket and mongod's lock file, does not hinder the next start."""
    user, uri = start()
    with pymongo.MongoClient(uri) as client:
        client.test.get_collection("rows", write_concern=pymongo.WriteConcern(j=True)).insert_one({"_id": 1})
    keeper, server = servers()
    server.suspend()  # it would end cleanly after its keeper
    keeper.kill()
    server.kill()
    user.kill()
    wait_until(lambda: not servers())
    stale = Path(unquote(uri.removeprefix("mongodb://")))
    assert stale.exists() and (mongod.mongod_folder() / "db" / "mongod.lock").read_text().strip()
    _, again = start()
    with pymongo.MongoClient(again) as client:
        assert client.test.rows.count_documents({}) == 1
    assert not stale.parent.exists()


def test_a_mongod_that_outlived_its_keeper_is_replaced(start: START, tmp_path: Path) -> None:
    """A mongod without a keeper, which nothing would stop, is stopped by the next start."""
    database = mongod.mongod_folder() / "db"
    database.mkdir(parents=True)
    with TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "s"
        options = ["--dbpath", str(database), "--bind_ip", str(path), "--logpath", str(tmp_path / "log"), "--nounixsocket"]
        orphan = subprocess.Popen([str(find_mongod()), *options], stdout=subprocess.DEVNULL)
        try:
            wait_until(path.exists)
            _, uri = start()
            assert ping(uri)
            assert orphan.wait(30) == 0
        finally:
            orphan.kill()
            orphan.wait()


def test_failures_name_their_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A missing mongod, one that does not run, and one that ends give an error of one line with a fix."""
    monkeypatch.setattr(mongod, "_users", [])
    program = tmp_path / "mongod"
    for text, reason in (("echo lib.so is missing", "lib.so is missing"), ("exit 5", "mongod.log")):
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o700)
        monkeypatch.setattr(mongod, "find_mongod", lambda: program)
        with pytest.raises(ExternalError, match=reason) as error:
            mongod.start_mongod()
        assert "FIFTYONE_DATABASE_URI" in error.value.hint
    monkeypatch.setattr(mongod, "find_mongod", lambda: None)
    with pytest.raises(ExternalError, match="has no mongod"):
        mongod.start_mongod()
    for users in mongod._users:
        users.close()
