"""`export`: a run's network for other programs, with what they need to use it as it was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from fototeca.analysis.evaluation.evaluate import compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.predictions import find_run, read_split_predictions
from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write, write_text
from fototeca.core.workspace import Workspace
from fototeca.train.runs import LoadedModel, Run, load_model, load_run_manifest

if TYPE_CHECKING:
    import torch


def export_run(workspace: Workspace, run_id: str, form: str, output: Path | None = None) -> list[Path]:
    """Write `RUN.onnx` or `RUN.pt2` (torch.export), `RUN.json` and `RUN.md` (the model card); returns their paths.

    The network takes (N, 3, S, S) preprocessed images, any N, and gives (N, C) logits. FototecaError when the run's
    classifier is no network.
    """
    run = find_run(workspace, run_id)
    model = load_model(workspace, run)
    if model.module is None:
        if "members" in run.config:
            raise FototecaError(
                f"{run.id} asks several networks", f"export one of them, or a soup: {', '.join(run.config['members'])}"
            )
        raise FototecaError(f"the classifier of {run.id} is no network", "export a run with a linear, logistic or svm head")
    folder = output or workspace.reports / "export"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{run.id}.{'onnx' if form == 'onnx' else 'pt2'}"
    with tqdm(total=3, desc="export", unit="file", disable=None) as bar:
        facts = _facts(workspace, run, model)
        (_write_onnx if form == "onnx" else _write_torch)(model, target, facts)
        bar.update()
        write_text(folder / f"{run.id}.json", json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
        bar.update()
        write_text(folder / f"{run.id}.md", model_card(run, facts))
        bar.update()
    return [target, folder / f"{run.id}.json", folder / f"{run.id}.md"]


def _facts(workspace: Workspace, run: Run, model: LoadedModel) -> dict[str, Any]:
    manifest = load_run_manifest(workspace, run)
    results = read_split_predictions(workspace, run, "val", manifest)
    temperature = fit_run_temperature(results)
    figures = compute_metrics(results, temperature).to_json()
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
        "validation": {name: figures[name] for name in ("n", "accuracy", "accuracy_interval", "macro_f1", "log_loss")},
    }


def _thresholds(run: Run) -> dict[str, Any]:
    """From which probability (before the temperature) a multi-label run says yes to each category."""
    if run.task == "single":
        return {}
    return {"thresholds": dict(zip(run.categories, map(float, run.thresholds), strict=True))}


def _example(model: LoadedModel, n: int = 2) -> torch.Tensor:
    import torch

    return torch.zeros(n, 3, model.preprocessing.crop, model.preprocessing.crop)


def _write_onnx(model: LoadedModel, path: Path, facts: dict[str, Any]) -> None:
    try:
        import onnx
        import torch
    except ImportError:
        raise FototecaError("ONNX is not installed", 'run: pip install "fototeca[export]"', exit_code=4) from None
    assert model.module is not None
    program = torch.onnx.export(
        model.module,
        (_example(model),),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    document = program.model_proto
    for key, value in facts.items():
        document.metadata_props.add(key=key, value=json.dumps(value, ensure_ascii=False))
    with atomic_write(path) as file:
        file.write(onnx.ModelProto.SerializeToString(document))


def _write_torch(model: LoadedModel, path: Path, facts: dict[str, Any]) -> None:
    import torch

    assert model.module is not None
    program = torch.export.export(
        model.module, (_example(model),), dynamic_shapes=({0: torch.export.Dim("N", min=1)},), strict=False
    )
    with atomic_write(path) as file:
        torch.export.save(program, file, extra_files={"fototeca.json": json.dumps(facts, ensure_ascii=False)})


def model_card(run: Run, facts: dict[str, Any]) -> str:
    """A model card (Mitchell et al. 2019) in Markdown, with what is known; what is not says so."""
    low, high = facts["validation"]["accuracy_interval"]
    return "\n".join(
        [
            f"# {run.id}",
            "",
            f"- **Model**: {facts['model']}, {facts['regime']}; {len(facts['labels'])} categories: {', '.join(facts['labels'])}",
            f"- **Trained on**: {facts['dataset']} {facts['manifest']['version']} (SHA-256 {facts['manifest']['sha256']})",
            f"- **Input**: {facts['input']}, preprocessed: {json.dumps(facts['preprocessing'])}",
            f"- **Output**: {facts['output']}",
            f"- **Validation**: accuracy {facts['validation']['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%}, "
            f"{facts['validation']['n']} images), macro F1 {facts['validation']['macro_f1']:.3f}",
            f"- **Calibration**: {_calibration(facts)}",
            *_says_yes(facts),
            "- **Intended use**: telling these categories apart in images like those of the dataset. An image of anything",
            "  else still gets one of these labels: `fototeca analysis predict` warns of such images, the bare network cannot.",
            "- **Not known**: how it does on images from other sources, cameras or places than the dataset's.",
            "",
        ]
    )


def _calibration(facts: dict[str, Any]) -> str:
    if facts["calibrated"]:
        return f"divide the logits by {facts['temperature']:.3f}"
    return "none: validation has no errors to fit a temperature on, so the probabilities are as the network gives them"


def _says_yes(facts: dict[str, Any]) -> list[str]:
    if "thresholds" not in facts:
        return []
    listed = ", ".join(f"{name} {value:.3f}" for name, value in facts["thresholds"].items())
    return [f"- **Says yes** from these probabilities, before calibration, on: {listed}"]
