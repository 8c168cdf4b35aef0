"""Runs on disk: configuration, metrics, predictions and weights."""

from fototeca.train.runs.inference import BATCH_SIZE, LoadedModel
from fototeca.train.runs.registry import (
    Predictions,
    Run,
    check_members,
    check_trained_on,
    decide_labels,
    load_model,
    load_run_manifest,
    read_run,
    software_versions,
    write_predictions_csv,
)

__all__ = [
    "BATCH_SIZE",
    "LoadedModel",
    "Predictions",
    "Run",
    "check_members",
    "check_trained_on",
    "decide_labels",
    "load_model",
    "load_run_manifest",
    "read_run",
    "software_versions",
    "write_predictions_csv",
]
