"""The settings of a run that affected it, with their values as text."""

from __future__ import annotations

from typing import Any

from fototeca.analysis.i18n import Texts
from fototeca.analysis.model_titles import model_title
from fototeca.train.runs import Run

SETTINGS = (
    "model",
    "regime",
    "head",
    "unfreeze",
    "weights",
    "image_size",
    "fit",
    "epochs",
    "batch_size",
    "optimizer",
    "lr",
    "weight_decay",
    "schedule",
    "layer_decay",
    "freeze_bn",
    "augment",
    "mirror",
    "augmented_copies",
    "mixup",
    "cutmix",
    "random_erasing",
    "label_smoothing",
    "balance",
    "ema",
    "clip",
    "accumulate",
    "patience",
    "snapshots",
    "precision",
    "seed",
)
"""Settings shown of a run, in order: all that distinguish one run from another."""

NEUTRAL = {"fit": "crop", "mirror": True, "layer_decay": 1.0, "accumulate": 1, "precision": "32", "balance": "none"}
"""Values, besides 0 and None, with which a setting has no effect and is not shown."""

STEP_SETTINGS = frozenset({"epochs", "batch_size", "optimizer", "lr", "schedule"})
"""Settings without effect on models that are fitted at once."""


def shown_settings(run: Run) -> list[str]:
    """Return the settings that affected the run: no `unfreeze` with frozen features, no STEP_SETTINGS of heads fitted at once."""
    hidden = {"features": frozenset({"unfreeze"}), "ensemble": frozenset({"head"})}.get(run.regime, frozenset[str]())
    if run.regime == "features" and run.config.get("head") != "linear":
        hidden |= STEP_SETTINGS
    return [name for name in SETTINGS if name not in hidden and _has_effect(name, run.config.get(name))]


def _has_effect(name: str, value: Any) -> bool:  # noqa: ANN401 - any setting
    """Return True unless the value is the one without effect; 0 is a seed like others."""
    if name in ("seed", "mirror"):
        return value is not None and value != NEUTRAL.get(name)
    return bool(value) and value != NEUTRAL.get(name)


def setting_text(texts: Texts, run: Run, name: str) -> str:
    """Return the value of a setting in the language of `texts`."""
    value = run.config[name]
    if name == "model" and run.regime == "ensemble":
        return texts(f"ensemble_gains.method.{ensemble_method(run)}")
    if name == "model":
        return model_title(str(value))
    if name == "regime":
        return texts(f"regime.{value}")
    if isinstance(value, bool):
        return texts("setting.on" if value else "setting.off")
    if (key := f"setting.value.{name}.{value}") in texts.entries:
        return texts(key)
    if name == "weights":
        return str(value).replace("\\", "/").rpartition("/")[2]
    return texts.plain(value) if isinstance(value, float) else str(value)


def ensemble_method(run: Run) -> str:
    """Return how an ensemble was joined: `mean`, `weighted`, `soup`, or `snapshot` (mean of one training's snapshots)."""
    method = str(run.config["method"])
    return "snapshot" if method == "mean" and len(set(run.config["of"])) == 1 else method
