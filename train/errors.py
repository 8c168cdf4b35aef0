"""Errors of training."""

from __future__ import annotations

from fototeca.core.errors import FototecaError


class TrainingAborted(FototecaError):
    """A run has ended for good without being finished: going on would end in the same place, or is of no use."""
