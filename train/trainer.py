"""Train the run that a configuration names, resume it, or return it if it is finished."""

from __future__ import annotations

import shutil
from contextlib import nullcontext

from lightning_fabric import Fabric

from fototeca.core.console import notify
from fototeca.core.workspace import Workspace
from fototeca.train.base_trainer import Trainer
from fototeca.train.config import TrainConfig
from fototeca.train.feature_trainer import FeatureTrainer
from fototeca.train.network_trainer import NetworkTrainer
from fototeca.train.run_spec import RunSpec, read_training_manifest, resolve_run
from fototeca.train.runs import Run
from fototeca.train.runs.locks import check_same_settings, full_disk_as_error, lock_run, record_abort
from fototeca.train.runs.registry import write_config
from fototeca.train.training.device import make_fabric
from fototeca.train.training.loop import EpochCallback


def train_run(workspace: Workspace, config: TrainConfig, *, resume: bool = True, callback: EpochCallback | None = None) -> Run:
    """Train or resume the run that a configuration names; a finished run is returned before any network is built.

    Args:
        workspace: workspace of the manifest and the run.
        config: settings of the run.
        resume: False deletes a run of these settings and starts again.
        callback: called after every epoch with its number and the best validation accuracy so far. An exception that it raises
            ends the run, which can be resumed unless the exception is TrainingAborted.

    FototecaError for a manifest, model, weights or setting that is invalid; TrainingAborted if the loss becomes NaN or infinite.

    Example:
        run = train_run(workspace, TrainConfig("v001", "resnet18", "finetune", unfreeze="layer4"))
        run.metrics.val_accuracy
    """
    manifest = read_training_manifest(workspace, config)
    fabric = make_fabric(config)
    spec = resolve_run(workspace, config, manifest, fabric.world_size)
    run = spec.run
    with full_disk_as_error(), lock_run(workspace, run.id) if fabric.is_global_zero else nullcontext():
        is_done = fabric.broadcast(run.done)
        if is_done and resume:
            check_same_settings(workspace, run, spec.identity)
            notify(f"run {run.id} is already finished")
            return run
        trainer = FeatureTrainer(spec, fabric) if spec.config.regime == "features" else NetworkTrainer(spec, fabric)
        trainer.check()
        check_same_settings(workspace, run, spec.identity)
        fabric.barrier()
        if fabric.is_global_zero:
            _start_folder(spec, fabric, resume=resume)
        fabric.barrier()
        with record_abort(run) if fabric.is_global_zero else nullcontext():
            _train(trainer, callback)
        fabric.barrier()
    return run


def _start_folder(spec: RunSpec, fabric: Fabric, *, resume: bool) -> None:
    """Write `config.json`, in an empty folder unless the run is resumed."""
    if spec.per_process_effects:
        effects = ", ".join(spec.per_process_effects)
        notify(f"{effects}: computed per process, so {fabric.world_size} processes make another run than one, with its own id")
    if not resume and spec.run.folder.exists():
        shutil.rmtree(spec.run.folder)
    write_config(spec.run)


def _train(trainer: Trainer, callback: EpochCallback | None) -> None:
    if isinstance(trainer, NetworkTrainer):
        trainer.train(callback)
    elif isinstance(trainer, FeatureTrainer) and trainer.fabric.is_global_zero:
        trainer.train()
