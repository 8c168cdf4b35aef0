"""Damaged or missing inputs give one line in their place; the rest of the report is complete."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image
from safetensors.torch import load_file, save_file

from fototeca.analysis.attribution.explain import explain_run
from fototeca.analysis.cli_tables import examples_table
from fototeca.analysis.evaluation.compare import compare_runs
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.predictions import find_run, read_split_predictions
from fototeca.analysis.evaluation.test_access_log import access_log_path, read_accesses
from fototeca.analysis.examples import examples_of_run
from fototeca.analysis.features.embed_page import point_colorings
from fototeca.analysis.features.embedding import embed_run, read_predicted_labels
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.figures import confusion_figures, curve_figures_of
from fototeca.analysis.predict.predict import predict_paths
from fototeca.analysis.report import cards
from fototeca.analysis.report.attributions import _class_models, render_attributions
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.page import SECTIONS, write_report
from fototeca.analysis.run_names import name_runs
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import ManifestRow, image_path, read_manifest
from fototeca.curate.versions.freeze import freeze_version
from fototeca.train.config import TrainConfig
from fototeca.train.ensemble import make_ensemble
from fototeca.train.runs import read_run, write_predictions_csv
from fototeca.train.runs.registry import list_runs, write_done
from fototeca.train.trainer import train_run

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


@pytest.fixture(autouse=True)
def without_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip drawing PNG files; other tests cover it."""
    monkeypatch.setattr("fototeca.analysis.plots.figures.write_pngs", lambda figures, folder: [])


def write_and_read(workspace: Workspace) -> str:
    """Write the English report and return it; it must have every section."""
    page = write_report(workspace, "v001").page.read_text(encoding="utf-8")
    assert all(f'<section id="{name}">' in page for name in SECTIONS if name != "conclusions")
    return page


def section_text(page: str, name: str) -> str:
    """Return the text of one section."""
    inner = page.split(f'<section id="{name}">')[1].split('<section id="')[0]
    return " ".join(re.sub(r"<[^>]+>", " ", inner).split())


def titles_of(workspace: Workspace) -> dict[str, str]:
    """Return the names of runs in the report, by id."""
    return name_runs(list_runs(workspace), Texts.load("en"))


def test_unusable_runs_are_excluded_with_reason(copied: Studied) -> None:
    """Missing, NaN, truncated or mismatched predictions and a broken done.json exclude their run only."""
    workspace, (first, second) = copied
    predictions = workspace.runs / first / "predictions-val.csv"
    good = predictions.read_bytes()
    done, config = (workspace.runs / first / name for name in ("done.json", "config.json"))
    whole_config = config.read_text(encoding="utf-8")
    other = re.sub(r'"manifest_sha256": "\w+"', '"manifest_sha256": "' + "0" * 64 + '"', whole_config)
    damages: dict[str, Callable[[], object]] = {
        "has no predictions for val": predictions.unlink,
        "predictions are not numbers": lambda: predictions.write_bytes(
            re.sub(rb"(\n[^,]+,[^,]+,[^,]+),[^,]+", rb"\1,nan", good, count=1)
        ),
        "predictions-val.csv, line 10: it has": lambda: predictions.write_bytes(good[: len(good) - 30]),
        "val predictions are of 8 of 9 images": lambda: predictions.write_bytes(b"".join(good.splitlines(keepends=True)[:-1])),
        ", not in the file once": lambda: predictions.write_bytes(good + good.splitlines(keepends=True)[-1]),
        "val predictions have other labels": lambda: predictions.write_bytes(
            re.sub(rb"\n([^,]+),red,", rb"\n\1,green,", good, count=1)
        ),
        "was trained on a different v001": lambda: (predictions.write_bytes(good), config.write_text(other)),
        "done.json cannot be read: line 1": lambda: (config.write_text(whole_config), done.write_text("{")),
    }
    for reason, damage in damages.items():
        damage()
        page = write_and_read(workspace)
        assert reason in section_text(page, "experiments"), reason
        assert f"Best model: {titles_of(workspace)[second]}" in section_text(page, "model_analysis")
        command = evaluate_run if "done" not in reason else None
        if command:
            with pytest.raises(FototecaError, match=reason):
                command(workspace, first, "val")
    done.write_text("{")
    (workspace.runs / second / "predictions-val.csv").unlink()
    page = write_and_read(workspace)
    assert "No run of v001 has finished" in section_text(page, "experiments")
    assert "No finished model to analyze." in section_text(page, "model_analysis")


