"""The commands of the training stage: runs, sweeps, ensembles, and the list of what is trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fototeca.core.errors import EXIT_SHORT
from fototeca.core.workspace import Workspace
from fototeca.train.config import Device

app = typer.Typer(no_args_is_help=True, help="Train classifiers on a frozen version, and compare them.")

ManifestOption = Annotated[str, typer.Option(metavar="V", help="Version of the dataset: v001, or latest.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print(facts: Any, as_json: bool) -> None:  # noqa: ANN401  (whatever JSON can say)
    from fototeca.train.tables import runs_table

    if os.environ.get("RANK", "0") != "0":  # of the processes that torchrun starts, the first one speaks
        return
    shown = facts if isinstance(facts, list) else [facts]
    typer.echo(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else runs_table(shown))


@app.command()
def run(
    manifest: ManifestOption,
    model: Annotated[str, typer.Option(help="cnn, cnn-cbam, resnet18-cbam, resnet50-cbam or a torchvision model.")],
    regime: Annotated[Literal["scratch", "features", "finetune"], typer.Option(help="How much is learned anew.")],
    head: Annotated[Literal["linear", "logistic", "svm", "boosting"], typer.Option(help="Classifier over features.")] = "linear",
    unfreeze: Annotated[str, typer.Option(metavar="all|half|head|N|STAGE", help="What learns beside the head.")] = "all",
    weights: Annotated[str | None, typer.Option(metavar="NAME|PATH|run:ID", help="Pretrained; else DEFAULT, or none.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes: 20 scratch, 60 features, 5 finetune.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 32,
    image_size: Annotated[int | None, typer.Option(help="Pixels of input; 64 (cnn) or 96 from scratch.")] = None,
    optimizer: Annotated[Literal["sgd", "adamw"], typer.Option(help="SGD with momentum, or AdamW.")] = "adamw",
    lr: Annotated[float | None, typer.Option(help="Highest learning rate; by regime and optimizer if not given.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2, not of norms and biases; 0.05 AdamW, 1e-4 SGD.")] = None,
    schedule: Annotated[Literal["onecycle", "cosine", "constant"], typer.Option(help="How the rate moves.")] = "onecycle",
    layer_decay: Annotated[float, typer.Option(help="Each stage further from the head learns this much slower.")] = 1.0,
    freeze_bn: Annotated[bool, typer.Option("--freeze-bn", help="Keep the pretrained batch-norm statistics.")] = False,
    augment: Annotated[Literal["none", "basic", "trivial", "rand"] | None, typer.Option(help="basic if not given.")] = None,
    augmented_copies: Annotated[int, typer.Option(help="Augmented copies of each training image for a head over features.")] = 0,
    mixup: Annotated[float, typer.Option(help="Alpha of mixup; 0 is off.")] = 0.0,
    cutmix: Annotated[float, typer.Option(help="Alpha of CutMix; 0 is off.")] = 0.0,
    random_erasing: Annotated[float, typer.Option(help="Probability of random erasing.")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(help="Share of a target spread over all classes.")] = 0.0,
    balance: Annotated[Literal["none", "weights", "sampling"], typer.Option(help="What rare classes get.")] = "none",
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights that are kept; 0 is off.")] = 0.0,
    clip: Annotated[
        float | None, typer.Option(help="Largest norm of a gradient; 0 is off. 1 for SGD finetune, else off.")
    ] = None,
    accumulate: Annotated[int, typer.Option(help="Batches per step.")] = 1,
    patience: Annotated[int, typer.Option(help="Epochs without progress after which to stop; 0 is off.")] = 0,
    snapshots: Annotated[int, typer.Option(help="Cycles of the rate, each with its weights kept; 0 is off.")] = 0,
    precision: Annotated[Literal["32", "bf16", "16"], typer.Option(help="16: GPUs; bf16: also CPUs with units for it.")] = "32",
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation, dropout.")] = 0,
    device: Annotated[Device, typer.Option(help="Where it is trained.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that augment; changes only the speed.")] = 0,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the network.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard's event files too.")] = False,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on where this run stopped, or start it over.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train one classifier. The same command goes on where it was stopped; a finished run is not trained again.

    Example: fototeca train run --manifest v001 --model resnet18 --regime finetune --unfreeze layer4
    """
    settings = {name: value for name, value in locals().items() if name not in ("resume", "as_json", "compile_")}
    from fototeca.train.config import TrainConfig
    from fototeca.train.tables import run_metrics
    from fototeca.train.trainer import train_run

    finished = train_run(Workspace.find(), TrainConfig(**settings, compile=compile_), resume=resume)
    _print(run_metrics(finished), as_json)


