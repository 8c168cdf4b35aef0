"""The `train` commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fototeca.core.console import echo
from fototeca.core.errors import EXIT_SHORT
from fototeca.core.workspace import Workspace
from fototeca.train.config import Device

if TYPE_CHECKING:
    from fototeca.train.tables import RunSummary

app = typer.Typer(no_args_is_help=True, help="Train classifiers on a frozen version, and compare them.")

ManifestOption = Annotated[str, typer.Option(metavar="V", help="Version of the dataset: v001, or latest.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FitOption = Annotated[
    Literal["crop", "letterbox", "squash"] | None,
    typer.Option(help="How images fit the square input: cut off their ends, add bars, or distort; crop if not given."),
]
MirrorOption = Annotated[
    bool, typer.Option("--mirror/--no-mirror", help="Never mirror images; also: mirror = false in fototeca.toml.")
]


def _print(summaries: RunSummary | list[RunSummary], as_json: bool) -> None:
    """Print runs as a table, or as JSON: one object for one run, else a list."""
    from fototeca.train.tables import RunSummary, runs_table

    if os.environ.get("RANK", "0") != "0":  # of the processes that torchrun starts, the first one prints
        return
    rows = [summaries] if isinstance(summaries, RunSummary) else summaries
    if as_json:
        documents = [row.to_json() for row in rows]
        document = documents[0] if isinstance(summaries, RunSummary) else documents
        echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        echo(runs_table(rows))


@app.command()
def run(
    manifest: ManifestOption,
    model: Annotated[str, typer.Option(help="cnn, cnn-cbam, resnet18-cbam, resnet50-cbam, a torchvision model, or timm/NAME.")],
    regime: Annotated[
        Literal["scratch", "features", "finetune"],
        typer.Option(help="What is trained: all from random weights, a head, or a pretrained network."),
    ],
    head: Annotated[Literal["linear", "logistic", "svm", "boosting"], typer.Option(help="Classifier over features.")] = "linear",
    unfreeze: Annotated[str, typer.Option(metavar="all|half|head|N|STAGE", help="Stages trained with the head.")] = "all",
    weights: Annotated[
        str | None, typer.Option(metavar="NAME|PATH|run:ID", help="Pretrained weights; DEFAULT if not given.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes: 20 scratch, 60 features, 5 finetune.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 32,
    image_size: Annotated[int | None, typer.Option(help="Pixels of input; 64 (cnn) or 96 from scratch.")] = None,
    fit: FitOption = None,
    optimizer: Annotated[Literal["sgd", "adamw"], typer.Option(help="SGD with Nesterov momentum, or AdamW.")] = "adamw",
    lr: Annotated[float | None, typer.Option(help="Highest learning rate; by regime and optimizer if not given.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2, not on norms and biases; 0.05 AdamW, 1e-4 SGD.")] = None,
    schedule: Annotated[
        Literal["onecycle", "cosine", "constant"], typer.Option(help="Course of the learning rate.")
    ] = "onecycle",
    layer_decay: Annotated[float, typer.Option(help="Factor of the rate per stage away from the head.")] = 1.0,
    freeze_bn: Annotated[bool, typer.Option("--freeze-bn", help="Keep the pretrained batch-norm statistics.")] = False,
    augment: Annotated[Literal["none", "basic", "trivial", "rand"] | None, typer.Option(help="basic if not given.")] = None,
    mirror: MirrorOption = True,
    augmented_copies: Annotated[int, typer.Option(help="Augmented copies of each training image for a head over features.")] = 0,
    mixup: Annotated[float, typer.Option(help="Alpha of mixup; 0 is off.")] = 0.0,
    cutmix: Annotated[float, typer.Option(help="Alpha of CutMix; 0 is off.")] = 0.0,
    random_erasing: Annotated[float, typer.Option(help="Probability of random erasing.")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(help="Fraction of each target spread over all classes.")] = 0.0,
    balance: Annotated[
        Literal["none", "weights", "sampling"], typer.Option(help="Balance rare classes by loss weights or by sampling.")
    ] = "none",
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights that are saved; 0 is off.")] = 0.0,
    clip: Annotated[float | None, typer.Option(help="Largest gradient norm; 0 is off. 1 for SGD finetune, else off.")] = None,
    accumulate: Annotated[int, typer.Option(help="Batches per step.")] = 1,
    patience: Annotated[int, typer.Option(help="Epochs without improvement before stopping; 0 is off.")] = 0,
    snapshots: Annotated[int, typer.Option(help="Cycles of the schedule, each with saved weights; 0 is off.")] = 0,
    precision: Annotated[Literal["32", "bf16", "16"], typer.Option(help="16: GPUs; bf16: also CPUs with bf16 units.")] = "32",
    seed: Annotated[int, typer.Option(help="Seed of weights, order, augmentation, dropout.")] = 0,
    device: Annotated[Device, typer.Option(help="Device to train on.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that load images; changes only the speed.")] = 0,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the network.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard event files.")] = False,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Resume this run, or start it over.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train one classifier. The same command resumes an interrupted run; a finished run is not trained again.

    Example: fototeca train run --manifest v001 --model resnet18 --regime finetune --unfreeze layer4
    """
    settings = {name: value for name, value in locals().items() if name not in ("resume", "as_json", "compile_")}
    from fototeca.train.config import TrainConfig
    from fototeca.train.tables import summarize_run
    from fototeca.train.trainer import train_run

    finished = train_run(Workspace.find(), TrainConfig(**settings, compile=compile_), resume=resume)
    _print(summarize_run(finished), as_json)


