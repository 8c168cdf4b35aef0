"""`predict`: new pictures through a run, with its own preprocessing, calibrated, and warned about where a warning is due."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from tqdm import tqdm

from analysis.attribution import check_method
from analysis.calibration import scale
from analysis.evaluate import temperature_of
from analysis.explain import drawn_maps
from analysis.novelty import Novelty, fit_novelty
from analysis.pictures import data_uri, sheet, thumbnail
from analysis.results import find_run
from curate.duplicates import Near, find_near
from curate.manifest import Manifest, Row, read_manifest
from train.runs import LoadedModel, Run, decide, load_model
from vision.image import MAX_PIXELS, DecodeError, decode
from vision.threads import picture_threads
from workspace import FototecaError, Workspace, say, write_text

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
"""What counts as a picture when a folder is named."""

BATCH = 32
"""Pictures held decoded at once."""

URL_BYTES = 50 << 20
"""A picture from a URL may be this large."""


def predict_paths(
    workspace: Workspace,
    run_id: str,
    paths: Sequence[str],
    *,
    csv_path: Path | None = None,
    methods: Sequence[str] = (),
    output: Path | None = None,
) -> list[dict[str, Any]]:
    """Classify files, folders (searched wholly) and http(s) URLs; unreadable pictures are told about and left out.

    Probabilities are scaled by the temperature fitted on validation. The result is also kept for the report. With attribution
    `methods` each picture's maps are written to `output` as one PNG, whose path is its fact `maps`. FototecaError when a path is
    missing, no picture can be read, or there is no such method or it does not fit the model.
    """
    for method in methods:
        check_method(method)
    run = find_run(workspace, run_id)
    manifest = read_manifest(workspace, run.manifest_version)
    with tempfile.TemporaryDirectory() as folder:
        files = list(_files(paths, Path(folder)))
        model = load_model(workspace, run)
        maps = _Maps(model, methods, output or workspace.reports / "predict" / run.id) if methods else None
        facts = _predict_files(workspace, run, manifest, model, files, maps)
        _remember(workspace, run, facts, dict(files))
    if csv_path:
        write_text(csv_path, _csv(facts, run.categories))
    return facts


def _files(paths: Sequence[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """Each picture's name as the person gave it, and where it lies."""
    for number, name in enumerate(paths):
        if name.startswith(("http://", "https://")):
            yield name, _fetch(name, folder / str(number))
            continue
        path = Path(name)
        if not path.exists():
            raise FototecaError(f"{name} is not there", "name a picture, a folder or a URL")
        if path.is_file():
            yield name, path
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        if not inside:
            raise FototecaError(f"{name} has no pictures in it", f"known endings: {', '.join(sorted(ENDINGS))}")
        yield from ((str(file), file) for file in inside)


