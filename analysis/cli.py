"""The commands of the analysis stage: what the models see, and numbers that can be defended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_SHORT
from fototeca.core.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Figures, comparisons, explanations, predictions, the report.")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, as `fototeca train list` shows it.")]
SplitOption = Annotated[Literal["val", "test"], typer.Option(help="val, or test: every look at test is written down.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutputOption = Annotated[Path | None, typer.Option(file_okay=False, help="Folder to write to; else one below data/reports.")]


def _print(facts: Any, as_json: bool, table: str) -> None:  # noqa: ANN401  (whatever JSON can say)
    from fototeca.analysis.cli_tables import to_json

    typer.echo(to_json(facts) if as_json else table)


def _print_paths(paths: list[Path], as_json: bool) -> None:
    _print([str(path) for path in paths], as_json, "\n".join(map(str, paths)))


@app.command()
def evaluate(
    run: RunArgument,
    split: SplitOption = "val",
    tta: Annotated[bool, typer.Option("--tta", help="Also average over mirrored and zoomed views; says gain and cost.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a run: accuracy and its interval, F1, top-k, log loss, calibration, per class.

    Example: fototeca analysis evaluate squeezenet1_0-features-linear-v001-3f2a90 --split val
    """
    from fototeca.analysis.cli_tables import evaluation_table
    from fototeca.analysis.evaluation.evaluate import evaluate_run

    facts = evaluate_run(Workspace.find(), run, split, tta=tta).to_json()
    _print(facts, as_json, evaluation_table(facts))


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more runs of one manifest.")],
    as_json: JsonOption = False,
) -> None:
    """Tell which runs differ on validation: exact McNemar with Holm's correction, paired bootstrap, the set like the best.

    Example: fototeca analysis compare resnet18-finetune-v001-91c0aa cnn-scratch-v001-7d1e02
    """
    from fototeca.analysis.cli_tables import comparison_table
    from fototeca.analysis.evaluation.compare import compare_runs

    facts = compare_runs(Workspace.find(), runs).to_json()
    _print(facts, as_json, comparison_table(facts))


@app.command()
def explain(
    run: RunArgument,
    method: Annotated[list[str] | None, typer.Option(help="An attribution method; repeat it for each. Else grad-cam.")] = None,
    image: Annotated[list[str] | None, typer.Option(help="An image id (or its beginning); else right and wrong ones.")] = None,
    layer: Annotated[str, typer.Option(help="Name of the module to look at; else the family's last features.")] = "",
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Steps of extremal and class-model; else 800 and 200. Fewer are faster and coarser.")
    ] = None,
    trials: Annotated[
        bool, typer.Option("--trials", help="Put the methods (all quick ones, if none is named) to the test instead of drawing.")
    ] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw which pixels made the run say what it said, or try whether such maps can be trusted.

    Example: fototeca analysis explain squeezenet1_0-features-linear-v001-3f2a90 --method grad-cam --method saliency
    """
    from fototeca.analysis.attribution.explain import explain_run
    from fototeca.analysis.attribution.run_checks import run_sanity_checks
    from fototeca.analysis.cli_tables import trials_table

    if trials:
        facts = run_sanity_checks(Workspace.find(), run, method, layer=layer, iterations=iterations, output=output)
        return _print(facts, as_json, trials_table(facts))
    methods = method or ["grad-cam"]
    paths = explain_run(Workspace.find(), run, methods=methods, images=image, layer=layer, iterations=iterations, output=output)
    _print_paths(paths, as_json)


@app.command()
def filters(
    run: RunArgument,
    layer: Annotated[
        list[str] | None, typer.Option(help="A module whose maps to draw; repeat it. Else four, first to last.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="An image id (or its beginning); else the surest wrong one.")] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the first layer's filters, and what chosen layers make of one image.

    Example: fototeca analysis filters squeezenet1_0-features-linear-v001-3f2a90 --layer features.3
    """
    from fototeca.analysis.attribution.filters import filter_figures

    _print_paths(filter_figures(Workspace.find(), run, layers=layer or (), image=image, output=output), as_json)


