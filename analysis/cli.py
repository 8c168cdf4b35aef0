"""Commands of the analysis stage: metrics, comparisons, figures, explanations, predictions, report, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fototeca.core.console import echo, notify
from fototeca.core.errors import EXIT_SHORT
from fototeca.core.settings import Language
from fototeca.core.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Evaluate, compare and explain models, classify new images, write the report.")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, as shown by `fototeca train list`.")]
SplitOption = Annotated[Literal["val", "test"], typer.Option(help="val, or test; every use of test is recorded.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutputOption = Annotated[Path | None, typer.Option(file_okay=False, help="Output folder; default: below data/reports.")]


def _print(value: Any, as_json: bool, table: str) -> None:  # noqa: ANN401 - any JSON value
    from fototeca.analysis.cli_tables import to_json_text

    echo(to_json_text(value) if as_json else table)


def _print_paths(paths: Sequence[Path], as_json: bool) -> None:
    _print([str(path) for path in paths], as_json, "\n".join(map(str, paths)))


@app.command()
def evaluate(
    run: RunArgument,
    split: SplitOption = "val",
    tta: Annotated[
        bool, typer.Option("--tta", help="Also measure test-time augmentation (mirrored, zoomed views): gain and cost.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compute a run's metrics: accuracy with its interval, F1, top-k, log loss, calibration, metrics by category.

    Example: fototeca analysis evaluate squeezenet1_0-features-linear-v001-3f2a90 --split val
    """
    from fototeca.analysis.cli_tables import evaluation_table
    from fototeca.analysis.evaluation.evaluate import evaluate_run

    evaluation = evaluate_run(Workspace.find(), run, split, tta=tta)
    _print(evaluation.to_json(), as_json, evaluation_table(evaluation))


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more runs of one manifest.")],
    as_json: JsonOption = False,
) -> None:
    """Compare runs on validation: the best run against each other, by exact McNemar tests with Holm's correction.

    Example: fototeca analysis compare resnet18-finetune-v001-91c0aa cnn-scratch-v001-7d1e02
    """
    from fototeca.analysis.cli_tables import comparison_table
    from fototeca.analysis.evaluation.compare import compare_runs

    comparison = compare_runs(Workspace.find(), runs)
    _print(comparison.to_json(), as_json, comparison_table(comparison))


@app.command()
def explain(
    run: RunArgument,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Attribution method; repeat for several. Default: grad-cam (--sanity-checks: all)."),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="Id of an image, or its beginning. Default: right and wrong predictions.")
    ] = None,
    layer: Annotated[str, typer.Option(help="Module to explain. Default: the last feature layer.")] = "",
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Iterations of extremal (default: 800) and class-model (200); fewer are faster and coarser."),
    ] = None,
    sanity_checks: Annotated[
        bool, typer.Option("--sanity-checks", help="Check the methods instead of drawing maps; by default all fast methods.")
    ] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw attribution maps of a run's predictions, or run sanity checks of the attribution methods.

    Example: fototeca analysis explain squeezenet1_0-features-linear-v001-3f2a90 --method grad-cam --method saliency
    """
    from fototeca.analysis.attribution.explain import explain_run
    from fototeca.analysis.attribution.run_checks import run_sanity_checks
    from fototeca.analysis.cli_tables import sanity_checks_table

    workspace = Workspace.find()
    if sanity_checks:
        checks = run_sanity_checks(workspace, run, method, layer=layer, iterations=iterations, output=output)
        return _print(checks.to_json(), as_json, sanity_checks_table(checks))
    methods = method or ["grad-cam"]
    paths = explain_run(workspace, run, methods=methods, images=image, layer=layer, iterations=iterations, output=output)
    _print_paths(paths, as_json)


@app.command()
def filters(
    run: RunArgument,
    layer: Annotated[
        list[str] | None, typer.Option(help="Module whose feature maps to draw; repeat for several. Default: four modules.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Id of an image, or its beginning. Default: the most confident error.")
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the filters of the first layer, and feature maps of one image.

    Example: fototeca analysis filters squeezenet1_0-features-linear-v001-3f2a90 --layer features.3
    """
    from fototeca.analysis.attribution.filters import filter_figures

    _print_paths(filter_figures(Workspace.find(), run, layers=layer or (), image=image, output=output), as_json)


