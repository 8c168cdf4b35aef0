"""The features before a run's classifier, computed once per image and kept in the cache."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from curate.manifest import Row, image_path
from train.runs import Run, load_model
from workspace import Workspace, write_bytes

BATCH = 64
"""Images between two steps of the progress bar."""

Features = npt.NDArray[np.float32]


def run_features(workspace: Workspace, run: Run, rows: Sequence[Row]) -> Features | None:
    """(N, D) of the rows, in order; None when the run has no features of its own (an ensemble)."""
    known = _read(workspace, run)
    missing = [row for row in dict.fromkeys(rows) if row.image_id not in known]
    if missing:
        model = load_model(workspace, run)
        if not hasattr(model, "features"):
            return None
        for start in tqdm(range(0, len(missing), BATCH), desc="features", disable=None):
            part = missing[start : start + BATCH]
            values = np.asarray(model.features([image_path(workspace, row) for row in part]), dtype=np.float32)
            known.update({row.image_id: value for row, value in zip(part, values, strict=True)})
        _write(workspace, run, known)
    return np.stack([known[row.image_id] for row in rows])


def run_digest(run: Run) -> str:
    """Changes whenever the run is trained anew."""
    return hashlib.sha256((run.folder / "done.json").read_bytes()).hexdigest()[:16]


def _read(workspace: Workspace, run: Run) -> dict[str, Features]:
    path = workspace.cache / "run-features" / f"{run.id}-{run_digest(run)}.npz"
    if not path.exists():
        return {}
    with np.load(path) as stored:
        return dict(zip(stored["image_ids"].tolist(), stored["features"], strict=True))


def _write(workspace: Workspace, run: Run, known: dict[str, Features]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, image_ids=np.array(list(known)), features=np.stack(list(known.values())))
    write_bytes(workspace.cache / "run-features" / f"{run.id}-{run_digest(run)}.npz", buffer.getvalue())


def unit(features: Features) -> Features:
    """Rows of length one, so that products are cosines."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def nearest_training(train: Features, queries: Features, k: int) -> npt.NDArray[np.int64]:
    """(Q, k) the nearest training rows of each query by cosine, nearest first."""
    similarity = unit(queries) @ unit(train).T
    k = min(k, len(train))
    part = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(similarity, part, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(part, order, axis=1), dtype=np.int64)
