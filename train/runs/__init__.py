"""Runs on disk: configuration, metrics, predictions and weights. Higher packages import from here only."""

from fototeca.train.runs.inference import BATCH_SIZE, LoadedModel
from fototeca.train.runs.load import load_model
from fototeca.train.runs.metrics import RunMetrics, software_versions
from fototeca.train.runs.registry import (
    Predictions,
    Run,
    check_members,
    check_trained_on,
    decide_labels,
    load_run_manifest,
    read_run,
    write_predictions_csv,
)

__all__ = [
    "BATCH_SIZE",
    "LoadedModel",
    "Predictions",
    "Run",
    "RunMetrics",
    "check_members",
    "check_trained_on",
    "decide_labels",
    "load_model",
    "load_run_manifest",
    "read_run",
    "software_versions",
    "write_predictions_csv",
]