@app.command()
def confusion(run: RunArgument, split: SplitOption = "val", output: OutputOption = None, as_json: JsonOption = False) -> None:
    """Draw the confusion matrix as counts and as fractions of the true category; multi-label: one matrix for each category.

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
    method: Annotated[str, typer.Option(help="Attribution method of the maps.")] = "grad-cam",
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """List right and wrong predictions with attribution maps and nearest training images, and errors by pair and source.

    Example: fototeca analysis examples squeezenet1_0-features-linear-v001-3f2a90 --number 12
    """
    from fototeca.analysis.cli_tables import examples_table
    from fototeca.analysis.examples import examples_of_run

    result = examples_of_run(Workspace.find(), run, split, number=number, seed=seed, method=method, output=output)
    _print(result.to_json(), as_json, examples_table(result))


@app.command()
def embed(
    run: RunArgument,
    limit: Annotated[int, typer.Option(min=10, help="Maximum number of images, drawn evenly over classes and splits.")] = 5000,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plot the images by the run's features with PCA, t-SNE and UMAP (if installed), and measure their nearest neighbors.

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
    top: Annotated[int, typer.Option(min=1, help="Categories to print for each image.")] = 3,
    csv: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the predictions to this CSV.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Also draw maps with this attribution method; repeat for several.")
    ] = None,
    allow_loopback: Annotated[bool, typer.Option("--allow-loopback", help="Allow fetching from loopback addresses.")] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Classify new images, with warnings for near-duplicates of the dataset and for images unlike the training images.

    Images that cannot be fetched or read are listed with a reason, and the exit code is then 3.

    Example: fototeca analysis predict squeezenet1_0-features-linear-v001-3f2a90 photo.jpg holiday/
    """
    from fototeca.analysis.cli_tables import stream_json
    from fototeca.analysis.predict.predict import stream_predictions
    from fototeca.analysis.prediction_summary import PredictionSummary

    summary = PredictionSummary()
    stream = stream_predictions(
        Workspace.find(), run, paths, csv_path=csv, methods=method or (), output=output, allow_loopback=allow_loopback
    )
    predictions = summary.count(stream)
    if as_json:
        for text in stream_json(prediction.to_json() for prediction in predictions):
            echo(text, end="")
    else:
        for _ in predictions:
            pass
        echo(summary.text(top))
    if reasons := summary.reasons:
        hint = "; --allow-loopback allows loopback addresses" if "private-address" in reasons and not allow_loopback else ""
        notify(f"fototeca: {reasons.total()} of {summary.n} images could not be read: {', '.join(sorted(reasons))}{hint}")
        raise typer.Exit(EXIT_SHORT)


@app.command()
def serve(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="One or more runs, shown side by side.")],
    port: Annotated[int, typer.Option(help="Port of the page and the API.")] = 5152,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    allow_loopback: Annotated[bool, typer.Option("--allow-loopback", help="Allow fetching from loopback addresses.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Open a page for trying models on new images (files, camera, addresses), with an HTTP API; Ctrl-C closes it.

    Images whose answer a person corrects there go to the catalog with that label. Programs send the header in the file that is
    printed; /openapi.json describes the API.

    Example: fototeca analysis serve resnet18-finetune-v001-91c0aa
    """
    from fototeca.analysis.serving.serve import serve_runs

    result = serve_runs(Workspace.find(), runs, port=port, browser=browser, allow_loopback=allow_loopback)
    added = "1 image" if result.added == 1 else f"{result.added} images"
    _print(result.to_json(), as_json, f"{added} added to the catalog")


@app.command()
def report(
    manifest: Annotated[str, typer.Option(help="Dataset version: v001, or latest.")],
    lang: Annotated[Language | None, typer.Option(help="Language of the report. Default: the workspace's.")] = None,
    output: OutputOption = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print it to PDF with Chromium.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Leave out the list of texts that are still to be written.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a dataset version and its models as one HTML file that works offline.

    Example: fototeca analysis report --manifest v001 --lang es --output informe
    """
    from fototeca.analysis.report.page import write_report

    result = write_report(Workspace.find(), manifest, lang=lang, output=output, pdf=pdf, clean=clean)
    _print_paths(result.paths, as_json)


@app.command()
def export(
    run: RunArgument,
    form: Annotated[Literal["onnx", "torch"], typer.Option("--format", help="onnx, or torch (torch.export).")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a model with its labels, preprocessing and model card.

    Example: fototeca analysis export squeezenet1_0-features-linear-v001-3f2a90 --format onnx
    """
    from fototeca.analysis.export import export_run

    _print_paths(export_run(Workspace.find(), run, form, output), as_json)