@app.command(name="lr-find")
def lr_find_command(
    manifest: ManifestOption,
    model: Annotated[str, typer.Option(help="As in train run.")],
    regime: Annotated[Literal["scratch", "finetune"], typer.Option(help="How much is learned anew.")],
    unfreeze: Annotated[str, typer.Option(metavar="all|half|head|N|STAGE", help="What learns beside the head.")] = "all",
    weights: Annotated[str | None, typer.Option(metavar="NAME|PATH|run:ID", help="Pretrained; else DEFAULT, or none.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 32,
    image_size: Annotated[int | None, typer.Option(help="As in train run.")] = None,
    optimizer: Annotated[Literal["sgd", "adamw"], typer.Option(help="SGD with momentum, or AdamW.")] = "adamw",
    layer_decay: Annotated[float, typer.Option(help="Each stage further from the head learns this much slower.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation, dropout.")] = 0,
    device: Annotated[Device, typer.Option(help="Where it is trained.")] = "auto",
    low: Annotated[float, typer.Option(help="Rate of the first step.")] = 1e-6,
    high: Annotated[float, typer.Option(help="Rate of the last step.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps to take.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Let the learning rate grow and say where the loss falls fastest; the curve is kept as CSV and PNG in data/reports.

    Example: fototeca train lr-find --manifest v001 --model cnn --regime scratch
    """
    settings = {name: value for name, value in locals().items() if name not in ("low", "high", "steps", "as_json")}
    from fototeca.train.config import TrainConfig
    from fototeca.train.lr_finder import find_lr, sparkline

    result = find_lr(Workspace.find(), TrainConfig(**settings), low=low, high=high, steps=steps)
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2))
    else:
        curve = f"{result.learning_rate[0]:g} {sparkline(result.loss)} {result.learning_rate[-1]:.2g}"
        typer.echo(f"{curve}\nsuggested: --lr {result.suggested:g}\n{result.plot}")


@app.command()
def sweep(
    manifest: ManifestOption,
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN.toml", help="Lists make a grid, [[run]] tables points.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of --weights, for the default plan.")] = None,
    weights: Annotated[str | None, typer.Option(help="File for the default plan where its own weights cannot be had.")] = None,
    trials: Annotated[int, typer.Option("--search", metavar="N", min=0, help="Draw N runs from the plan's space; 0 is off.")] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at once; what cores, GPUs and memory allow.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train many classifiers and print them, the best on validation first. Without a plan: at least six, over all regimes.

    With --search, Optuna draws the settings and stops runs that fall behind.

    Example: fototeca train sweep --manifest v001
    Example: fototeca train sweep --manifest v001 --search 20
    """
    from fototeca.core.errors import FototecaError
    from fototeca.train.sweep.hpo import search
    from fototeca.train.sweep.plan import read_plan, read_space
    from fototeca.train.sweep.plan import sweep as train_all
    from fototeca.train.tables import run_metrics

    if (model is None) != (weights is None):
        raise FototecaError("--model and --weights go together", "pass both, or neither")
    if plan and weights:
        raise FototecaError("--model and --weights are for the default plan", f"write them into {plan}, or leave the plan out")
    if trials and (jobs or 1) > 1:
        raise FototecaError("--search trains one run after the other, each drawn by what came of the last", "leave --jobs out")
    at_hand = (model, weights) if model and weights else None
    if trials:
        outcome = search(Workspace.find(), read_space(plan) if plan else None, manifest, trials, at_hand)
    else:
        outcome = train_all(Workspace.find(), read_plan(plan) if plan else None, manifest, weights=at_hand, jobs=jobs)
    _print([run_metrics(run) for run in outcome.runs], as_json)
    if any(not reason.startswith("left out") for _, reason in outcome.failed):
        raise typer.Exit(EXIT_SHORT)


@app.command(name="list")
def list_command(as_json: JsonOption = False) -> None:
    """Show the finished runs, then those that wait to go on, then those that were given up, and why.

    Example: fototeca train list --json
    """
    from fototeca.train.runs.registry import list_runs
    from fototeca.train.tables import list_facts, unfinished_lines

    runs = list_runs(Workspace.find(), unfinished=True)
    _print(list_facts(runs), as_json)
    if not as_json:
        typer.echo("".join(f"{line}\n" for line in unfinished_lines(runs)), nl=False)


@app.command()
def ensemble(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Runs of one version, or one with snapshots.")],
    method: Annotated[Literal["mean", "weighted", "soup"], typer.Option(help="How they are joined.")] = "mean",
    as_json: JsonOption = False,
) -> None:
    """Join runs into one: their mean, a mean weighted on validation, or one network of averaged weights (greedy soup).

    Example: fototeca train ensemble resnet18-finetune-v001-91c0aa cnn-scratch-v001-7d1e02
    """
    from fototeca.train.ensemble import join_runs
    from fototeca.train.tables import run_metrics

    _print(run_metrics(join_runs(Workspace.find(), runs, method)), as_json)
