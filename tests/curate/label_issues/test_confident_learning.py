"""Check the benchmark's mistakenness against FiftyOne's."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("fiftyone")
BENCH = runpy.run_path(str(Path(__file__).parents[3] / "bench" / "label_issues.py"))


def test_mistakenness_ranks_as_in_fiftyone(fo: Any) -> None:  # noqa: ANN401  (FiftyOne ships no types)
    """The ranking equals FiftyOne Brain's ranking from the logits of the same probabilities."""
    import fiftyone.brain as brain

    rng = np.random.default_rng(3)
    logits = rng.normal(size=(60, 4)) * 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(rng.random(60) < 0.7, probabilities.argmax(axis=1), rng.integers(0, 4, 60))
    dataset = fo.Dataset("mistakenness")
    dataset.add_samples(
        [
            fo.Sample(
                filepath=f"/none/{number:02}.jpg",
                truth=fo.Classification(label=str(label)),
                prediction=fo.Classification(label=str(row.argmax()), logits=row.tolist()),
            )
            for number, (label, row) in enumerate(zip(labels, logits, strict=True))
        ],
        progress=False,
    )
    brain.compute_mistakenness(dataset, "prediction", label_field="truth", use_logits=True, progress=False)
    expected = np.argsort(-np.array(dataset.values("mistakenness")), kind="stable")
    dataset.delete()
    actual = BENCH["mistakenness"](SimpleNamespace(out_of_fold_probabilities=lambda _: probabilities), labels)
    assert actual == expected.tolist()
