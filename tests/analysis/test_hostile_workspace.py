"""A workspace that somebody else made with bad intent: every command ends with an answer or one line, and does nothing else.

Each case makes a part of a workspace hostile, and one makes all of it hostile. `tests/watching.py` runs every command and records
what it writes outside of the workspace, starts, connects to, and which code of the workspace it runs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from typer.main import get_command

from fototeca.cli import app
from fototeca.core.workspace import Workspace
from fototeca.curate.export.formats import FORMATS

ROOT = Path(__file__).parents[2]
ESCAPE = "\x1b]0;pwned\x07\x1b[31m\u202egpj.exe"
NOT_RUN = {
    "init": "makes a workspace",
    "demo": "makes a workspace",
    "doctor": "looks at this machine",
    "collect discover": "asks hubs that the user names",
    **{
        f"collect {hub}": "asks the hub that the user names"
        for hub in ("kaggle", "roboflow", "huggingface", "zenodo", "figshare", "mendeley")
    },
}
"""Commands that read no workspace, or only after an answer of a server, with the reason."""


class Evil:
    """An object whose unpickling creates a file."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        """Return a call that unpickling makes."""
        return os.mkdir, ("../unpickled",)


def set_cells(path: Path, **cells: str) -> None:
    """Set cells of the second row of a CSV file, and the digest beside it, as its maker would."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    rows[1] |= cells
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def hostile_manifest(root: Path, **cells: str) -> None:
    """Give a row of v001 fields that are paths, with the digest of the changed file."""
    path = root / "manifests" / "v001.csv"
    set_cells(path, **(cells or {"split": "../../escaped", "label": "../../escaped", "group": "../../escaped"}))
    document = path.with_suffix(".json")
    changed = json.loads(document.read_text()) | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    document.write_text(json.dumps(changed))


def hostile_document(root: Path) -> None:
    """Give v001.json other types, an escape sequence and endless nesting."""
    path = root / "manifests" / "v001.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"counts": ESCAPE, "seed": [[[]]], "task": {"a": 1}, "note": ESCAPE})
    )


def hostile_catalog(root: Path) -> None:
    """Give rows of the catalog ids that are paths."""
    with sqlite3.connect(root / "data" / "catalog.sqlite") as sql:
        sql.execute("PRAGMA foreign_keys = OFF")
        sql.execute("UPDATE images SET image_id = '../../../escaped', path = '../../../etc/passwd' WHERE rowid = 1")
        sql.execute("UPDATE candidates SET url = 'file:///etc/passwd', state = 'failed' WHERE rowid = 2")
        sql.execute("UPDATE decisions SET new_label = '../../escaped' WHERE rowid = 3")
    sql.close()


def hostile_run(root: Path) -> None:
    """Give runs a configuration, results and predictions of other types, and names with escape sequences."""
    first, second = sorted((root / "data" / "runs").glob("*/config.json"))
    config = json.loads(first.read_text())
    first.write_text(json.dumps(config | {"weights": "/etc/passwd", "image_size": 10**9, "categories": ["../../x", ESCAPE]}))
    set_cells(second.parent / "predictions-val.csv", image_id="../../escaped")
    done = second.parent / "done.json"
    done.write_text(json.dumps(json.loads(done.read_text()) | {"val_accuracy": ESCAPE, "seconds": -1}))
    shutil.copytree(first.parent, root / "data" / "runs" / "evil\x1b[31m")


def hostile_weights(root: Path) -> None:
    """Put pickles in place of weights and checkpoints."""
    for folder in (root / "data" / "runs").glob("*/"):
        for name in ("model.safetensors", "checkpoint.pt", "model.pt"):
            (folder / name).write_bytes(pickle.dumps(Evil()))


