"""Output of the analysis commands without `--json`: results as text and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from textwrap import indent
from typing import Any

from fototeca.analysis.attribution.check_results import CHECKS, SanityChecks
from fototeca.analysis.evaluation.calibration import NO_ERRORS
from fototeca.analysis.evaluation.compare import Comparison
from fototeca.analysis.evaluation.results import Calibration, Evaluation, Interval
from fototeca.analysis.example_results import Example, RunExamples
from fototeca.analysis.predict.results import Prediction
from fototeca.core.tables import render_table


def to_json_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON document; NaN and infinity become null."""
    return json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False)


def stream_json(values: Iterable[Any]) -> Iterator[str]:
    """Yield the text of a JSON list piece by piece; nothing before the first value is there."""
    start = "["
    for value in values:
        yield start + "\n" + indent(to_json_text(value), "  ")
        start = ","
    yield "[]\n" if start == "[" else "\n]\n"


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _percent(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no negative zero


def _percent_range(ends: Interval) -> str:
    return f"{ends[0]:.1%} to {ends[1]:.1%}"


def _number_range(ends: Interval) -> str:
    return f"{_number(ends[0])} to {_number(ends[1])}"


def evaluation_table(evaluation: Evaluation) -> str:
    """Return the metrics of `evaluate`, overall and by category."""
    metrics = render_table(["metric", "value", "95% interval or details"], _metric_rows(evaluation))
    by_category = [
        (name, _percent(row.precision), _percent(row.recall), f"{row.f1:.3f}", row.n)
        for name, row in evaluation.per_class.items()
    ]
    head = ["category", "precision", "recall", "F1", "images"]
    parts = [f"{evaluation.run} on {evaluation.split}, {evaluation.n} images", metrics, ""]
    parts.append(render_table(head, by_category, right=head[1:]))
    if evaluation.absent:
        parts.append(f"\nno {evaluation.split} images of: {', '.join(evaluation.absent)}")
    if evaluation.test_accesses is not None:
        times = "once" if evaluation.test_accesses == 1 else f"{evaluation.test_accesses} times"
        parts.append(f"\nthis version's test split has been used {times} (data/runs/test_access.csv)")
    return "\n".join(parts)


def _metric_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    rows = [("accuracy", _percent(evaluation.accuracy), _percent_range(evaluation.accuracy_interval))]
    if evaluation.balanced_accuracy is not None:
        interval = _percent_range(evaluation.intervals["balanced_accuracy"])
        rows.append(("balanced accuracy", _percent(evaluation.balanced_accuracy), interval))
    rows += [
        ("macro F1", _number(evaluation.macro_f1), _number_range(evaluation.intervals["macro_f1"])),
        ("macro precision", _percent(evaluation.macro_precision), ""),
        ("macro recall", _percent(evaluation.macro_recall), ""),
        ("log loss", _number(evaluation.log_loss), ""),
    ]
    if evaluation.brier is not None:
        rows.append(("Brier score", _number(evaluation.brier), ""))
    rows += [(f"top-{k}", _percent(value), "") for k, value in (evaluation.top_k or {}).items() if k != "1"]
    if evaluation.average_precision is not None:
        precision, intervals = evaluation.average_precision, evaluation.intervals
        rows.append(("micro F1", _number(evaluation.micro_f1), ""))
        rows.append(("mean average precision", _number(precision.macro), _number_range(intervals["average_precision_macro"])))
        rows.append(("micro average precision", _number(precision.micro), _number_range(intervals["average_precision_micro"])))
    rows.append(("calibration error", _number(evaluation.calibration.ece), _calibration_details(evaluation.calibration)))
    if evaluation.tta is not None:
        tta = evaluation.tta
        cost = f"{tta.seconds_per_image:.3f} s per image, {tta.seconds_per_image_alone:.3f} s without"
        unused = "" if tta.used else "not used: it loses on validation; "
        rows.append(("accuracy with TTA", _percent(tta.accuracy), f"{unused}gain {tta.gain:+.1%}, p = {tta.p:.3f}, {cost}"))
    return rows


def _calibration_details(calibration: Calibration) -> str:
    if calibration.temperature is None:
        return f"not calibrated: {NO_ERRORS}"
    return f"{_number(calibration.ece_scaled)} at temperature {calibration.temperature:.2f}"


def comparison_table(comparison: Comparison) -> str:
    """Return the runs of `compare`, best first, and their differences."""
    tied = set(comparison.tied_with_best)
    runs = [
        (
            score.run,
            _percent(score.accuracy),
            _percent_range(score.accuracy_interval),
            _number(score.macro_f1),
            "yes" if score.run in tied else "no",
        )
        for score in comparison.runs
    ]
    pairs = [
        (f"{pair.a} - {pair.b}", f"{pair.difference:+.1%}", _percent_range(pair.interval), f"{pair.p:.3g}", f"{pair.p_holm:.3g}")
        for pair in comparison.pairs
    ]
    return "\n".join(
        [
            f"{comparison.n} {comparison.split} images",
            "",
            render_table(["run", "accuracy", "95% interval", "macro F1", "tied"], runs, right=["accuracy", "macro F1"]),
            "",
            "tied: not significantly different from the best run",
            "",
            render_table(["pair", "difference", "95% interval", "p", "p (Holm)"], pairs, right=["difference", "p", "p (Holm)"]),
        ]
    )


def examples_table(examples: RunExamples) -> str:
    """Return the lists of `examples` and the path of the CSV with maps and paths."""
    parts = [f"{examples.run}: {examples.errors} of {examples.n} {examples.split} images wrong"]
    for kind, chosen in examples.examples.items():
        parts += ["", f"{kind.replace('_', ' ')}:", _example_rows(chosen)]
    worst = [
        (name, example.image_id[:12], example.predicted, _percent(example.confidence), example.file_name)
        for name, example in examples.worst_per_class.items()
    ]
    parts += ["", "worst of each category:", _rows_or_none(["label", "image", "predicted", "confidence", "file"], worst)]
    pairs = [(pair.true, pair.predicted, pair.n) for pair in examples.confused_pairs]
    parts += ["", "confused pairs:", _rows_or_none(["true", "predicted", "errors"], pairs)]
    sources = [(name, counts.errors, counts.n) for name, counts in examples.by_source.items()]
    parts += ["", "errors by source:", _rows_or_none(["source", "errors", "images"], sources)]
    groups = [(group.group[:12], group.errors, group.n) for group in examples.by_group]
    parts += ["", "errors by near-duplicate group:", _rows_or_none(["group", "errors", "images"], groups)]
    quality = [(name, _number(q.right), _number(q.wrong), _number(q.p)) for name, q in examples.by_quality.items()]
    unknown = "not measured (fototeca curate quality), or too few errors to compare"
    head = ["measure", "mean, right", "mean, wrong", "p"]
    parts += ["", "image quality:", render_table(head, quality, right=head[1:]) if quality else unknown]
    if examples.suspects:
        suspects = [(example.image_id[:12], example.label, example.predicted, example.file_name) for example in examples.suspects]
        parts += ["", "possible label errors:", render_table(["image", "label", "predicted", "file"], suspects)]
    return "\n".join([*parts, "", examples.table])


def _rows_or_none(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return render_table(head, rows, right=["errors", "images"]) if rows else "none"


def _example_rows(examples: Sequence[Example]) -> str:
    """Return label, prediction, source, the ids of the nearest training images and the file name."""
    rows = [
        (
            example.image_id[:12],
            example.label,
            example.predicted,
            _percent(example.confidence),
            example.source,
            " ".join(image_id[:8] for image_id in example.nearest_training) or "-",
            example.file_name,
        )
        for example in examples
    ]
    return _rows_or_none(["image", "label", "predicted", "confidence", "source", "nearest training", "file"], rows)


def embedding_table(facts: dict[str, Any]) -> str:
    """Return the measurements of `embed` and the paths it wrote."""
    rows = [
        ("images", facts["images"]),
        ("features", facts["dimension"]),
        ("variance of the first two components", _percent(sum(facts["explained_variance"][:2]))),
        ("accuracy of the 10 nearest training images", _percent(facts["knn_accuracy"])),
        ("silhouette", _number(facts["silhouette"])),
    ]
    return "\n".join([render_table(["measure", "value"], rows), *facts["paths"]])


def sanity_checks_table(checks: SanityChecks) -> str:
    """Return the scores of `explain --sanity-checks` by method; an exclamation mark marks a failed check."""
    names = checks.measured
    rows: list[tuple[str, ...]] = []
    for method in checks.methods:
        scores = {name: method.score(name) for name in names}
        cells = [
            "-" if score is None else f"{score:.2f}{' ' if method.passed.get(name, True) else '!'}"
            for name, score in scores.items()
        ]
        rows.append((method.method, *cells, "-" if method.seconds is None else f"{method.seconds:.2f}"))
    head = ["method", *names, "s/map"]
    return "\n".join(
        [
            f"{checks.run}: {checks.images} validation images, {checks.grids} image grids",
            render_table(head, rows, right=head[1:]),
            "gradient: fraction of maps with a nonzero gradient; classes, weights: rank correlation with the",
            "map of another category and of shuffled weights (low is good); deletion: low is good;",
            "insertion, grid: high is good.",
            *(["pointing, energy: maximum and fraction of the map on the object (high is good)."] if names != CHECKS else []),
            "! failed: gradient below 1, classes from 0.9, weights from 0.5, others not better than both baselines.",
            *(f"{method.method} cannot be used: {method.reason}" for method in checks.methods if method.reason),
            *(checks.paths or ()),
        ]
    )


def prediction_table(predictions: Sequence[Prediction], top: int) -> str:
    """Return the predictions of `predict` with their warnings, the rate of false alarms and whether they are calibrated."""
    rows = [(one.path, _probabilities(one, top), _warnings(one)) for one in predictions]
    parts = [render_table(["image", "prediction", "notes"], rows), ""]
    parts += prediction_notes(next((one for one in predictions if not one.reason), None))
    return "\n".join(parts).rstrip()


def prediction_notes(prediction: Prediction | None) -> list[str]:
    """Return the rate of false alarms, and why probabilities are not calibrated, from any readable image's prediction."""
    notes = []
    if prediction and prediction.false_alarm_rate is not None:
        rate = f"{prediction.false_alarm_rate:.1%}"
        notes.append(f"{rate} of images of the dataset's categories are wrongly reported as unlike the training images")
    if prediction and not prediction.calibrated:
        notes.append(f"the probabilities are not calibrated: {prediction.uncalibrated}")
    return notes


def _probabilities(prediction: Prediction, top: int) -> str:
    """Return the most probable categories, after the predicted label where it is not the first of them (multi-label)."""
    best = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:top]
    listed = "  ".join(f"{name} {value:.1%}" for name, value in best)
    return listed if not best or best[0][0] == prediction.label else f"{prediction.label or 'none'}: {listed}"


def _warnings(prediction: Prediction) -> str:
    if prediction.reason:
        return f"not read: {prediction.reason}"
    near = prediction.near_duplicate
    notes = [f"near-duplicate of {near.file_name or near.image_id[:12]} ({near.split})"] if near else []
    if prediction.unknown:
        notes.append("unlike the training images")
    return "; ".join([*notes, *([prediction.maps] if prediction.maps else [])])
