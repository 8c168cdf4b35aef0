"""Runs on disk: configuration, metrics, predictions and weights."""

from fototeca.train.runs.inference import BATCH, LoadedModel
from fototeca.train.runs.registry import (
    Predictions,
    Run,
    check_learned_from,
    check_members,
    decide,
    load_model,
    manifest_of,
    read_run,
    software,
    write_predictions_csv,
)

__all__ = [
    "BATCH",
    "LoadedModel",
    "Predictions",
    "Run",
    "check_learned_from",
    "check_members",
    "decide",
    "load_model",
    "manifest_of",
    "read_run",
    "software",
    "write_predictions_csv",
]
