"""A run resolved from its configuration and manifest, before any network is built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run
from fototeca.train.runs.weights_io import absolute_weights, output_meaning, weights_path
from fototeca.train.training.data import check_manifest
from fototeca.train.training.optim import list_per_process_effects, unfreeze
from fototeca.vision.backbones import InitialWeights, check_model, inspect_weights, model_skeleton, provides_classifier
from fototeca.vision.image import DECODE_VERSION
from fototeca.vision.preprocessing import Preprocessing

RESOLVED_SETTINGS = ("weights", "image_size", "fit", "unfreeze")
"""Settings that enter the identity by what they resolve to: writing out a default does not make another run."""


@dataclass(frozen=True)
class RunSpec:
    """The settings, data and initial weights of a run, its identity and its folder."""

    workspace: Workspace
    config: TrainConfig
    """Resolved: defaults filled in, `manifest` a version."""
    manifest: Manifest
    initial_weights: InitialWeights
    preprocessing: Preprocessing
    inherits_classifier: bool
    """True if fine-tuning continues with the classifier of the run that provides the weights."""
    per_process_effects: tuple[str, ...]
    """Settings that each process draws or measures on its own, so that such a run differs from a run of one process."""
    identity: Mapping[str, Any]
    """Settings, data and weights that distinguish runs; part of `config.json`."""
    run: Run

    @property
    def is_multi_label(self) -> bool:
        """True if an image may have zero or more labels."""
        return self.manifest.task == "multi"

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier."""
        return len(self.manifest.categories)


def read_training_manifest(workspace: Workspace, config: TrainConfig) -> Manifest:
    """Read the manifest of a configuration. FototecaError if it, its task or the model's name is invalid for training."""
    manifest = read_manifest(workspace, config.manifest)
    check_model(config.model)
    check_manifest(manifest, workspace.settings.task)
    return manifest


def resolve_run(workspace: Workspace, config: TrainConfig, manifest: Manifest, processes: int = 1) -> RunSpec:
    """Resolve a configuration to the run that it names, without building a network or loading weights.

    A weight file is hashed and its header read; stage names come from a model built without weights. FototecaError for
    weights that cannot be found and for an unknown stage.
    """
    mirror = config.mirror and workspace.settings.mirror
    config = replace(config, manifest=manifest.version, mirror=mirror).resolved()
    weights = inspect_weights(config.model, weights_path(workspace, config.weights))
    preprocessing = weights.preprocessing.at(config.image_size).fitted(config.fit)
    inherits = (
        config.regime == "finetune"
        and weights.file is not None
        and provides_classifier(config.model, weights.file, output_meaning(manifest.categories, manifest.task))
    )
    several = processes > 1 and config.regime != "features"
    stages, effects = _inspect_network(config, len(manifest.categories), several=several)
    identity: dict[str, Any] = {
        **{name: value for name, value in config.identity().items() if name not in RESOLVED_SETTINGS},
        "weights_id": weights.id,
        "manifest_sha256": manifest.sha256,
        "decode_version": DECODE_VERSION,
        "preprocessing": preprocessing.to_dict(),
        "train_crop_size": config.train_crop_size(preprocessing.crop),
        "trainable_stages": stages,
    }
    if inherits:
        identity["classifier"] = "inherited"
    if effects:
        identity["processes"] = processes
    run_id = _run_id(config, identity)
    document = {
        **identity,
        **{name: getattr(config, name) for name in RESOLVED_SETTINGS},
        "weights": absolute_weights(config),
        "task": manifest.task,
        "categories": list(manifest.categories),
        "transform_input": weights.transform_input,
    }
    run = Run(run_id, workspace.runs / run_id, document)
    return RunSpec(workspace, config, manifest, weights, preprocessing, inherits, tuple(effects), identity, run)


def _inspect_network(config: TrainConfig, num_classes: int, *, several: bool) -> tuple[list[str], list[str]]:
    """Return the stages that fine-tuning trains, and with several processes what differs between them."""
    if config.regime != "finetune" and not several:
        return [], []
    skeleton = model_skeleton(config.model, num_classes)
    stages = unfreeze(skeleton, config.unfreeze) if config.regime == "finetune" else []
    return stages, list_per_process_effects(skeleton, config) if several else []


def _run_id(config: TrainConfig, identity: Mapping[str, Any]) -> str:
    """Return model, regime, head, version and six hexadecimal digits of the identity's SHA-256.

    `decode_version` 1 is left out of the digest: configurations written before it was recorded have version 1.
    """
    hashed = {name: value for name, value in identity.items() if (name, value) != ("decode_version", 1)}
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:6]
    head = f"-{config.head}" if config.regime == "features" else ""
    return f"{config.model.replace('/', '-')}-{config.regime}{head}-{config.manifest}-{digest}"