def hostile_sites(root: Path) -> None:
    """Add a site file that sends keys elsewhere, tables that name machines, and links that lead out."""
    (root / "sites").mkdir(exist_ok=True)
    (root / "sites" / "evil.toml").write_text('name = "evil"\nkind = "api"\nendpoint = "http://192.0.2.1/?q={query}"\n')
    config = root / "fototeca.toml"
    config.write_text(config.read_text() + '\n[cluster]\naddress = "tcp://192.0.2.1:8786"\n\n[store]\nimages = "s3://evil"\n')
    outside = root.parent / "outside"
    (root / "data" / "reports").mkdir(exist_ok=True)
    (root / "data" / "reports" / "out").symlink_to(outside, target_is_directory=True)
    (root / "report.md").unlink(missing_ok=True)
    (root / "report.md").symlink_to("/etc/passwd")


def hostile_code(root: Path) -> None:
    """Put modules with the names of ours and of others into the workspace, and the source of a model into a run."""
    code = "import os\nos.mkdir('../imported')\n"
    for name in ("json", "torch", "fototeca", "train", "analysis", "sitecustomize", "usercustomize", "conftest", "PIL", "numpy"):
        (root / f"{name}.py").write_text(code)
    for folder in (root / "data" / "runs").glob("*/"):
        (folder / "model.py").write_text(code)


def hostile_texts(root: Path) -> None:
    """Put escape sequences and bidi marks into every text that has no fixed form."""
    with sqlite3.connect(root / "data" / "catalog.sqlite") as sql:
        sql.execute("UPDATE provenance SET source = ?, file_name = ?, author = ?, page_url = ?", (ESCAPE,) * 4)
        sql.execute("UPDATE decisions SET reason = ?, actor = ?", (ESCAPE, ESCAPE))
        sql.execute("UPDATE candidates SET reason = ? WHERE rowid = 2", (ESCAPE,))
    sql.close()
    (root / "report.md").write_text(f"## motivation\n\n{ESCAPE} <script>alert(1)</script> [x](javascript:alert(1))\n")


CASES: dict[str, tuple[Callable[[Path], None], ...]] = {
    "manifest": (hostile_manifest,),
    "catalog": (hostile_catalog,),
    "runs": (hostile_run,),
    "weights": (hostile_weights, hostile_sites),
    "code and texts": (hostile_code, hostile_texts),
    "all": (
        *(hostile_code, hostile_texts, hostile_manifest, hostile_document, hostile_catalog),
        *(hostile_run, hostile_weights, hostile_sites),
    ),
}

LONG = ("train run", "train sweep", "train lr-find", "analysis embed", "analysis filters", "curate label-issues")
"""Commands that take seconds where what they read is right; they are run where it is not."""
LEFT_OUT = {"catalog": (*LONG, "analysis report"), "runs": LONG, "weights": LONG, "code and texts": LONG}
"""Commands that are left out of a case."""


def list_commands(command: click.Command, *path: str) -> dict[str, click.Command]:
    """Return every command by its words."""
    if isinstance(command, click.Group):
        return {name: one for key, sub in command.commands.items() for name, one in list_commands(sub, *path, key).items()}
    return {" ".join(path): command}


