"""Readers of files that other people make, each with a seed file, to be fed with changed copies of the seeds.

Run all of them for some minutes:

    python -m tests.fuzz.readers --minutes 10

A reader may return, or raise FototecaError, ValueError or (an image) DecodeError; anything else is a bug, whose input is printed.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fototeca.collect.catalog import Catalog
from fototeca.core.class_mapping import read_mapping
from fototeca.core.errors import FototecaError
from fototeca.core.text_tables import read_table
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import read_manifest
from fototeca.curate.versions.decision_log import read_decision_log
from fototeca.curate.versions.verify import verify_version
from fototeca.train.runs.registry import list_runs, read_run
from fototeca.train.sweep.plan import read_plan, read_space
from fototeca.vision.exif import read_time_taken
from fototeca.vision.image import DecodeError, decode

SEEDS = Path(__file__).parent / "seeds"

VALUES = (
    *(
        "",
        " ",
        "..",
        "../../escaped",
        "/etc/passwd",
        "a\\b",
        "-1",
        "0",
        "1e999",
        "nan",
        "Infinity",
        "9" * 5000,
        "null",
        "[]",
        "{}",
        '"',
    ),
    *("\0", "\x1b[31m", "\u202e", "\ud800", "ñ", "cat|dog", "|", "=1+1", "v001", "latest", "true", "[" * 3000, "\n", "\r", ","),
)
"""Values that are put in the place of others."""


@dataclass(frozen=True)
class Reader:
    """A reader: the file of the workspace that is changed, its seed, and the call that reads it."""

    file: str
    seed: str
    read: Callable[[Workspace], object]


def _read_images(workspace: Workspace) -> None:
    data = (workspace.root / "x.bin").read_bytes()
    read_time_taken(data)
    decode(data, max_pixels=250_000)


def _read_catalog(workspace: Workspace) -> None:
    with Catalog.open(workspace) as catalog:
        for read in (
            catalog.images.all,
            catalog.decisions.all,
            catalog.candidates.all,
            catalog.groups.all,
            catalog.provenance.names,
        ):
            read()
        catalog.metadata.next_time()


def _read_runs(workspace: Workspace) -> None:
    list_runs(workspace)
    run = read_run(workspace, "run")
    for read in (lambda: run.metrics, lambda: run.predictions("val"), lambda: run.thresholds, lambda: run.command, run.epochs):
        with suppress(FototecaError):
            read()


def _read_version(workspace: Workspace) -> None:
    with suppress(FototecaError):
        verify_version(workspace, "v001")
    with suppress(FototecaError):
        read_decision_log(workspace, "v001")
    read_manifest(workspace, "v001")


def _read_settings(workspace: Workspace) -> object:
    return Workspace(workspace.root).settings


READERS = {
    "manifest": Reader("manifests/v001.csv", "v001.csv", _read_version),
    "manifest JSON": Reader("manifests/v001.json", "v001.json", _read_version),
    "decisions": Reader("manifests/v001.decisions.csv", "v001.decisions.csv", _read_version),
    "run configuration": Reader("data/runs/run/config.json", "config.json", _read_runs),
    "run figures": Reader("data/runs/run/done.json", "done.json", _read_runs),
    "predictions": Reader("data/runs/run/predictions-val.csv", "predictions-val.csv", _read_runs),
    "thresholds": Reader("data/runs/run/thresholds.json", "thresholds.json", _read_runs),
    "curves": Reader("data/runs/run/epochs.csv", "epochs.csv", _read_runs),
    "catalog": Reader("data/catalog.sqlite", "", _read_catalog),
    "settings": Reader("fototeca.toml", "fototeca.toml", _read_settings),
    "plan": Reader("plan.toml", "plan.toml", lambda w: (read_plan(w.root / "plan.toml"),)),
    "space": Reader("plan.toml", "plan.toml", lambda w: (read_space(w.root / "plan.toml"),)),
    "mapping": Reader("map.toml", "map.toml", lambda w: read_mapping(w.root / "map.toml", w.settings)),
    "table": Reader("labels.csv", "labels.csv", lambda w: read_table(w.root / "labels.csv")),
    "lines": Reader("labels.jsonl", "labels.jsonl", lambda w: read_table(w.root / "labels.jsonl")),
    **{f"{kind} image": Reader("x.bin", f"image.{kind}", _read_images) for kind in ("jpg", "png", "gif", "webp", "tif", "bmp")},
}
"""The readers by name."""


class Fuzzer:
    """Feed one reader with changed copies of its seed, in a workspace of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.reader, self.workspace = READERS[name], create_workspace(folder / "w", ["cat", "dog"])
        for path in SEEDS.glob("v001.*"):
            shutil.copy(path, self.workspace.manifests / path.name)
        run = self.workspace.runs / "run"
        run.mkdir(parents=True)
        for name in ("config.json", "done.json", "predictions-val.csv", "thresholds.json", "epochs.csv"):
            shutil.copy(SEEDS / name, run / name)
        if not self.reader.seed:
            make_catalog(self.workspace)
        self.path = self.workspace.root / self.reader.file
        self.seed = (SEEDS / self.reader.seed).read_bytes() if self.reader.seed else self.path.read_bytes()

    def feed(self, data: bytes) -> str:
        """Write the file, read it, and return what came of it: read, refused, or the traceback of a bug."""
        self.path.write_bytes(data)
        if self.path.parent == self.workspace.manifests:
            self._correct_digests()
        if self.path.suffix == ".sqlite":
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        try:
            with redirect_stderr(io.StringIO()):
                self.reader.read(self.workspace)
        except (FototecaError, DecodeError, ValueError) as error:
            return "refused" if "\n" not in str(error) else f"an error of several lines: {error!r}"
        except Exception:
            return traceback.format_exc()
        return "read"

    def _correct_digests(self) -> None:
        """Make the digests in the JSON those of the files, as a stranger would, or most changes would stop there."""
        document = self.workspace.manifests / "v001.json"
        if self.path == document:
            return
        metadata = json.loads((SEEDS / "v001.json").read_text())
        for key, name in (("sha256", "v001.csv"), ("decisions_sha256", "v001.decisions.csv")):
            metadata[key] = sha256((self.workspace.manifests / name).read_bytes()).hexdigest()
        document.write_text(json.dumps(metadata))