@app.command()
def confusion(run: RunArgument, split: SplitOption = "val", output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Draw the confusion matrix, as counts and as fractions of the true class; multi-label: each category's two by two.

    Example: fototeca analysis confusion squeezenet1_0-features-linear-v001-3f2a90 --split val
    """
    from fototeca.analysis.plots.figures import confusion_figures

    _print_paths(confusion_figures(Workspace.find(), run, split, output), as_json)


@app.command()
def examples(
    run: RunArgument,
    split: SplitOption = "val",
    number: Annotated[int, typer.Option(min=1, help="Images of each kind.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the random choice.")] = 0,
    method: Annotated[str, typer.Option(help="The attribution method whose map is drawn of each.")] = "grad-cam",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """List right and wrong images, picked and at random, with maps and nearest training images, and errors by pair and source.

    Example: fototeca analysis examples squeezenet1_0-features-linear-v001-3f2a90 --number 12
    """
    from fototeca.analysis.cli_tables import examples_table
    from fototeca.analysis.examples import examples_of_run

    facts = examples_of_run(Workspace.find(), run, split, number=number, seed=seed, method=method, output=output)
    _print(facts, as_json, examples_table(facts))


@app.command()
def embed(
    run: RunArgument,
    limit: Annotated[int, typer.Option(min=10, help="Images at most, drawn evenly over classes and splits.")] = 5000,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Place the images by the run's features with PCA, t-SNE and (if installed) UMAP, and say what their neighbours are.

    Example: fototeca analysis embed squeezenet1_0-features-linear-v001-3f2a90 --limit 2000
    """
    from fototeca.analysis.cli_tables import embedding_table
    from fototeca.analysis.features.embedding import embed_run

    facts = embed_run(Workspace.find(), run, limit=limit, output=output)
    _print(facts, as_json, embedding_table(facts))


@app.command()
def curves(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="One or more runs.")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw loss per iteration and accuracy per epoch.

    Example: fototeca analysis curves cnn-scratch-v001-7d1e02
    """
    from fototeca.analysis.plots.figures import curve_figures

    _print_paths(curve_figures(Workspace.find(), runs, output), as_json)


@app.command()
def predict(
    run: RunArgument,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images, folders or URLs.")],
    top: Annotated[int, typer.Option(min=1, help="Categories to print per image.")] = 3,
    csv: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the predictions to this CSV.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Also draw why, by this attribution method; repeat it for each.")
    ] = None,
    allow_loopback: Annotated[bool, typer.Option("--allow-loopback", help="Allow fetching from loopback addresses.")] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Classify new images; warns of near-duplicates of the dataset and of images like none it was trained on.

    An image that cannot be fetched or read is told with a reason, and the exit code is then 3.

    Example: fototeca analysis predict squeezenet1_0-features-linear-v001-3f2a90 photo.jpg holiday/
    """
    from fototeca.analysis.cli_tables import prediction_table
    from fototeca.analysis.predict.predict import predict_paths

    workspace, methods = Workspace.find(), method or ()
    facts = predict_paths(workspace, run, paths, csv_path=csv, methods=methods, output=output, allow_loopback=allow_loopback)
    _print(facts, as_json, prediction_table(facts, top))
    if failed := sum(bool(fact["reason"]) for fact in facts):
        reasons = ", ".join(sorted({str(fact["reason"]) for fact in facts if fact["reason"]}))
        allow = "; --allow-loopback allows this machine's own" if "private-address" in reasons and not allow_loopback else ""
        notify(f"fototeca: {failed} of {len(facts)} images could not be had or read: {reasons}{allow}")
        raise typer.Exit(EXIT_SHORT)


@app.command()
def report(
    manifest: Annotated[str, typer.Option(help="The version: v001, or latest.")],
    lang: Annotated[Literal["es", "en"], typer.Option(help="Language of the report.")] = "en",
    output: OutputOption = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print it to PDF with Chromium.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the whole story as one HTML file that works offline and prints well.

    Example: fototeca analysis report --manifest v001 --lang es --output informe
    """
    from fototeca.analysis.report.page import write_report

    _print_paths(list(write_report(Workspace.find(), manifest, lang=lang, output=output, pdf=pdf).paths), as_json)


@app.command()
def export(
    run: RunArgument,
    form: Annotated[Literal["onnx", "torch"], typer.Option("--format", help="onnx (any runtime) or torch (torch.export).")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the model for other programs, with its labels, preprocessing and model card.

    Example: fototeca analysis export squeezenet1_0-features-linear-v001-3f2a90 --format onnx
    """
    from fototeca.analysis.export import export_run

    _print_paths(export_run(Workspace.find(), run, form, output), as_json)