def test_damaged_files_affect_only_their_part(copied: Studied) -> None:
    """A broken config, an empty cell, broken stored predictions and broken sanity checks."""
    workspace, (first, second) = copied
    shutil.rmtree(workspace.cache)
    (workspace.runs / "torn").mkdir()
    (workspace.runs / "torn" / "config.json").write_text("{")
    (workspace.runs / "odd").mkdir()
    (workspace.runs / "odd" / "config.json").write_text("[]")
    (workspace.runs / "odd" / "done.json").write_text("{}")
    steps = workspace.runs / first / "steps.csv"
    steps.write_text(re.sub(r"\n2,([^,]*),[^,]*,", r"\n2,\1,,", steps.read_text()), encoding="utf-8")
    (workspace.reports / "new-images").mkdir(parents=True, exist_ok=True)
    (workspace.reports / "new-images" / f"{first}.json").write_text("{", encoding="utf-8")
    (workspace.reports / "new-images" / f"{second}.json").write_text("[]", encoding="utf-8")
    (workspace.reports / "trials").mkdir(exist_ok=True)
    (workspace.reports / "trials" / f"{first}.json").write_text("{", encoding="utf-8")
    page = write_and_read(workspace)
    assert "torn: " in section_text(page, "experiments") and "odd: " in section_text(page, "experiments")
    assert "could not be rendered" not in page
    assert "No new images have been classified." in section_text(page, "new_images")
    curve = (workspace.reports / "v001" / "figures-en" / f"steps-{first}.csv").read_text(encoding="utf-8")
    assert len(curve.splitlines()) == len(steps.read_text(encoding="utf-8").splitlines()) - 1


def test_unfinished_and_aborted_runs_are_listed(copied: Studied) -> None:
    """Unfinished runs are listed with what to do, aborted ones with their reason."""
    workspace, (first, _) = copied
    (workspace.runs / first / "done.json").unlink()
    assert f"{first}: not finished; run its train command again" in section_text(write_and_read(workspace), "experiments")
    (workspace.runs / first / "aborted.txt").write_text("the loss is NaN at step 3\n", encoding="utf-8")
    assert f"{first}: aborted: the loss is NaN at step 3" in section_text(write_and_read(workspace), "experiments")


def test_missing_image_affects_only_its_map(copied: Studied) -> None:
    """`examples` has all other maps; `embed` still places the image by its cached features."""
    workspace, (first, _) = copied
    kinds = examples_of_run(workspace, first, number=3).examples
    shown = {example.image_id: example for chosen in kinds.values() for example in chosen}
    lost = next(iter(shown))
    placed = embed_run(workspace, first)["images"]
    (workspace.root / shown[lost].path).unlink()
    kinds = examples_of_run(workspace, first, number=3).examples
    again = {example.image_id: example for chosen in kinds.values() for example in chosen}
    assert again.keys() == shown.keys() and {image_id for image_id, example in again.items() if not example.maps} == {lost}
    assert embed_run(workspace, first)["images"] == placed, "its features were kept"


def test_truncated_image_affects_only_its_map(copied: Studied) -> None:
    """Missing images are counted in the feature section; a truncated one has no map."""
    workspace, (first, _) = copied
    shutil.rmtree(workspace.cache)
    chosen = examples_of_run(workspace, first, number=3).examples
    torn = workspace.root / next(example.path for examples in chosen.values() for example in examples)
    shutil.rmtree(workspace.cache)
    with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
        lost = next(workspace.root / row["path"] for row in csv.DictReader(file) if row["split"] == "train")
    lost.unlink()
    torn.write_bytes(torn.read_bytes()[:300])
    page = write_and_read(workspace)
    studied = section_text(page, "model_analysis")
    assert "Confident right and wrong predictions" in studied and "Error patterns" in studied
    assert "2 images are left out: the files cannot be read" in studied
    assert "Map by grad-cam" in page.split('id="model_analysis"')[1]


def test_missing_test_image_records_no_access(copied: Studied) -> None:
    """The missing file is reported before an access to test is recorded."""
    workspace, (first, _) = copied
    access_log_path(workspace).unlink(missing_ok=True)
    (workspace.runs / first / "predictions-test.csv").unlink(missing_ok=True)
    with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
        lost = next(row["path"] for row in csv.DictReader(file) if row["split"] == "test")
    (workspace.root / lost).unlink()
    with pytest.raises(FototecaError, match="is missing"):
        evaluate_run(workspace, first, "test")
    assert read_accesses(workspace, "v001") == []


