"""The form of a run's files: what each field of `config.json`, `done.json` and `thresholds.json` may hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import get_args

from fototeca.core.errors import FototecaError
from fototeca.core.kinds import (
    FILE_NAME,
    NAME,
    SHA256,
    VERSION,
    Choice,
    Flag,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Number,
    Optional,
    Record,
    Text,
)
from fototeca.core.settings import Task
from fototeca.train.config import Head, Regime, TrainConfig, check_value
from fototeca.vision.preprocessing_fields import PREPROCESSING


@dataclass(frozen=True)
class _Setting(Kind):
    """A value of one setting of training."""

    setting: str

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The setting, for people."""
        return f"a value of --{self.setting.replace('_', '-')}"

    def accepts(self, value: object) -> bool:
        """Return True for a value that the option takes."""
        try:
            check_value(self.setting, value)
        except FototecaError:
            return False
        return not isinstance(value, str) or Text().accepts(value)


_RATE = Number(0, 1)
_SECONDS = Number(0, 1e12)
_MEMBERS = ListOf(FILE_NAME, low=1, unique=True)
_SETTINGS: dict[str, Kind] = {field.name: _Setting(field.name) for field in fields(TrainConfig)}

CONFIG = Record(
    {
        "model": Text(r"[^\s/\\][^\r\n]*", "the name of a model", 200),
        "regime": Choice((*get_args(Regime), "ensemble")),
        "manifest": VERSION,
        "manifest_sha256": SHA256,
        "task": Choice(get_args(Task)),
        "categories": ListOf(NAME, low=1, unique=True),
    },
    {
        **{name: kind for name, kind in _SETTINGS.items() if name not in ("model", "regime", "manifest")},
        "head": Choice(get_args(Head)),
        "preprocessing": PREPROCESSING,
        "transform_input": Flag(),
        "weights_id": Text(max_length=1000),
        "decode_version": Integer(1, 1000),
        "processes": Integer(1, 100_000),
        "train_crop_size": Integer(1, 8192),
        "trainable_stages": ListOf(Text(max_length=1000)),
        "classifier": Choice(("inherited",)),
        "method": Choice(("mean", "weighted", "soup")),
        "members": _MEMBERS,
        "member_weights": ListOf(_RATE, low=1),
        "soup": _MEMBERS,
        "of": ListOf(FILE_NAME, low=1),
        "made_of": MapOf(FILE_NAME, Text("[0-9a-f]{16,64}", "a digest")),
        "snapshot_of": FILE_NAME,
    },
)
"""The form of `config.json`."""

METRICS = Record(
    {
        "train_accuracy": _RATE,
        "val_accuracy": _RATE,
        "val_images": Integer(),
        "parameters": Integer(),
        "seconds": _SECONDS,
        "images_per_second": Number(0, 1e12),
    },
    {
        **dict.fromkeys(("train_images", "trainable_parameters", "best_epoch", "epochs_run"), Optional(Integer())),
        **dict.fromkeys(("seconds_preparing", "seconds_training"), Optional(_SECONDS)),
        "val_interval": Optional(ListOf(_RATE, low=2, high=2)),
        "strength": Optional(Number()),
        "software": Optional(MapOf(Text(max_length=100), Text(max_length=100))),
    },
)
"""The form of `done.json`."""

THRESHOLDS = MapOf(NAME, Number())
"""The form of `thresholds.json`."""
