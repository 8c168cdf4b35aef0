"""fototeca's own mongod: one for this user, on a Unix socket that only this user can open, while a process uses it.

The files are in the user's data folder, on Linux `$XDG_DATA_HOME/fototeca/mongod`, by default `~/.local/share/fototeca/mongod`.
`mongod_keeper.py` runs mongod and stops it after the last process that called `start_mongod` has ended.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from platformdirs import user_data_path

from fototeca.core.console import notify
from fototeca.core.errors import ExternalError
from fototeca.curate.review import mongod_keeper as keeper
from fototeca.curate.review.doctor import FIX, find_mongod

_MAX_SOCKET_FOLDER = 70
"""Bytes of the folder of sockets; the path of a Unix socket is limited to 104 bytes or more."""

_PATIENCE = 3.0
"""Seconds until a message says what is waited for."""

_users: list[IO[str]] = []
"""The open file whose lock keeps mongod running until this process ends."""

_keepers: list[subprocess.Popen[bytes]] = []
"""Keepers that this process started; they outlive it."""


def mongod_folder() -> Path:
    """Return the folder of the database, its log and its locks."""
    return user_data_path("fototeca", appauthor=False) / "mongod"


def running_uri() -> str | None:
    """Return the URI of the mongod that runs, None if none does."""
    with suppress(OSError):
        path = (mongod_folder() / keeper.SOCKET).read_text(encoding="utf-8")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        return f"mongodb://{quote(path, safe='')}"
    return None


def start_mongod() -> str:
    """Start mongod unless it runs; return its URI. It runs at least until this process ends.

    ExternalError without a mongod, or if it does not start.
    """
    folder = mongod_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not _users:
        users = (folder / keeper.USERS).open("a")
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while a mongod is being stopped
        _users.append(users)
    start, is_told = time.monotonic(), False
    process = None
    while not (uri := running_uri()):
        if process is None or process.poll() == 0:  # 0: another process started a keeper at the same time
            process = _start_keeper(folder)
        elif process.poll() is not None:
            raise ExternalError(f"mongod does not start: {_describe_failure(folder)}", FIX)
        if not is_told and time.monotonic() - start > _PATIENCE:
            is_told = True
            notify("waiting for the database to start")
        time.sleep(0.05)
    return uri


def _start_keeper(folder: Path) -> subprocess.Popen[bytes]:
    program = find_mongod()
    if program is None:
        raise ExternalError("FiftyOne has no mongod", FIX)
    command = [sys.executable, "-I", "-S", keeper.__file__, str(program), str(folder), _socket_folder()]
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd="/", stdin=null, stdout=null, stderr=null, start_new_session=True)  # without Ctrl-C
    _keepers.append(process)
    return process


def _describe_failure(folder: Path) -> str:
    """Return the first line that mongod printed, else the path of its log."""
    with suppress(OSError):
        for line in (folder / keeper.OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines():
            return line[:200]
    return f"see {folder / keeper.LOG}"


def _socket_folder() -> str:
    """Return the folder in which the socket's own folder is made: `$XDG_RUNTIME_DIR`, else that of temporary files."""
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        if place and Path(place).is_dir() and len(os.fsencode(place)) < _MAX_SOCKET_FOLDER:
            return place
    return "/tmp"
