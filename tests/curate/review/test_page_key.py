"""The key of the keyboard page: what other users of the machine see while the command opens a browser."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from fototeca.core.workspace import Workspace

FAKE_BROWSER = """#!/bin/sh
for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < "$file" 2>/dev/null; echo; done > "$DUMP.part"
cp "${1#file://}" "$DUMP.page"
mv "$DUMP.part" "$DUMP"
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are listed by /proc")
def test_key_is_in_no_arguments(workspace: Workspace, tmp_path: Path) -> None:
    """The browser is given a file of mode 0600, which is removed at the end; neither key is in any process's arguments."""
    browser, dump = tmp_path / "browser", tmp_path / "dump"
    browser.write_text(FAKE_BROWSER)
    browser.chmod(0o755)
    command = [sys.executable, "-m", "fototeca", "curate", "review", "--web", "--port", "0"]
    environment = {**os.environ, "BROWSER": f"{browser} %s", "DUMP": str(dump)}
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # shells ignore SIGINT in background jobs
    with subprocess.Popen(
        command, cwd=workspace.root, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=restore_sigint
    ) as process:
        try:
            assert process.stderr
            printed = process.stderr.readline()
            while not dump.exists():
                assert process.poll() is None
                time.sleep(0.02)
            page = workspace.data / "open.html"
            assert stat.S_IMODE(page.stat().st_mode) == 0o600
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert not page.exists()
    arguments = dump.read_text()
    assert f"{browser} file://{page}" in arguments, "the browser was running when the arguments were read"
    keys = re.findall(r"key=([\w-]{20,})", printed + dump.with_suffix(".page").read_text())
    assert len(set(keys)) == 2
    assert not any(key in arguments for key in keys)