def _fetch(url: str, path: Path) -> Path:
    """One picture that the person named by its URL."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"User-Agent": "fototeca"}), timeout=30) as answer:
            content = answer.read(URL_BYTES + 1)
    except (OSError, ValueError) as error:
        raise FototecaError(f"{url}: {error}", "fetch it yourself and name the file", exit_code=4) from None
    if len(content) > URL_BYTES:
        raise FototecaError(f"{url} is larger than {URL_BYTES >> 20} MB", "make it smaller and name the file")
    path.write_bytes(content)
    return path


@dataclass
class _Maps:
    """Writes the maps of what was said of each picture."""

    model: LoadedModel
    methods: Sequence[str]
    folder: Path
    written: int = 0

    def write(self, name: str, image: Image.Image, target: int) -> str:
        """One PNG: what the model saw, then a map for each method; returns its path."""
        seen, maps = drawn_maps(self.model, self.model.preprocessing(image), target, self.methods)
        self.written += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.written:04}-{Path(urlsplit(name).path).stem[:60]}.png"  # names may come twice
        sheet([seen, *maps.values()], len(maps) + 1).save(path)
        return str(path)


def _predict_files(
    workspace: Workspace,
    run: Run,
    manifest: Manifest,
    model: LoadedModel,
    files: list[tuple[str, Path]],
    maps: _Maps | None,
) -> list[dict[str, Any]]:
    temperature = temperature_of(workspace, run, manifest)
    novelty = fit_novelty(workspace, run, manifest)
    rows = {row.image_id: row for row in manifest.rows}
    near = dict(zip((name for name, _ in files), find_near(workspace, [path for _, path in files], manifest.rows), strict=True))
    facts: list[dict[str, Any]] = []
    for read in tqdm(_decoded(files), desc="predict", total=-(-len(files) // BATCH), disable=None):
        images = [image for _, image in read]
        said, features = model.answers(images)
        strange = novelty.scores(features) if novelty is not None and features is not None else [None] * len(read)
        scaled = scale(np.asarray(said, dtype=np.float64), temperature, run.task == "multi")
        labels = decide(run, said)
        for index, (name, image) in enumerate(read):
            facts.append(_describe(name, labels[index], scaled[index], run, near[name], rows, strange[index], novelty))
            if maps:
                facts[-1]["maps"] = maps.write(name, image, int(said[index].argmax()))
    if not facts:
        raise FototecaError("none of the pictures could be read", "are they whole JPEG, PNG or WebP files?")
    return facts


def _decoded(files: Sequence[tuple[str, Path]]) -> Iterator[list[tuple[str, Image.Image]]]:
    """Names and pictures, at most BATCH at a time; while one batch is looked at the next is being decoded."""
    with picture_threads(os.cpu_count() or 1) as pool:
        parts = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
        ahead: Iterator[Image.Image | None] = iter(())
        for number, part in enumerate([*parts, []]):
            current, ahead = ahead, pool.map(_decode, part)
            if number and (read := [(name, image) for (name, _), image in zip(parts[number - 1], current, strict=True) if image]):
                yield read


def _decode(file: tuple[str, Path]) -> Image.Image | None:
    """The picture; None, and a line, when it cannot be read."""
    try:
        return decode(file[1], max_pixels=MAX_PIXELS)
    except (DecodeError, OSError) as error:
        say(f"left out: {file[0]} ({getattr(error, 'reason', error)})")
        return None


def _describe(
    name: str,
    label: str,
    said: np.ndarray,
    run: Run,
    near: Near | None,
    rows: dict[str, Row],
    strange: float | None,
    novelty: Novelty | None,
) -> dict[str, Any]:
    """The facts of one picture. A copy of a training picture is known, however alone that one is."""
    learned = near is not None and rows[near.image_id].split == "train"
    return {
        "path": name,
        "label": label,
        "probability": float(said.max()),
        "probabilities": {category: float(value) for category, value in zip(run.categories, said, strict=True)},
        "near_duplicate": near and {"image_id": near.image_id, "split": rows[near.image_id].split, "distance": near.distance},
        "unknown": bool(novelty is not None and strange is not None and strange > novelty.threshold and not learned),
        "strangeness": None if strange is None else float(strange),
        "unknown_threshold": novelty.threshold if novelty else None,
        "false_alarm_rate": novelty.false_alarm_rate if novelty else None,
    }


def _csv(facts: Sequence[dict[str, Any]], categories: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "probability", "near_duplicate", "unknown", *(f"p:{name}" for name in categories)])
    for fact in facts:
        near = fact["near_duplicate"]
        cells = [fact["path"], fact["label"], f"{fact['probability']:.6f}", near["image_id"] if near else "", fact["unknown"]]
        writer.writerow([*cells, *(f"{fact['probabilities'][name]:.6f}" for name in categories)])
    return text.getvalue()


def stored_predictions(workspace: Workspace, run: Run) -> Path:
    """Where the last predictions of a run are kept for the report."""
    return workspace.reports / "new-images" / f"{run.id}.json"


def _remember(workspace: Workspace, run: Run, facts: Sequence[dict[str, Any]], places: dict[str, Path]) -> None:
    """Keep the last predictions with small pictures, since new pictures need not stay where they are."""
    kept = []
    for fact in facts[:48]:
        small = thumbnail(places[fact["path"]])
        kept.append({**fact, "thumbnail": data_uri(small) if small else ""})
    document = {"run": run.id, "n": len(facts), "unknown": sum(f["unknown"] for f in facts), "pictures": kept}
    write_text(stored_predictions(workspace, run), json.dumps(document, ensure_ascii=False) + "\n")
