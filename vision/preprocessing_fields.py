"""Allowed values of each field of a network's preprocessing, in run configurations and in the metadata of weight files."""

from __future__ import annotations

from fototeca.core.kinds import Choice, Flag, Integer, ListOf, Number, Record

INTERPOLATIONS = ("bilinear", "bicubic")
"""Ways to resize, which are also part of file names in the cache."""

_SIDE = Integer(1, 8192)

PREPROCESSING = Record(
    {
        "resize": _SIDE,
        "crop": _SIDE,
        "mean": ListOf(Number(-1e6, 1e6), low=3, high=3),
        "std": ListOf(Number(1e-6, 1e6), low=3, high=3),
        "interpolation": Choice(INTERPOLATIONS),
    }
)
"""The form of `vision.backbones.Preprocessing`."""

WEIGHTS_NOTE = Record({**PREPROCESSING.required, "transform_input": Flag()})
"""The form of the metadata of a run's weight file."""
