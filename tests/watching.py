"""Run commands of fototeca in a process that records what they do outside of a workspace.

    python tests/watching.py < jobs.json

Reads a list of JSON objects: `folder`, the current directory of the commands; `inside`, folders that commands may write to;
`commands`, lists of arguments. Prints a JSON object a line for each command: its folder, arguments, exit code, stdout, stderr and
`acts`, a list of [what, where] of files written, processes started, hosts connected to, and Python files of the folder that ran.

Each command runs in a fork of this process, which has imported what is slow to import.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import resource
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

SECONDS = 60
"""Time after which a command counts as hanging."""

IMPORTED = (
    *("matplotlib.pyplot", "lightning_fabric", "torchmetrics", "scipy.ndimage", "scipy.optimize", "scipy.sparse.linalg"),
    *(
        "timm",
        "numba",
        "cv2",
        "yaml",
        "fsspec",
        "pandas",
        "openTSNE",
        "sklearn.ensemble",
        "sklearn.neighbors",
        "jinja2",
        "markdown_it",
    ),
)
"""Modules of others that commands import on use and that take long; once for all commands."""

_WRITES = {"os.mkdir": (0,), "os.remove": (0,), "os.rename": (0, 1), "os.rmdir": (0,), "os.symlink": (1,), "os.link": (1,)}
_WRITES |= {"os.chmod": (0,), "os.truncate": (0,), "shutil.rmtree": (0,), "shutil.move": (1,), "os.utime": (0,)}
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")


class Watch:
    """Records the acts of this process; see the module."""

    def __init__(self, folder: Path, inside: list[str]) -> None:
        self.acts: list[tuple[str, str]] = []
        self._folder = os.path.realpath(folder)
        self._inside = tuple(os.path.realpath(path) for path in (*inside, folder))

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record an audit event."""
        if event == "open" and isinstance(arguments[0], str | bytes):
            path, mode, flags = arguments
            is_written = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(flags, int) else "r" not in str(mode)
            if is_written:
                self._write(path)
        elif event in _WRITES:
            for place in _WRITES[event]:
                self._write(arguments[place])
        elif event in _STARTS and "ldconfig" not in repr(arguments[:2]):  # which Python's ctypes asks for libraries
            self.acts.append(("start", repr(arguments[:2])[:200]))
        elif event == "socket.connect" and isinstance(arguments[1], tuple) and not str(arguments[1][0]).startswith("127."):
            self.acts.append(("connect", str(arguments[1])))
        elif event == "exec":
            name = os.path.realpath(getattr(arguments[0], "co_filename", "") or "-")
            if name.startswith(self._folder + os.sep) and Path(name).is_file():
                self.acts.append(("run", name))

    def _write(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        where = os.path.realpath(os.fsdecode(path))
        if "/__pycache__" in where or "/torchinductor_" in where:  # caches of compiled code
            return
        inside = any(f"{where}{os.sep}".startswith(f"{folder}{os.sep}") for folder in self._inside)
        if not inside and not where.startswith("/dev/"):
            self.acts.append(("write", where))


def run(arguments: list[str], folder: Path, inside: list[str], out: int) -> None:
    """Run one command in this process, which then ends; write the result to the file descriptor `out`."""
    streams = [os.memfd_create(name) for name in ("stdout", "stderr")]
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
    os.chdir(folder)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_DATA, (6 << 30, 6 << 30))
    sys.argv = ["fototeca", *arguments]
    watch = Watch(folder, inside)
    sys.addaudithook(watch)
    code: object = 1
    try:
        runpy.run_module("fototeca", run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    acts = list(dict.fromkeys(watch.acts))
    sys.stdout.flush()
    sys.stderr.flush()
    texts = [os.pread(stream, 1 << 22, 0).decode("utf-8", "surrogateescape") for stream in streams]
    result = {"folder": str(folder), "arguments": arguments, "code": code, "stdout": texts[0], "stderr": texts[1], "acts": acts}
    os.write(out, json.dumps(result).encode() + b"\n")
    os._exit(0)


def main() -> None:
    """Run the commands of stdin one after the other."""
    jobs = json.load(sys.stdin)
    import fototeca

    for module in pkgutil.walk_packages(fototeca.__path__, "fototeca."):
        if not module.name.startswith(("fototeca.__main__", "fototeca.curate.review.fiftyone")):
            importlib.import_module(module.name)
    for name in IMPORTED:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    gc.freeze()  # a collection in a fork would copy every page
    out = os.dup(1)
    for job in jobs:
        for arguments in job["commands"]:
            pid = os.fork()
            if not pid:
                run(arguments, Path(job["folder"]), job["inside"], out)
            if status := os.waitpid(pid, 0)[1]:
                result = {"folder": job["folder"], "arguments": arguments, "code": f"ended by {status}", "acts": []}
                os.write(out, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
