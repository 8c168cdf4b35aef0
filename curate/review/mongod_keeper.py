"""Keep one mongod while somebody uses it: `python -I -S mongod_keeper.py MONGOD STATE_FOLDER SOCKET_FOLDER_PARENT`.

Run by `mongod.py` as a process of its own, with the standard library only. It starts mongod on a Unix socket, writes the
socket's path to `STATE_FOLDER/socket`, and stops mongod once no process holds a shared lock on `STATE_FOLDER/users`. The kernel
drops the lock of a process that ends, killed ones included. On Linux mongod ends too if this process is killed.

Exit codes: 0 mongod was stopped, or another keeper runs; 1 mongod ended by itself.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

SOCKET = "socket"
"""File with the path of the socket, while mongod answers."""
USERS = "users"
"""File on which every process that uses the database holds a shared lock."""
KEEPER = "keeper"
"""File on which the keeper holds an exclusive lock."""
LOG = "mongod.log"
OUTPUT = "output"
"""File with what mongod prints when it cannot open its log."""

_PR_SET_PDEATHSIG = 1


def main(mongod: str, state: Path, sockets: str) -> int:
    """Run mongod until nobody uses it."""
    with (state / KEEPER).open("a") as keeper, (state / USERS).open("a") as users:
        try:
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        _remove_stale(state)
        folder = Path(tempfile.mkdtemp(prefix="fototeca-", dir=sockets))
        try:
            return _run(mongod, state, folder / "m.sock", users.fileno())
        finally:
            (state / SOCKET).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def _run(mongod: str, state: Path, path: Path, users: int) -> int:
    (state / "db").mkdir(exist_ok=True)
    (state / LOG).unlink(missing_ok=True)
    options = ["--dbpath", str(state / "db"), "--logpath", str(state / LOG), "--bind_ip", str(path)]
    command = [mongod, *options, "--filePermissions", "0600", "--nounixsocket", "--noscripting", "--quiet"]
    parent = os.getpid()
    with (state / OUTPUT).open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=lambda: _end_with(parent)
        )
    stopped = threading.Event()

    def stop_when_unused() -> None:
        fcntl.flock(users, fcntl.LOCK_EX)  # waits for every user; new ones wait for the end of this process
        stopped.set()
        process.terminate()

    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    threading.Thread(target=stop_when_unused, daemon=True).start()
    while process.poll() is None and not _answers(path):
        time.sleep(0.02)
    if process.poll() is None:
        _write(state / SOCKET, str(path))
    process.wait()
    return 0 if stopped.is_set() else 1


def _end_with(parent: int) -> None:
    """Ask Linux to stop this process when its parent ends; elsewhere `_remove_stale` finds it at the next start."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _remove_stale(state: Path) -> None:
    """Remove the socket of a keeper that was killed, and stop a mongod that outlived it."""
    with suppress(OSError):
        stale = Path((state / SOCKET).read_text(encoding="utf-8"))
        (state / SOCKET).unlink()
        stale.unlink(missing_ok=True)
        stale.parent.rmdir()
    with suppress(OSError):
        while pids := _mongods_of(state / "db"):
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.2)


def _mongods_of(database: Path) -> list[int]:
    command = ["ps", "-A", "-ww", "-o", "pid=,args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if f" --dbpath {database} " in f"{line} "]


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