def test_truncated_test_image_records_no_access(copied: Studied) -> None:
    """The damaged file is reported before an access is recorded; once restored, the first access is recorded."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    (workspace.runs / runs[1] / "predictions-test.csv").unlink(missing_ok=True)
    row = read_manifest(workspace, "v001").split("test")[-1]
    path = workspace.root / row.path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FototecaError, match=f"image {row.image_id[:12]} cannot be read"):
        evaluate_run(workspace, runs[1], "test")
    assert read_accesses(workspace, "v001") == []
    path.write_bytes(whole)
    assert evaluate_run(workspace, runs[1], "test").test_accesses == 1


def test_outdated_files_are_removed(copied: Studied, tmp_path: Path) -> None:
    """Files of a deleted run are removed by the next report; files of others are left."""
    workspace, runs = copied
    folder = tmp_path / "out" / "figures-en"
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("a\n")
    write_report(workspace, "v001", output=tmp_path / "out")
    assert (folder / f"steps-{runs[0]}.svg").is_file()
    shutil.rmtree(workspace.runs / runs[0])
    write_report(workspace, "v001", output=tmp_path / "out")
    left = {path.name for path in folder.iterdir() if runs[0] in path.name}
    assert left == set() and (folder / f"steps-{runs[1]}.svg").is_file() and (folder / "mine.csv").is_file()


def test_unknown_values_are_translated(copied: Studied, tmp_path: Path) -> None:
    """Unknown licenses, settings and a version without duplicates, in Spanish."""
    workspace, _ = copied
    page = write_report(workspace, "v001", lang="es", output=tmp_path).page.read_text(encoding="utf-8")
    assert ">desconocida</td>" in page or ">desconocida<" in page
    assert "unknown" not in re.sub(r"<pre.*?</pre>|<[^>]+>", "", page, flags=re.DOTALL)
    assert "Esta versión no contiene casi duplicadas." in page


def test_nan_predictions_are_an_error(copied: Studied, tmp_path: Path) -> None:
    """A network with NaN weights predicts no category."""
    workspace, (first, _) = copied
    path = workspace.runs / first / "model.safetensors"
    save_file({key: value * float("nan") for key, value in load_file(path).items()}, path)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "new.png")
    with pytest.raises(FototecaError, match="1 of 1 new predictions are not numbers"):
        predict_paths(workspace, first, [str(tmp_path / "new.png")])


def test_unexpected_errors_are_shown_in_their_place(copied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in the cover and in a section are one line each, in the report's language."""

    def broken(_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("fototeca.analysis.report.cover.render_cover", broken)
    monkeypatch.setitem(SECTIONS, "samples", broken)
    page = write_report(copied[0], "v001", lang="es").page.read_text(encoding="utf-8")
    assert page.count("No se pudo generar esta parte (ZeroDivisionError: division by zero)") == 2
    assert '<section id="reproducibility">' in page


def test_unreadable_new_images_are_listed(copied: Studied) -> None:
    """Unreadable images are listed with their reason; predictions from before retraining are ignored."""
    workspace, (first, _) = copied
    image = image_path(workspace, read_manifest(workspace, "v001").split("val")[0])
    (workspace.root / "broken.jpg").write_bytes(b"no image")
    predict_paths(workspace, first, [str(image), str(workspace.root / "broken.jpg")])
    content = section_text(write_and_read(workspace), "new_images")
    assert (
        f"1 new image classified by {titles_of(workspace)[first]}; 0 are unlike the training images, 1 is a near-duplicate"
        in content
    )
    assert "broken.jpg" in content
    run = read_run(workspace, first)
    write_done(run, replace(run.metrics, seconds=0.1))
    assert "No new images have been classified." in section_text(write_and_read(workspace), "new_images")


def test_changed_manifest_is_rejected(copied: Studied) -> None:
    """The report and every command reject a manifest that changed after training."""
    workspace, (first, second) = copied
    path = workspace.manifests / "v001.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",red,", ",olive,", 1), encoding="utf-8")
    calls: list[Callable[[], object]] = [
        lambda: write_report(workspace, "v001"),
        lambda: evaluate_run(workspace, first, "val"),
        lambda: examples_of_run(workspace, first),
        lambda: embed_run(workspace, first),
        lambda: compare_runs(workspace, [first, second]),
    ]
    for call in calls:
        with pytest.raises(FototecaError, match="v001"):
            call()


def test_missing_validation_images(copied: Studied) -> None:
    """Metrics cover all images, maps and features those that are present; with none left a note is shown."""
    workspace, (first, _) = copied
    shutil.rmtree(workspace.cache)
    with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
        paths = [workspace.root / row["path"] for row in csv.DictReader(file) if row["split"] == "val"]
    for path in paths[3:]:
        path.unlink()
    page = write_and_read(workspace)
    assert evaluate_run(workspace, first, "val").n == len(paths)
    assert f"{len(paths) - 3} images are left out: the files cannot be read" in section_text(page, "model_analysis")
    assert "Map by saliency" in page.split('id="model_analysis"')[1]
    with pytest.raises(FototecaError, match=f"image {paths[3].stem[:12]} is missing"):
        explain_run(workspace, first, methods=["saliency"], images=[paths[3].stem])
    for path in paths[:3]:
        path.unlink()
    assert f"none of the {len(paths)} val images is in the store" in section_text(write_and_read(workspace), "model_analysis")


@pytest.mark.parametrize("present", [{"red", "green"}, {"red"}])
def test_categories_without_validation_images(
    copied: Studied, present: set[str], frozen_with: Callable[[Workspace, Callable[[ManifestRow], bool]], None]
) -> None:
    """Absent categories are listed and not counted in averages."""
    workspace, runs = copied
    frozen_with(workspace, lambda row: row.split == "test" or row.label in present)
    evaluation = evaluate_run(workspace, runs[0], "val")
    assert set(evaluation.absent) == {"red", "green", "olive"} - present
    assert evaluation.balanced_accuracy == pytest.approx(np.mean([evaluation.per_class[name].recall for name in present]))
    page = write_and_read(workspace)
    assert "Confident right and wrong predictions" in section_text(page, "model_analysis")
    assert "Sanity checks by method" in section_text(page, "model_analysis")


def test_ensembles_have_no_attribution_maps(copied: Studied, tmp_path: Path) -> None:
    """Errors name what can be explained instead; a report whose best run is an ensemble shows the maps of the other model."""
    workspace, runs = copied
    ensemble = make_ensemble(workspace, runs).id
    with pytest.raises(FototecaError, match="needs a network") as error:
        explain_run(workspace, ensemble, methods=["grad-cam"], output=tmp_path)
    assert "linear, logistic or svm head" in error.value.hint
    with pytest.raises(FototecaError, match="has no features of its own"):
        embed_run(workspace, ensemble, output=tmp_path)
    run = read_run(workspace, ensemble)
    predictions, names = run.predictions("val"), run.categories
    sure = np.eye(len(names), dtype=np.float32)[[names.index(label) for label in predictions.labels]]
    write_predictions_csv(run, "val", predictions.image_ids, predictions.labels, sure)
    for member in runs:
        write_predictions_csv(
            read_run(workspace, member), "val", predictions.image_ids, predictions.labels, np.roll(sure, 1, axis=1)
        )
    page = write_and_read(workspace)
    content = section_text(page, "model_analysis")
    assert "Best model: Ensemble of 2 models" in content and Texts.load("en")("attribution.ensemble") in content
    assert "Map by saliency" in page.split('id="model_analysis"')[1]
    assert re.search(
        r"members \(parameters\) CNN · from scratch \([\d,]+\); CNN-CBAM · from scratch", section_text(page, "curves")
    )


def test_inapplicable_method_records_no_access(copied: Studied, first_image: Callable[[str], Path]) -> None:
    """The error is raised before a test image is classified."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    ensemble = make_ensemble(workspace, runs).id
    with pytest.raises(FototecaError, match="needs a network"):
        predict_paths(workspace, ensemble, [str(first_image("test"))], methods=["grad-cam"])
    assert read_accesses(workspace, "v001") == []


def test_links_escape_special_characters(copied: Studied) -> None:
    """A number sign or percent sign in a folder name is escaped."""
    workspace = Workspace(copied[0].root.rename(copied[0].root.with_name("proj #1 100%")))
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.root.parent / "out")
    assert 'href="../proj%20%231%20100%25/data/runs#row=2"' in context.file_link("data/runs", row=0)


def test_curves_of_nan_losses_are_omitted(copied: Studied) -> None:
    """A run whose losses are all NaN has no loss curve."""
    run = read_run(copied[0], copied[1][0])
    steps = run.folder / "steps.csv"
    head, *rows = steps.read_text(encoding="utf-8").splitlines()
    steps.write_text(
        "\n".join([head, *(re.sub(r"^(\d+),(\d+),[^,]*", r"\1,\2,nan", row) for row in rows)]) + "\n", encoding="utf-8"
    )
    assert [figure.name for figure in curve_figures_of(run, Texts.load("en"), "a run")] == [f"epochs-{run.id}"]


def test_class_models_keep_explanation_rows(copied: Studied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing class models does not change the CSV of earlier maps."""
    workspace, (run, _) = copied
    monkeypatch.setattr("fototeca.analysis.attribution.explain._write_class_models", lambda *_: [])
    *_, table = explain_run(workspace, run, methods=["saliency"], output=tmp_path)
    before = table.read_text(encoding="utf-8")
    assert explain_run(workspace, run, methods=["class-model"], output=tmp_path) == []
    assert table.read_text(encoding="utf-8") == before and len(before.splitlines()) > 2


def test_only_explain_offers_class_model(copied: Studied) -> None:
    """Other commands reject `class-model` and do not list it."""
    workspace, runs = copied
    for command in (
        lambda: examples_of_run(workspace, runs[0], method="class-model"),
        lambda: predict_paths(workspace, runs[0], ["x.jpg"], methods=["class-model"]),
    ):
        with pytest.raises(FototecaError, match="no attribution method 'class-model'") as stop:
            command()
        assert "class-model" not in stop.value.hint
    with pytest.raises(FototecaError, match="no attribution method 'lime'") as stop:
        explain_run(workspace, runs[0], methods=["lime"])
    assert stop.value.hint.endswith("class-model")


def test_missing_class_models_are_listed(copied: Studied, tmp_path: Path) -> None:
    """With none, some and all possible class models drawn: the missing ones and the command that draws them."""
    workspace, runs = copied
    texts, drawn = Texts.load("en"), workspace.reports / "explain" / runs[0]
    shutil.rmtree(drawn, ignore_errors=True)
    context = ReportContext(workspace, read_manifest(workspace, "v001"), texts, workspace.reports)
    results = context.validation[runs[0]]
    assert escape(texts("class_model.none")) in _class_models(context, results)
    predicted = results.probabilities.argmax(axis=1)
    explain_run(workspace, runs[0], methods=["class-model"], images=[results.rows[0].image_id], iterations=1)
    others = [name for place, name in enumerate(results.categories) if place != predicted[0]]
    content = _class_models(context, results)
    assert texts("class_model.missing", names=", ".join(others)) in content
    named = re.findall(r"--image (\w+)", content)
    assert len(named) == len(set(predicted) - {predicted[0]}) and ("<pre>" in content) == bool(named)
    if named:
        explain_run(workspace, runs[0], methods=["class-model"], images=named, iterations=1)
    there = {path.stem.removeprefix("class-model-") for path in drawn.glob("class-model-*.png")}
    assert there == {results.categories[place] for place in predicted}
    context.load_model(results.run).module = None
    assert texts("attribution.no_network") in render_attributions(context, results)


def test_model_card_names_hardest_categories(copied: Studied) -> None:
    """The model card names the categories missed most, or states that none was missed."""
    workspace, runs = copied
    trained, texts = [read_run(workspace, run) for run in runs], Texts.load("en")
    for missed, key in ((1, "Hardest categories on validation: "), (0, texts("model_card.none_missed"))):
        for run in trained:
            predictions, names = run.predictions("val"), run.categories
            sure = np.eye(len(names), dtype=np.float32)[[names.index(label) for label in predictions.labels]]
            write_predictions_csv(run, "val", predictions.image_ids, predictions.labels, np.roll(sure, missed, axis=1))
        assert key in cards.render_cards(ReportContext(workspace, read_manifest(workspace, "v001"), texts, workspace.reports))


def test_truncated_curves_end_early(copied: Studied) -> None:
    """If the last line of steps.csv is truncated, the curve ends one step earlier."""
    workspace, runs = copied
    steps = workspace.runs / runs[0] / "steps.csv"
    lines = steps.read_text(encoding="utf-8").splitlines()
    steps.write_text("\n".join(lines[:-1]) + "\n" + lines[-1].split(",")[0], encoding="utf-8")
    write_and_read(workspace)
    drawn = (workspace.reports / "v001" / "figures-en" / f"steps-{runs[0]}.csv").read_text(encoding="utf-8")
    assert len(drawn.splitlines()) == len(lines) - 1


def test_multi_label_task(tmp_path: Path) -> None:
    """All commands and both reports on a multi-label task, with average precision by category."""
    rows = [["path", "label"]]
    for number in range(60):
        rng, names = np.random.default_rng(number), [name for name, bit in (("left", 1), ("right", 2)) if number % 4 & bit]
        pixels = np.full((72, 96, 3), 90.0) + rng.normal(0, 25, (72, 96, 3))
        for name in names:
            pixels[:, slice(0, 48) if name == "left" else slice(48, 96)] += 110
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(tmp_path / "in" / f"{number:02}.png")
        rows.append([f"{number:02}.png", "|".join(names)])
    with (tmp_path / "in" / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    workspace = create_workspace(tmp_path / "sides", ["left", "right"], task="multi", target=20)
    collect_folder(workspace, tmp_path / "in", FolderOptions(labels=tmp_path / "in" / "labels.csv"), FetchOptions())
    freeze_version(workspace)
    runs = [
        train_run(workspace, TrainConfig("v001", model, "scratch", image_size=32, epochs=4)).id for model in ("cnn", "cnn-cbam")
    ]
    average_precision = evaluate_run(workspace, runs[0], "test").average_precision
    assert average_precision is not None and set(average_precision.per_class) == {"left", "right"}
    chosen = examples_of_run(workspace, runs[0])
    assert json.dumps(chosen.to_json())
    assert "worst of each category:\nnone\n" in examples_table(replace(chosen, worst_per_class={}))
    assert compare_runs(workspace, runs).pairs
    assert embed_run(workspace, runs[0])["images"] > 0
    (workspace.runs / runs[0] / "thresholds.json").write_text('{"left": 0.999999, "right": 0.0}', encoding="utf-8")
    assert [prediction.label for prediction in predict_paths(workspace, runs[0], [str(tmp_path / "in" / "03.png")])] == ["right"]
    table = explain_run(workspace, runs[0], methods=["saliency"])[-1]
    content = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    results = read_split_predictions(workspace, find_run(workspace, runs[0]), "val")
    likeliest = dict(zip((row.image_id for row in results.rows), results.probabilities.argmax(axis=1), strict=True))
    assert content and {(row["image_id"], row["category"]) for row in content} <= {
        (image_id, results.categories[place]) for image_id, place in likeliest.items()
    }
    evaluation, (path,) = evaluate_run(workspace, runs[0], "val"), confusion_figures(workspace, runs[0], "val", None)
    content = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    cells = ("true_positive", "false_negative", "false_positive", "true_negative")
    assert {row["category"]: {cell: int(row[cell]) for cell in cells} for row in content} == evaluation.confusion_per_class
    predicted = read_predicted_labels(find_run(workspace, runs[0]), [replace(results.rows[0], image_id="new"), *results.rows])
    labels = ["" if label == "left" else label for label in predicted]
    colors = point_colorings([results.rows[0], *results.rows], labels, ["left", "right"])
    assert colors["error"][0].count("not predicted") == colors["prediction"][0].count("not predicted") == 1, (
        "no category is an answer"
    )
    for lang in ("en", "es"):
        page = write_report(workspace, "v001", lang=lang).page.read_text(encoding="utf-8")
        texts = Texts.load(lang)
        legends = re.findall(r'<ul class="legend">.*?</ul>', page)
        both = {"left", "right", "left + right", texts("label.none")}
        *_, one, two = legends
        assert all({*re.findall(r"</svg> ([^<]+)<", legend)} == both for legend in (one, two))
        assert len(set(re.findall(r'fill="(#\w+)"', one))) == 4 and "left|right" not in page
        assert page.count(texts("class.ap")) >= 2 and texts("metric.ap_macro") in page
        assert page.count(texts("confusion.multi")) == 3, "of both models on validation, and of one on test"
        assert texts("confusion.false_positive") in page
        assert texts("attribution.maps_of", category="right") in page
        assert 'class="note warn"' not in page.split('id="model_analysis"')[1].split('id="test"')[0]
