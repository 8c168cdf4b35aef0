"""What the commands print when no JSON is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from fototeca.analysis.attribution.check_results import CHECKS, measured_checks
from fototeca.analysis.evaluation.calibration import NO_ERRORS


def to_json(facts: Any) -> str:  # noqa: ANN401  (whatever JSON can say)
    """One document; what is not a number becomes null, as JSON has no NaN."""
    return json.dumps(_plain(facts), ensure_ascii=False, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def columns(rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Rows as aligned columns, two spaces apart; the columns in `right` are aligned right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _share(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None or not isfinite(value) else f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no minus before nothing


def _range(ends: Sequence[float]) -> str:
    return f"{ends[0]:.1%} to {ends[1]:.1%}"


def evaluation_table(facts: dict[str, Any]) -> str:
    """The figures of `evaluate`."""
    rows: list[tuple[str, str]] = [
        ("accuracy", f"{_share(facts['accuracy'])}  (95% interval {_range(facts['accuracy_interval'])}, {facts['n']} images)"),
        (
            "macro F1",
            f"{facts['macro_f1']:.3f}  (bootstrap {' to '.join(f'{end:.3f}' for end in facts['bootstrap']['macro_f1'])})",
        ),
        ("macro precision", _share(facts["macro_precision"])),
        ("macro recall", _share(facts["macro_recall"])),
        ("log loss", _number(facts["log_loss"])),
    ]
    if "brier" in facts:
        rows.append(("Brier score", _number(facts["brier"])))
    if "balanced_accuracy" in facts:
        shown = f"{_share(facts['balanced_accuracy'])}  (bootstrap {_range(facts['bootstrap']['balanced_accuracy'])})"
        rows.insert(1, ("balanced accuracy", shown))
    rows += [(f"top-{k}", _share(value)) for k, value in facts.get("top_k", {}).items() if k != "1"]
    if "average_precision" in facts:
        rows.append(("micro F1", _number(facts["micro_f1"])))
        for name, of in (("mean average precision", "macro"), ("average precision, all at once", "micro")):
            ends = " to ".join(map(_number, facts["bootstrap"][f"average_precision_{of}"]))
            rows.append((name, f"{_number(facts['average_precision'][of])}  (bootstrap {ends})"))
    rows.append(("calibration error", _calibration(facts["calibration"])))
    if "tta" in facts:
        tta = facts["tta"]
        cost = f"{tta['seconds_per_image']:.3f} s an image, without {tta['seconds_per_image_alone']:.3f}"
        rows.append(("with views", f"{_share(tta['accuracy'])}  ({tta['gain']:+.1%}, p = {tta['p']:.3f}, {cost})"))
    per_class = [("category", "precision", "recall", "F1", "images")] + [
        (name, _share(c["precision"]), _share(c["recall"]), f"{c['f1']:.3f}", str(c["n"]))
        for name, c in facts["per_class"].items()
    ]
    parts = [f"{facts['run']} on {facts['split']}", columns(rows), "", columns(per_class, right=(1, 2, 3, 4))]
    if facts["absent"]:
        parts.append(f"\nno {facts['split']} images of: {', '.join(facts['absent'])}")
    if "test_accesses" in facts:
        times = "once" if facts["test_accesses"] == 1 else f"{facts['test_accesses']} times"
        parts.append(f"\nthis version's test split has been looked at {times} (data/runs/test_access.csv)")
    return "\n".join(parts)


def _calibration(facts: dict[str, Any]) -> str:
    if facts["temperature"] is None:
        return f"{facts['ece']:.3f}  (not calibrated: {NO_ERRORS})"
    return f"{facts['ece']:.3f}  ({facts['ece_scaled']:.3f} at temperature {facts['temperature']:.2f})"


def comparison_table(facts: dict[str, Any]) -> str:
    """The figures of `compare`."""
    like = set(facts["tied_with_best"])
    runs = [("run", "accuracy", "95% interval", "macro F1", "like the best")] + [
        (
            run["run"],
            _share(run["accuracy"]),
            _range(run["accuracy_interval"]),
            f"{run['macro_f1']:.3f}",
            "yes" if run["run"] in like else "no",
        )
        for run in facts["runs"]
    ]
    pairs = [("pair", "difference", "95% interval", "p", "p (Holm)")] + [
        (
            f"{pair['a']} - {pair['b']}",
            f"{pair['difference']:+.1%}",
            _range(pair["interval"]),
            f"{pair['p']:.3g}",
            f"{pair['p_holm']:.3g}",
        )
        for pair in facts["pairs"]
    ]
    return f"{facts['n']} {facts['split']} images\n\n{columns(runs, right=(1, 3))}\n\n{columns(pairs, right=(1, 3, 4))}"


def examples_table(facts: dict[str, Any]) -> str:
    """The lists of `examples`."""
    parts = [f"{facts['run']}: {facts['errors']} of {facts['n']} {facts['split']} images wrong"]
    for kind, found in facts["examples"].items():
        parts += ["", f"{kind.replace('_', ' ')}:", columns([_EXAMPLE, *map(_example, found)]) if found else "none"]
    worst = [(name, f["image_id"][:12], f["predicted"], _share(f["confidence"])) for name, f in facts["worst_per_class"].items()]
    parts += ["", "worst of each category:", columns([("label", "image", "predicted", "sure"), *worst]) if worst else "none"]
    pairs = [(p["true"], "taken for", p["predicted"], p["n"]) for p in facts["confused_pairs"]]
    parts += ["", "confused pairs:", columns(pairs) if pairs else "none"]
    sources = [(name, f"{one['errors']} of {one['n']}") for name, one in facts["by_source"].items()]
    parts += ["", "errors by source:", columns(sources)]
    groups = [(one["group"][:12], f"{one['errors']} of {one['n']}") for one in facts["by_group"]]
    parts += ["", "errors by near-duplicate group:", columns(groups) if groups else "none"]
    quality = [(name, f"{q['right']:.3f}", f"{q['wrong']:.3f}", f"{q['p']:.3f}") for name, q in facts["by_quality"].items()]
    unknown = "not measured (fototeca curate check), or too few errors to compare"
    parts += ["", "quality:", columns([("measure", "right", "wrong", "p"), *quality]) if quality else unknown]
    if facts["suspects"]:
        parts += [
            "",
            "perhaps labelled wrongly:",
            columns([(s["image_id"][:12], s["label"], s["predicted"]) for s in facts["suspects"]]),
        ]
    return "\n".join([*parts, "", facts["table"]])


_EXAMPLE = ("image", "label", "predicted", "sure", "source", "nearest training", "map or image")


def _example(fact: dict[str, Any]) -> tuple[str, ...]:
    """What is, what was said and how sure, where it is from, the nearest training images, and its map (else itself)."""
    near = " ".join(image_id[:8] for image_id in fact["nearest_training"])
    said = fact["label"], fact["predicted"], _share(fact["confidence"])
    return fact["image_id"][:12], *said, fact["source"], near or "-", fact["maps"] or fact["path"]


def embedding_table(facts: dict[str, Any]) -> str:
    """The facts of `embed`."""
    rows = [
        ("images", facts["images"]),
        ("features", facts["dimension"]),
        ("variance of the first two components", _share(sum(facts["explained_variance"][:2]))),
        ("validation images whose 10 nearest training images agree", _share(facts["knn_accuracy"])),
        ("silhouette", "-" if facts["silhouette"] is None else f"{facts['silhouette']:.3f}"),
    ]
    return "\n".join([columns(rows), *facts["paths"]])


def trials_table(facts: dict[str, Any]) -> str:
    """The scores of `explain --trials`; an exclamation mark where a trial is not passed."""
    trials = measured_checks(facts)
    rows: list[tuple[str, ...]] = [("method", *trials, "s a map")]
    for one in facts["methods"]:
        cells = [
            "-" if one[name] is None else f"{one[name]:.2f}{' ' if one['passed'].get(name, True) else '!'}" for name in trials
        ]
        rows.append((one["method"], *cells, "-" if one["seconds"] is None else f"{one['seconds']:.2f}"))
    return "\n".join(
        [
            f"{facts['run']}: {facts['images']} validation images, {facts['mosaics']} mosaics",
            columns(rows, right=tuple(range(1, len(trials) + 2))),
            "live: share of maps with a gradient behind them; classes, weights: rank correlation with the map of another",
            "category, and of dealt weights (low is good); deletion: low is good; insertion, grid: high is good.",
            *(["pointing, energy: is the peak, is the map on the thing (high is good)."] if trials != CHECKS else []),
            "! not passed: always live, below 0.9, below 0.5, better than the two maps that know nothing.",
            *(f"{one['method']} does not fit: {one['reason']}" for one in facts["methods"] if one["reason"]),
            *facts["paths"],
        ]
    )


def prediction_table(facts: Sequence[dict[str, Any]], top: int) -> str:
    """The lines of `predict`, and below them what its warnings and probabilities are worth."""
    rows = [(fact["path"], _said(fact, top), _notes(fact)) for fact in facts]
    parts = [columns(rows), ""]
    seen = next((fact for fact in facts if not fact["reason"]), None)
    if seen and seen["false_alarm_rate"] is not None:
        parts.append(
            f"of images that it should know, {seen['false_alarm_rate']:.1%} are called unlike anything it was trained on"
        )
    if seen and not seen["calibrated"]:
        parts.append(f"the probabilities are not calibrated: {seen['uncalibrated']}")
    return "\n".join(parts).rstrip()


def _said(fact: dict[str, Any], top: int) -> str:
    """The likeliest categories; what is said comes first where it is not the first of them, as with several labels."""
    best = sorted(fact["probabilities"].items(), key=lambda item: -item[1])[:top]
    listed = "  ".join(f"{name} {value:.1%}" for name, value in best)
    return listed if not best or best[0][0] == fact["label"] else f"{fact['label'] or 'none'}: {listed}"


def _notes(fact: dict[str, Any]) -> str:
    """What is to be said of one image besides its categories."""
    if fact["reason"]:
        return f"not seen: {fact['reason']}"
    near = fact["near_duplicate"]
    notes = [f"near-duplicate of {near['image_id'][:12]} ({near['split']})"] if near else []
    if fact["unknown"]:
        notes.append("unlike anything it was trained on")
    return "; ".join([*notes, *([fact["maps"]] if "maps" in fact else [])])
