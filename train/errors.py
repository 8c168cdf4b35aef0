"""Errors of training."""

from __future__ import annotations

from fototeca.core.errors import FototecaError


class TrainingAborted(FototecaError):
    """A run ended without being finished, and resuming it would end in the same place or is of no use."""