@app.command(name="lr-find")
def lr_find_command(
    manifest: ManifestOption,
    model: Annotated[str, typer.Option(help="As in train run.")],
    regime: Annotated[
        Literal["scratch", "finetune"],
        typer.Option(help="What is trained: all from random weights, a head, or a pretrained network."),
    ],
    unfreeze: Annotated[str, typer.Option(metavar="all|half|head|N|STAGE", help="Stages trained with the head.")] = "all",
    weights: Annotated[
        str | None, typer.Option(metavar="NAME|PATH|run:ID", help="Pretrained weights; DEFAULT if not given.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 32,
    image_size: Annotated[int | None, typer.Option(help="As in train run.")] = None,
    fit: FitOption = None,
    mirror: MirrorOption = True,
    optimizer: Annotated[Literal["sgd", "adamw"], typer.Option(help="SGD with Nesterov momentum, or AdamW.")] = "adamw",
    layer_decay: Annotated[float, typer.Option(help="Factor of the rate per stage away from the head.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, augmentation, dropout.")] = 0,
    device: Annotated[Device, typer.Option(help="Device to train on.")] = "auto",
    low: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    high: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Number of steps.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Raise the learning rate step by step and suggest one; the curve is written to data/reports as CSV and PNG.

    Example: fototeca train lr-find --manifest v001 --model cnn --regime scratch
    """
    settings = {name: value for name, value in locals().items() if name not in ("low", "high", "steps", "as_json")}
    from fototeca.train.config import TrainConfig
    from fototeca.train.lr_finder import find_lr, sparkline

    result = find_lr(Workspace.find(), TrainConfig(**settings), low=low, high=high, steps=steps)
    if as_json:
        echo(json.dumps(result.to_json(), indent=2))
    else:
        curve = f"{result.learning_rate[0]:g} {sparkline(result.loss)} {result.learning_rate[-1]:.2g}"
        echo(f"{curve}\nsuggested: --lr {result.suggested:g}\n{result.plot}")


@app.command()
def sweep(
    manifest: ManifestOption,
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN.toml", help="Lists make a grid, [[run]] tables points.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of --weights, for the default plan.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="File for the default plan where its own weights are not available.")
    ] = None,
    trials: Annotated[
        int, typer.Option("--search", metavar="N", min=0, help="Sample N runs from the plan's space; 0 is off.")
    ] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs in parallel; by default as cores, GPUs and memory allow.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train many classifiers and print them, the best on validation first. Without a plan: at least six, over all regimes.

    With --search, Optuna samples the settings and stops runs below the median early.

    Example: fototeca train sweep --manifest v001
    Example: fototeca train sweep --manifest v001 --search 20
    """
    from fototeca.core.errors import FototecaError
    from fototeca.train.sweep.hpo import search_hyperparameters
    from fototeca.train.sweep.plan import read_plan, read_space
    from fototeca.train.sweep.run_plan import sweep as train_plan
    from fototeca.train.tables import summarize_run

    if (model is None) != (weights is None):
        raise FototecaError("--model and --weights go together", "pass both, or neither")
    if plan and weights:
        raise FototecaError("--model and --weights are for the default plan", f"write them into {plan}, or omit the plan")
    if trials and (jobs or 1) > 1:
        raise FototecaError("--search trains one run at a time, sampled from the results before it", "omit --jobs")
    pretrained = (model, weights) if model and weights else None
    workspace = Workspace.find()
    if trials:
        result = search_hyperparameters(workspace, read_space(plan) if plan else None, manifest, trials, pretrained)
    else:
        result = train_plan(workspace, read_plan(plan) if plan else None, manifest, weights=pretrained, jobs=jobs)
    _print([summarize_run(run) for run in result.runs], as_json)
    if any(not point.is_skipped for point in result.failed):
        raise typer.Exit(EXIT_SHORT)


@app.command(name="list")
def list_command(as_json: JsonOption = False) -> None:
    """Show the finished runs, then unfinished ones with the command that resumes them, then aborted ones with the reason.

    Example: fototeca train list --json
    """
    from fototeca.train.runs.registry import list_runs
    from fototeca.train.tables import describe_unfinished, summarize_runs

    runs = list_runs(Workspace.find(), unfinished=True)
    _print(summarize_runs(runs), as_json)
    if not as_json:
        echo("".join(f"{line}\n" for line in describe_unfinished(runs)), end="")


@app.command()
def ensemble(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Runs of one version, or one with snapshots.")],
    method: Annotated[Literal["mean", "weighted", "soup"], typer.Option(help="How they are combined.")] = "mean",
    as_json: JsonOption = False,
) -> None:
    """Combine runs into one: their mean, a mean weighted on validation, or one network of averaged weights (greedy soup).

    Example: fototeca train ensemble resnet18-finetune-v001-91c0aa cnn-scratch-v001-7d1e02
    """
    from fototeca.train.ensemble import make_ensemble
    from fototeca.train.tables import summarize_run

    _print(summarize_run(make_ensemble(Workspace.find(), runs, method)), as_json)