def make_catalog(workspace: Workspace) -> None:
    """Make a small catalog: one image with a place, a group and a decision."""
    with Catalog.open(workspace):
        pass
    with sqlite3.connect(workspace.catalog) as connection:
        connection.executescript((SEEDS / "catalog.sql").read_text())
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def change(seed: bytes, random_numbers: random.Random) -> bytes:
    """Return a copy of a file with one to four changes of bytes, lines, cells or JSON values."""
    data = seed
    for _ in range(random_numbers.randint(1, 4)):
        data = random_numbers.choice((_change_bytes, _change_word, _change_lines, _change_cell, _change_json))(
            data, random_numbers
        )
    return data


def _change_bytes(data: bytes, numbers: random.Random) -> bytes:
    start = numbers.randrange(len(data) + 1)
    end = min(len(data), start + numbers.choice((0, 1, 1, 2, 8, 100)))
    return data[:start] + numbers.randbytes(numbers.choice((0, 1, 1, 4, 16))) + data[end:]


def _value(numbers: random.Random) -> str:
    return numbers.choice(VALUES)


def _change_word(data: bytes, numbers: random.Random) -> bytes:
    words = data.split(b'"') if b'"' in data else data.split(b",")
    words[numbers.randrange(len(words))] = _value(numbers).encode("utf-8", "surrogatepass")
    return (b'"' if b'"' in data else b",").join(words)


def _change_lines(data: bytes, numbers: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    line = numbers.randrange(len(lines))
    return b"".join([*lines[:line], *(lines[line : line + 1] * numbers.choice((0, 2, 50))), *lines[line + 1 :]])


def _change_cell(data: bytes, numbers: random.Random) -> bytes:
    try:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    except (ValueError, csv.Error):
        return data
    if not rows or not (row := numbers.choice(rows)):
        return data
    row[numbers.randrange(len(row))] = _value(numbers)
    text = io.StringIO(newline="")
    with suppress(csv.Error):
        csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _change_json(data: bytes, numbers: random.Random) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = list(itertools.islice(_places(document), 500))
    if places:
        parent, key = numbers.choice(places)
        new = numbers.choice((_value(numbers), None, True, -1, 0.5, 10**30, float("nan"), [], {}, [[]], {"": None}, document))
        parent[key] = json.loads(json.dumps(new)) if new is not document else dict.fromkeys(("a", "b"))
    return json.dumps(document).encode()


def _places(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(item)


def main() -> int:
    """Run every reader in turns until the time is over; print the counts, and every bug with its input."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    bugs: dict[str, bytes] = {}
    end = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        fuzzers = {name: Fuzzer(name, Path(folder) / str(number)) for number, name in enumerate(READERS)}
        for number in itertools.count(options.seed):
            for name, fuzzer in fuzzers.items():
                data = change(fuzzer.seed, random.Random(f"{name} {number}"))
                outcome = fuzzer.feed(data)
                if outcome not in ("read", "refused") and outcome not in bugs:
                    bugs[outcome] = data
                    print(f"{name}, case {number}: {outcome}\n{data[:300]!r}", flush=True)
                counts[name, outcome if outcome in ("read", "refused") else "bug"] += 1
            if time.monotonic() > end:
                break
    for name in READERS:
        print(f"{name:20}", *(f"{outcome} {counts[name, outcome]:7}" for outcome in ("read", "refused", "bug")))
    print(f"{counts.total()} files, {len(bugs)} different bugs")
    return 1 if bugs else 0


if __name__ == "__main__":
    sys.exit(main())