def example_arguments(name: str, workspace: Workspace, runs: list[str], port: int, data: str) -> list[list[str]]:
    """Return arguments with which each command does something in the workspace of these tests."""
    image = next(path.stem for path in sorted(workspace.images.rglob("*.jpg")))
    training = ["--manifest", "v001", "--model", "cnn", "--regime", "scratch", "--epochs", "1", "--image-size", "32"]
    by_name: dict[str, list[list[str]]] = {
        "collect search": [["evil", "--category", "red"]],
        "collect urls": [[f"{data}/urls.txt", "--category", "red"]],
        "collect folder": [[data, "--label-from-folder"]],
        "collect attribution": [["credits.csv"]],
        "collect detections": [[data, "--format", "yolo", "--as", "presence"]],
        "collect video": [[data, "--every", "1"]],
        "curate review": [["--web", "--port", str(port), "--no-browser"]],
        "curate apart": [[image, image[:20]]],
        "curate erase": [[image, "--reason", "asked", "--yes"]],
        "curate label": [[image, "--label", "green"]],
        "curate history": [[], [image]],
        "curate diff": [["v001", "v001"]],
        "curate export": [["v001", f"export-{form}", "--format", form] for form in FORMATS],
        "train run": [training],
        "train lr-find": [[*training, "--steps", "5"]],
        "train sweep": [["--manifest", "v001", "--search", "1"]],
        "train ensemble": [runs],
        "analysis compare": [runs],
        "analysis curves": [runs],
        "analysis explain": [[runs[0]]],
        "analysis predict": [[runs[0], f"{data}/red"]],
        "analysis serve": [[runs[0], "--port", str(port), "--no-browser"]],
        "analysis report": [["--manifest", "v001"]],
        "analysis export": [[runs[0], "--format", "torch"]],
    }
    if name in by_name:
        return by_name[name]
    return [["v001"]] if name in ("curate verify", "curate rebuild") else [[runs[0]]] if name.startswith("analysis ") else [[]]


@pytest.mark.slow
def test_every_command_ends_with_an_answer_or_one_line(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Exit code 0, 2, 3 or 4; no traceback, no control characters; nothing written outside, started, connected to or run."""
    home, new = tmp_path / "home", tmp_path / "new" / "red"
    new.mkdir(parents=True)
    home.mkdir()
    shutil.copy(next(studied[0].images.rglob("*.jpg")), new / "1.jpg")
    (tmp_path / "new" / "urls.txt").write_text("http://127.0.0.1:1/x.jpg\n")
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    environment |= {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    jobs = []
    with socket.create_server(("127.0.0.1", 0)) as used:
        for number, (case, changes) in enumerate(CASES.items()):
            workspace = Workspace(shutil.copytree(studied[0].root, tmp_path / str(number) / "w"))
            (tmp_path / str(number) / "outside").mkdir()
            names = [name for name in list_commands(get_command(app)) if name not in (*NOT_RUN, *LEFT_OUT.get(case, ()))]
            port, new_files = used.getsockname()[1], str(tmp_path / "new")
            examples = {name: example_arguments(name, workspace, studied[1], port, new_files) for name in names}
            commands = [[*name.split(), *arguments] for name in names for arguments in examples[name]]
            for change in changes:
                change(workspace.root)
            jobs.append({"folder": str(workspace.root), "inside": [str(home)], "commands": commands})
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "watching.py")],
            input=json.dumps(jobs),
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [(job["folder"], command) for job in jobs for command in job["commands"]]
    assert [(one["folder"], one["arguments"]) for one in results] == expected, done.stderr[-3000:]
    for case, job in zip(CASES, jobs, strict=True):
        ended = [one for one in results if one["folder"] == job["folder"]]
        wrong = {" ".join(one["arguments"]): problem for one in ended if (problem := find_problem(one))}
        assert wrong == {}, case
        parent = Path(job["folder"]).parent
        assert sorted(path.name for path in parent.rglob("*") if path.parent.parent == tmp_path) == ["outside", "w"], case
        assert not list((parent / "outside").iterdir()), case


def find_problem(result: dict[str, Any]) -> str:
    """Return what is wrong with the end of a command, or ""."""
    if result["acts"]:
        return f"acts {result['acts']}"
    if result["code"] not in (0, 2, 3, 4):
        return f"code {result['code']}: {result.get('stderr', '')[-600:]}"
    text = result["stdout"] + result["stderr"]
    if found := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text.replace("\r", "")):
        return f"prints {found[0]!r}: {text[max(0, found.start() - 80) : found.end() + 40]!r}"
    errors = [line for line in result["stderr"].splitlines() if line.startswith("fototeca: ")]
    if "Traceback" in text or (result["code"] == 2 and not (errors or result["stdout"])):
        return f"no line: {result['stderr'][-300:]}"
    return ""
