"""`export`: write a run's network as ONNX or torch.export, with labels, preprocessing and a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from fototeca.analysis.evaluation.evaluate import compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.predictions import find_run, read_split_predictions
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import atomic_write, write_text
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, Run, load_model, load_run_manifest

if TYPE_CHECKING:
    import torch


def export_run(workspace: Workspace, run_id: str, form: str, output: Path | None = None) -> list[Path]:
    """Write `RUN.onnx` or `RUN.pt2` (torch.export), `RUN.json` (metadata) and `RUN.md` (model card).

    The network maps preprocessed images (N, 3, S, S), for any N, to logits (N, C).

    Args:
        workspace: the workspace.
        run_id: the run.
        form: `onnx` or `torch`.
        output: folder to write to; default: `data/reports/export`.

    Returns:
        The three paths, in this order.

    Raises:
        FototecaError: the run is not a single network, its manifest changed, or ONNX is not installed.
    """
    run = find_run(workspace, run_id)
    model = load_model(workspace, run)
    if model.module is None:
        if "members" in run.config:
            raise FototecaError(
                f"{run.id} is an ensemble of several networks",
                f"export one of them, or a soup: {', '.join(run.config['members'])}",
            )
        raise FototecaError(f"the classifier of {run.id} is not a network", "export a run with a linear, logistic or svm head")
    folder = output or workspace.reports / "export"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{run.id}.{'onnx' if form == 'onnx' else 'pt2'}"
    with tqdm(total=3, desc="export", unit="file", disable=None) as bar:
        metadata = _metadata(workspace, run, model)
        (_write_onnx if form == "onnx" else _write_torch)(model, target, metadata)
        bar.update()
        write_text(folder / f"{run.id}.json", json.dumps(metadata, ensure_ascii=False, indent=2) + "\n")
        bar.update()
        write_text(folder / f"{run.id}.md", model_card(run, metadata))
        bar.update()
    return [target, folder / f"{run.id}.json", folder / f"{run.id}.md"]


def _metadata(workspace: Workspace, run: Run, model: LoadedModel) -> dict[str, Any]:
    manifest = load_run_manifest(workspace, run)
    results = read_split_predictions(workspace, run, "val", manifest)
    temperature = fit_run_temperature(results)
    metrics = compute_metrics(results, temperature).to_json()
    return {
        "run": run.id,
        "model": run.model_name,
        "regime": run.regime,
        "dataset": manifest.dataset_name,
        "manifest": {"version": manifest.version, "sha256": manifest.sha256},
        "task": run.task,
        "labels": list(run.categories),
        "preprocessing": model.preprocessing.to_dict(),
        "input": ["N", 3, model.preprocessing.crop, model.preprocessing.crop],
        "output": "logits (N, C); " + ("sigmoid" if run.task == "multi" else "softmax") + " gives probabilities",
        "temperature": temperature or 1.0,
        "calibrated": temperature is not None,
        **_thresholds(run),
        "validation": {name: metrics[name] for name in ("n", "accuracy", "accuracy_interval", "macro_f1", "log_loss")},
    }


def _thresholds(run: Run) -> dict[str, Any]:
    """Return a multi-label run's thresholds on the probability before temperature scaling, by category."""
    if run.task == "single":
        return {}
    return {"thresholds": dict(zip(run.categories, map(float, run.thresholds), strict=True))}


def _example_batch(model: LoadedModel, n: int = 2) -> torch.Tensor:
    import torch

    return torch.zeros(n, 3, model.preprocessing.crop, model.preprocessing.crop)


def _write_onnx(model: LoadedModel, path: Path, metadata: dict[str, Any]) -> None:
    try:
        import onnx
        import torch
    except ImportError:
        raise ExternalError("ONNX is not installed", 'run: pip install "fototeca[export]"') from None
    assert model.module is not None
    program = torch.onnx.export(
        model.module,
        (_example_batch(model),),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    document = program.model_proto
    for key, value in metadata.items():
        document.metadata_props.add(key=key, value=json.dumps(value, ensure_ascii=False))
    with atomic_write(path) as file:
        file.write(onnx.ModelProto.SerializeToString(document))


def _write_torch(model: LoadedModel, path: Path, metadata: dict[str, Any]) -> None:
    import torch

    assert model.module is not None
    program = torch.export.export(
        model.module, (_example_batch(model),), dynamic_shapes=({0: torch.export.Dim("N", min=1)},), strict=False
    )
    with atomic_write(path) as file:
        torch.export.save(program, file, extra_files={"fototeca.json": json.dumps(metadata, ensure_ascii=False)})


def model_card(run: Run, metadata: dict[str, Any]) -> str:
    """Return a model card (Mitchell et al. 2019) in Markdown."""
    low, high = metadata["validation"]["accuracy_interval"]
    labels, manifest = metadata["labels"], metadata["manifest"]
    return "\n".join(
        [
            f"# {run.id}",
            "",
            f"- **Model**: {metadata['model']}, {metadata['regime']}; {len(labels)} categories: {', '.join(labels)}",
            f"- **Trained on**: {metadata['dataset']} {manifest['version']} (SHA-256 {manifest['sha256']})",
            f"- **Input**: {metadata['input']}, preprocessed: {json.dumps(metadata['preprocessing'])}",
            f"- **Output**: {metadata['output']}",
            f"- **Validation**: accuracy {metadata['validation']['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%}, "
            f"{metadata['validation']['n']} images), macro F1 {metadata['validation']['macro_f1']:.3f}",
            f"- **Calibration**: {_calibration_text(metadata)}",
            *_threshold_lines(metadata),
            "- **Intended use**: classifying images like those of the dataset into these categories. Images of anything else",
            "  also get one of these labels; `fototeca analysis predict` warns of such images, the network alone cannot.",
            "- **Limitations**: accuracy on images from other sources, cameras or places is unknown.",
            "",
        ]
    )


def _calibration_text(metadata: dict[str, Any]) -> str:
    if metadata["calibrated"]:
        return f"divide the logits by {metadata['temperature']:.3f}"
    return "none: validation has no errors to fit a temperature to, so the probabilities are the network's own"


def _threshold_lines(metadata: dict[str, Any]) -> list[str]:
    if "thresholds" not in metadata:
        return []
    thresholds = ", ".join(f"{name} {value:.3f}" for name, value in metadata["thresholds"].items())
    return [f"- **Thresholds** on the probability before calibration: {thresholds}"]
