"""`predict`: new images through a run, with its own preprocessing, calibrated, and warned about where a warning is due."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from tqdm import tqdm

from fototeca.analysis.attribution import check_method, network_of
from fototeca.analysis.attribution.check_results import CheckResults, read_method_results
from fototeca.analysis.attribution.explain import draw_maps
from fototeca.analysis.evaluation.calibration import NO_ERRORS, scale_probabilities
from fototeca.analysis.evaluation.evaluate import fit_run_temperature
from fototeca.analysis.evaluation.predictions import check_finite, find_run, read_split_predictions
from fototeca.analysis.evaluation.test_access_log import PREDICT, TestAccess, close_access, open_access
from fototeca.analysis.features.ood import OODDetector, fit_ood_detector
from fototeca.analysis.predict.inputs import InputImage, is_url, name_images, read_ahead
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates import find_known_duplicates
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import LoadedModel, Run, decide_labels, load_model, load_run_manifest

MAX_THUMBNAILS = 48
"""Images kept small for the report."""

PREDICTION_COLUMNS = (
    "path",
    "label",
    "probability",
    "near_duplicate",
    "near_duplicate_split",
    "unknown",
    "strangeness",
    "unknown_threshold",
    "false_alarm_rate",
    "calibrated",
    "uncalibrated",
    "reason",
)
"""Of the CSV; a probability of each category follows. `uncalibrated`: why they are as the model gives them."""


def predict_paths(
    workspace: Workspace,
    run_id: str,
    paths: Sequence[str],
    *,
    csv_path: Path | None = None,
    methods: Sequence[str] = (),
    output: Path | None = None,
    allow_loopback: bool = False,
) -> list[dict[str, Any]]:
    """Classify files, folders (searched wholly) and http(s) URLs; one that cannot be had is a fact with a `reason` instead.

    Probabilities are scaled by the temperature fitted on validation. The result is also kept for the report. With attribution
    `methods` each image's maps are written to `output` as one PNG, whose path is its fact `maps`. FototecaError when a path is
    missing, there is no such method or it does not fit the model, or the manifest is not the one that the run learned from.
    Images of the test split, and copies of them, are a look at it: the ledger has it before the model is asked, or for copies
    before anything is told.
    """
    for method in methods:
        check_method(method)
    run = find_run(workspace, run_id)
    names = name_images(paths)
    asked = _Asked.open(workspace, run, methods, output)
    facts: list[dict[str, Any]] = []
    digests: list[str] = []
    signatures: list[bytes | None] = []
    thumbnails: list[str] = []
    batches = read_ahead(workspace, names, MAX_THUMBNAILS, allow_loopback=allow_loopback)
    held_out, look = {row.image_id for row in asked.manifest.split("test")}, None
    bar = tqdm(total=len(names), desc="predict", unit="img", disable=None)
    for batch in batches:
        if look is None and any(one.digest in held_out for one in batch):
            look = open_access(workspace, run.manifest_version, run.id, PREDICT)
        facts += asked.facts(batch)
        digests += [one.digest for one in batch]
        signatures += [one.signature for one in batch]
        thumbnails += [one.thumbnail for one in batch]
        bar.update(len(batch))
    bar.close()
    rows = {row.image_id: row for row in asked.manifest.rows}
    copies = find_known_duplicates(workspace, signatures, list(rows.values()))
    for fact, digest, near in zip(facts, digests, copies, strict=True):
        if digest in rows:  # the very file, whatever else shows the same and though the dataset's own has been lost
            _note_copy(fact, rows[digest], 0)
        elif near:
            _note_copy(fact, rows[near.image_id], near.distance)
    _close_look(workspace, run, look, facts)
    _remember(workspace, run, facts, thumbnails)
    if csv_path:
        write_text(csv_path, _csv(facts, run.categories))
    return facts


@dataclass
class _Asked:
    """A run that is asked about new images; `folder` takes their maps, one PNG each."""

    run: Run
    manifest: Manifest
    model: LoadedModel
    temperature: float | None
    uncalibrated: str | None
    novelty: OODDetector | None
    methods: Sequence[str]
    folder: Path
    verdicts: Mapping[str, CheckResults]
    written: int = 0

    @classmethod
    def open(cls, workspace: Workspace, run: Run, methods: Sequence[str], output: Path | None) -> _Asked:
        manifest = load_run_manifest(workspace, run)
        temperature, why = _temperature(workspace, run, manifest)
        novelty = fit_ood_detector(workspace, run, manifest)
        folder = output or workspace.reports / "predict" / run.id
        verdicts = read_method_results(workspace, run)
        model = load_model(workspace, run)
        if methods:
            network_of(model, methods[0])
        return cls(run, manifest, model, temperature, why, novelty, methods, folder, verdicts)

    def facts(self, batch: Sequence[InputImage]) -> list[dict[str, Any]]:
        """What is said of each image, in order."""
        images = [one.image for one in batch if one.image]
        answers = iter(self._said(images) if images else [])
        return [self._describe(one, *next(answers)) if one.image else self._failed(one) for one in batch]

    def _said(self, images: list[Image.Image]) -> list[tuple[str, np.ndarray, float | None, int]]:
        """Of each image its label, its calibrated probabilities, how strange it is, and the number of the first category."""
        said, features = self.model.answers(images)
        check_finite(self.run, "new", said)
        strange = self.novelty.scores(features).tolist() if self.novelty else [None] * len(images)
        scaled = scale_probabilities(np.asarray(said, dtype=np.float64), self.temperature or 1.0, self.run.task == "multi")
        return list(zip(decide_labels(self.run, said), scaled, strange, said.argmax(axis=1).tolist(), strict=True))

    def _describe(self, one: InputImage, label: str, said: np.ndarray, strange: float | None, target: int) -> dict[str, Any]:
        threshold = self.novelty.threshold if self.novelty else None
        fact = {
            "path": one.name,
            "label": label,
            "probability": float(said.max()),
            "probabilities": {category: float(value) for category, value in zip(self.run.categories, said, strict=True)},
            "near_duplicate": None,
            "unknown": strange is not None and threshold is not None and strange > threshold,
            "strangeness": strange,
            "unknown_threshold": threshold,
            "false_alarm_rate": self.novelty.false_alarm_rate if self.novelty else None,
            "calibrated": self.temperature is not None,
            "uncalibrated": self.uncalibrated,
            "reason": None,
        }
        assert one.image is not None
        surest = self.run.categories[int(said.argmax())]
        said_so = f"says {label or 'none'}{'' if surest == label else f'; {surest}'}, {said.max():.0%}"
        return {**fact, "maps": self._draw(one.name, one.image, target, said_so)} if self.methods else fact

    def _failed(self, one: InputImage) -> dict[str, Any]:
        """The same keys of an image that was not seen."""
        nothing = dict.fromkeys(("label", "probability", "near_duplicate", *PREDICTION_COLUMNS[6:-1]))
        return {"path": one.name, **nothing, "probabilities": {}, "unknown": False, "reason": one.reason}

    def _draw(self, name: str, image: Image.Image, target: int, words: str) -> str:
        """Write one PNG: what the model saw, then a map for each method with what it is worth; returns its path."""
        seen = self.model.preprocessing(image)
        drawn = draw_maps(self.model, seen, target, self.methods, stamped=True, verdicts=self.verdicts)
        self.written += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = Path(urlsplit(name).path if is_url(name) else name).stem[:60]
        path = self.folder / f"{self.written:04}-{stem}.png"  # names may come twice
        drawn.contact_sheet([path.stem[5:33], words]).save(path)
        return str(path)


def _temperature(workspace: Workspace, run: Run, manifest: Manifest) -> tuple[float | None, str | None]:
    """What the probabilities are scaled by, or why they are not: a lost file of validation keeps no image from being asked."""
    try:
        found = fit_run_temperature(read_split_predictions(workspace, run, "val", manifest))
    except FototecaError as error:
        return None, error.message
    return found, NO_ERRORS if found is None else None


def _note_copy(fact: dict[str, Any], row: ManifestRow, distance: int) -> None:
    """Tell what an image is a copy of. A copy of a training image is known, however alone that one is."""
    fact["near_duplicate"] = {"image_id": row.image_id, "split": row.split, "distance": distance}
    fact["unknown"] = fact["unknown"] and row.split != "train"


def _close_look(workspace: Workspace, run: Run, look: TestAccess | None, facts: Sequence[dict[str, Any]]) -> None:
    """Write down how many test images were asked about, copies among them. Their share that is right is not told: it is of a
    few that somebody chose."""
    shown = sum(bool(fact["near_duplicate"]) and fact["near_duplicate"]["split"] == "test" for fact in facts)
    if not shown:
        return
    close_access(workspace, look or open_access(workspace, run.manifest_version, run.id, PREDICT), shown, None)
    what = "1 image is" if shown == 1 else f"{shown} images are"
    notify(
        f"fototeca: {what} of {run.manifest_version}'s test split: this is a look at it, and written to data/runs/test_access.csv"
    )


def _csv(facts: Sequence[dict[str, Any]], categories: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*PREDICTION_COLUMNS, *(f"p:{name}" for name in categories)])
    for fact in facts:
        near: Mapping[str, str] = fact["near_duplicate"] or {}
        cells = {**fact, "near_duplicate": near.get("image_id"), "near_duplicate_split": near.get("split")}
        writer.writerow(
            _cell(value) for value in (*map(cells.get, PREDICTION_COLUMNS), *map(fact["probabilities"].get, categories))
        )
    return text.getvalue()


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.6f}" if isinstance(value, float) else value


def stored_predictions_path(workspace: Workspace, run: Run) -> Path:
    """Where the last predictions of a run are kept for the report."""
    return workspace.reports / "new-images" / f"{run.id}.json"


def _remember(workspace: Workspace, run: Run, facts: Sequence[dict[str, Any]], thumbnails: Sequence[str]) -> None:
    """Keep the last predictions with small images, since new images need not stay where they are.

    The counts are of all `n` images that were seen; `images` are the first of them, `failed` those that were not seen.
    """
    seen = [fact for fact in facts if not fact["reason"]]
    if not seen and stored_predictions_path(workspace, run).is_file():
        return  # a mistyped address costs no earlier images
    pairs = zip(facts, thumbnails, strict=True)
    document = {
        "run": run.id,
        "trained": run.digest,
        "n": len(seen),
        "unknown": sum(fact["unknown"] for fact in seen),
        "near": sum(bool(fact["near_duplicate"]) for fact in seen),
        "false_alarm_rate": next((fact["false_alarm_rate"] for fact in seen), None),
        "calibrated": all(fact["calibrated"] for fact in seen),
        "uncalibrated": next((fact["uncalibrated"] for fact in seen), None),
        "images": [{**fact, "thumbnail": small} for fact, small in pairs if not fact["reason"] and small],
        "failed": [{"path": fact["path"], "reason": fact["reason"]} for fact in facts if fact["reason"]],
    }
    write_text(stored_predictions_path(workspace, run), json.dumps(document, ensure_ascii=False) + "\n")
