"""Everything but `curate review` works when FiftyOne cannot be imported, and that command offers the keyboard page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fototeca.core.workspace import Workspace
from tests.conftest import draw_images

SCRIPT = """
import sys
import fototeca.analysis.cli, fototeca.collect.cli.main, fototeca.curate.cli.main, fototeca.train.cli
import fototeca.curate.review.server
from fototeca.cli import main

{hook}
for words in {commands}:
    sys.argv = ["fototeca", *words.split()]
    try:
        main()
    except SystemExit as stop:
        assert stop.code in (0, None) or words == "doctor", (words, stop.code)
sys.argv = ["fototeca", "curate", "review", "--no-browser", "--port", "0"]
main()
"""
COMMANDS = (
    "collect folder photos --label-from-folder",
    "status",
    "curate dedup",
    "curate quality",
    "curate groups",
    "curate freeze",
    "curate verify v001",
    "curate export v001 out --format imagefolder",
    "curate history",
    "doctor",
)


@pytest.mark.parametrize(
    ("hook", "commands"),
    [("sys.path.insert(0, 'broken')", COMMANDS), ("sys.modules['fiftyone'] = None", ())],
    ids=["broken", "not installed"],
)
def test_import_of_fiftyone_fails(workspace: Workspace, hook: str, commands: tuple[str, ...]) -> None:
    """Other commands work; `review` says in one line why it does not and what to use instead."""
    package = workspace.root / "broken" / "fiftyone"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('libcrypto.so.3: version mismatch')")
    draw_images(workspace.root / "photos", {"cat": 10, "dog": 10})
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", SCRIPT.format(hook=hook, commands=commands)]
    done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("fototeca: FiftyOne cannot be imported: ") and last.endswith("fototeca curate review --web")
    assert "Traceback" not in done.stderr
