"""Text printed by `predict`: a line per image for a few images, or counts for many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fototeca.analysis.cli_tables import prediction_notes, prediction_table
from fototeca.analysis.predict.results import Prediction
from fototeca.core.tables import render_table

MAX_LISTED = 20
"""Images that are listed one by one; of more, counts are printed."""

MAX_LABELS = 40
"""Predicted labels that the counts list."""


class PredictionSummary:
    """Counts of predictions and the first MAX_LISTED of them; memory does not grow with their number."""

    def __init__(self) -> None:
        self.n = 0
        self.reasons: Counter[str] = Counter()
        self._first: list[Prediction] = []
        self._readable: Prediction | None = None
        self._labels: Counter[str] = Counter()
        self._near: Counter[str] = Counter()
        self._unknown = 0

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.n += 1
        if len(self._first) < MAX_LISTED:
            self._first.append(prediction)
        if prediction.reason:
            self.reasons[prediction.reason] += 1
            return
        self._readable = self._readable or prediction
        self._labels[prediction.label or "none"] += 1
        self._unknown += prediction.unknown
        if prediction.near_duplicate:
            self._near[prediction.near_duplicate.split] += 1

    def count(self, predictions: Iterable[Prediction]) -> Iterable[Prediction]:
        """Yield the predictions, counting each."""
        for prediction in predictions:
            self.add(prediction)
            yield prediction

    def text(self, top: int) -> str:
        """Return the table of a few images with their `top` categories, or the counts of many."""
        if self.n <= MAX_LISTED:
            return prediction_table(self._first, top)
        readable = self._labels.total()
        common = self._labels.most_common(MAX_LABELS)
        rows = [(label, str(count), f"{count / readable:.1%}") for label, count in common]
        if others := len(self._labels) - len(common):
            rows.append((f"{others} other labels", str(readable - sum(count for _, count in common)), ""))
        parts = [
            render_table(["prediction", "images", "share"], rows, right=["images", "share"]),
            "",
            f"{readable} of {self.n} images",
        ]
        parts += [f"{count} near-duplicates of {split} images" for split, count in sorted(self._near.items())]
        parts += [f"{self._unknown} unlike the training images"] if self._unknown else []
        parts += [f"{count} not read: {reason}" for reason, count in self.reasons.most_common()]
        parts += prediction_notes(self._readable)
        parts.append("a row for each image: --csv FILE or --json")
        return "\n".join(parts)
