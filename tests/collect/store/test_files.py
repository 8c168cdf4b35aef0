"""Image store: removal of stale temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fototeca.collect.host_id import HOST_ID
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.core.workspace import create_workspace

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=10)


def test_stale_temporary_files_are_removed(tmp_path: Path) -> None:
    """Files of dead processes and old files of other hosts go; files of running processes and foreign files stay."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    own, other = workspace.images / "incoming" / HOST_ID, workspace.images / "incoming" / "0000"
    left, living = own / f".{gone.stdout.strip()}.ab.tmp", own / f".{os.getpid()}.cd.tmp"
    strange, elsewhere = own / ".syncthing.x.tmp", other / left.name
    old = other / ".1.ef.tmp"
    for path in (left, living, strange, elsewhere, old):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    ingest_provenances(workspace, [], LOCAL)
    assert [path.exists() for path in (left, living, strange, elsewhere, old)] == [False, True, True, True, False]
