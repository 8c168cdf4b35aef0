"""Sanity checks of attribution maps, on networks with known attributions."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from typer.testing import CliRunner

from fototeca.analysis.attribution.check_results import (
    CHECKS,
    MethodScores,
    SanityChecks,
    badge_text,
    merge_results,
    method_results,
    read_sanity_checks,
    sanity_checks_path,
)
from fototeca.analysis.attribution.explain import draw_maps, explain_run
from fototeca.analysis.attribution.gradients import grad_cam
from fototeca.analysis.attribution.layers import spatial_layers, target_layer
from fototeca.analysis.attribution.maps import NetworkInput, attach_network_input
from fototeca.analysis.attribution.run_checks import run_sanity_checks
from fototeca.analysis.attribution.sanity_checks import (
    CURVE_STEPS,
    CheckedImage,
    CheckScores,
    build_image_grid,
    check_maps,
    check_methods,
    deletion_insertion_areas,
    grade_scores,
    rank_correlation,
    share_inside,
    with_shuffled_weights,
)
from fototeca.analysis.cli import app
from fototeca.analysis.cli_tables import sanity_checks_table
from fototeca.analysis.evaluation.predictions import read_split_predictions
from fototeca.analysis.i18n import Texts
from fototeca.analysis.images import overlay, read_stored_image
from fototeca.analysis.report.attributions import render_attributions
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.examples import render_examples
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.runs import load_model, read_run


class Colours(torch.nn.Module):
    """The score of class k is the mean of channel k."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Parameter(torch.eye(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3)."""
        return 8 * images.clamp(min=0).mean(dim=(2, 3)) @ self.mix


def truth(module: torch.nn.Module, image: torch.Tensor, target: int) -> np.ndarray:
    """Return the true attribution: each pixel's part of the score."""
    assert isinstance(module, Colours)
    parts = torch.einsum("chw,c->hw", image[0].clamp(min=0), module.mix[:, target].detach())
    return np.asarray(parts.numpy(), dtype=np.float32)


def spot(channel: int, top: int = 4, left: int = 20) -> CheckedImage:
    """Return an image (3, 32, 32) with a square of one color on faint noise, and the square's mask."""
    image = 0.1 * torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(channel))
    image[channel, top : top + 8, left : left + 8] = 3.0
    mask = np.zeros((32, 32), dtype=bool)
    mask[top : top + 8, left : left + 8] = True
    return CheckedImage(image, channel, mask)


def test_rank_correlation_of_constant_maps() -> None:
    """NaN if the first map is constant, so that the check counts as not measured; 0 if the second is."""
    flat, varied = np.zeros((4, 4), np.float32), np.arange(16, dtype=np.float32).reshape(4, 4)
    assert np.isnan(rank_correlation(flat, varied)) and rank_correlation(varied, flat) == 0
    assert rank_correlation(varied, varied) == pytest.approx(1)


def test_true_attribution_passes_and_baselines_fail() -> None:
    """The true map passes every check, a constant one fails the gradient check, and both baselines fail all others."""
    mosaics = [build_image_grid([spot(c).image, *[spot((c + 1) % 3).image] * 3], c, c) for c in range(3)]
    flat = {"truth": truth, "constant": lambda module, image, target: np.ones((32, 32), np.float32)}
    right, constant, random, centre = check_methods(Colours(), flat, [spot(0), spot(1, 20, 4)], mosaics)
    assert right.passed == dict.fromkeys((*CHECKS, "pointing", "energy"), True)
    assert (right.gradient, right.pointing) == (1, 1)
    assert right.energy > 0.6
    assert right.grid > 0.55
    assert constant.gradient == 0 and not constant.passed["gradient"]
    for one in (random, centre):
        assert (one.classes, one.weights) == (1, 1)
        assert not any(passed for trial, passed in one.passed.items() if trial != "gradient")
    assert centre.grid == pytest.approx(0.25, abs=0.01)


def test_unmeasured_checks_have_no_result() -> None:
    """Without a mask no pointing and energy, without image grids no grid check."""
    case = CheckedImage(spot(0).image, 0)
    found = check_methods(Colours(), {"truth": truth}, [case], [])
    assert set(found[0].passed) == {"gradient", "classes", "weights", "deletion", "insertion"}
    assert np.isnan(found[0].grid) and np.isnan(found[0].energy)
    assert grade_scores(CheckScores("none"), found[1:]) == {}


def test_check_maps_of_one_image() -> None:
    """The true map passes, also pointing where the center baseline hits too; a constant map fails the gradient check."""
    case = spot(0, 12, 12)
    maps = {"truth": truth(Colours(), case.image[None], 0), "constant": np.ones((32, 32), np.float32)}
    found = check_maps(Colours(), case, maps)
    assert found["truth"].passed == dict.fromkeys(("gradient", "deletion", "insertion", "pointing", "energy"), True)
    assert not found["constant"].passed["gradient"] and not found["constant"].passed["energy"]
    assert set(check_maps(Colours(), CheckedImage(case.image, 0), maps)["truth"].passed) == {"gradient", "deletion", "insertion"}


class Terminal(io.StringIO):
    """A stream that reports to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_progress_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar counts the methods; nothing is written to a file."""
    for shown in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", shown)
        check_methods(Colours(), {"truth": truth}, [CheckedImage(spot(0).image, 0)], [])
        assert ("sanity checks: 100%" in shown.getvalue() and "3/3" in shown.getvalue()) == shown.isatty()


def test_deletion_area_equals_stepwise_computation() -> None:
    """Probabilities at CURVE_STEPS + 1 shares of pixels removed in the map's order, trapezoidal rule, within 1e-6."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 4), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(4 * 49, 3))
    network.requires_grad_(False)
    image, found = torch.randn(3, 32, 32), np.random.default_rng(0).random((32, 32)).astype(np.float32)
    order = np.argsort(-found.ravel())
    said = []
    for step in range(CURVE_STEPS + 1):
        left = image.clone().reshape(3, -1)
        left[:, order[: 32 * 32 * step // CURVE_STEPS]] = 0
        said.append(float(network(left.reshape(1, 3, 32, 32)).softmax(dim=1)[0, 1]))
    expected = np.trapezoid(said, dx=1 / CURVE_STEPS)
    assert deletion_insertion_areas(network, CheckedImage(image, 1), found)[0] == pytest.approx(expected, abs=1e-6)


def test_rank_correlation_equals_scipy() -> None:
    """With ties, as in rectified maps; 0 for a constant second map."""
    rng = np.random.default_rng(0)
    one, other = (np.maximum(rng.normal(size=(9, 9)), 0).astype(np.float32) for _ in range(2))
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, np.zeros_like(one)) == 0


def test_shuffled_weights_keep_their_values() -> None:
    """Each parameter has the same values in another order; the model itself is unchanged."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    before = network[0].weight.clone()
    dealt = with_shuffled_weights(network)
    assert torch.equal(network[0].weight, before)
    assert not torch.equal(dealt[0].weight, before)
    assert torch.equal(dealt[0].weight.flatten().sort()[0], before.flatten().sort()[0])


def test_image_grids_and_share_inside() -> None:
    """The target's image is in its cell, also for odd sizes; only positive values count."""
    images = [torch.full((3, 33, 33), float(value)) for value in (1, 2, 3, 4)]
    mosaic = build_image_grid(images, 0, 2)
    assert mosaic.image.shape == (3, 33, 33)
    assert mosaic.image[0, [0, 0, 32, 32], [0, 32, 0, 32]].round().tolist() == [2, 3, 1, 4]
    assert share_inside(np.array([[3, -5], [1, 0]], np.float32), np.array([[True, True], [False, False]])) == 0.75


def test_run_sanity_checks_stores_scores(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """JSON and CSV with both baselines; an unknown method is an error before any work."""
    workspace, runs = studied
    facts = run_sanity_checks(workspace, runs[0], ["grad-cam", "extremal"], iterations=2, output=tmp_path)
    assert [one.method for one in facts.methods] == ["grad-cam", "extremal", "random", "centre"]
    assert facts.images == 4
    assert 1 <= facts.grids <= 3
    kept = read_sanity_checks(workspace, read_run(workspace, runs[0]))
    assert kept is not None and kept.methods == facts.methods
    assert len((tmp_path / "sanity_checks.csv").read_text().splitlines()) == 5
    assert "pointing" not in sanity_checks_table(facts)
    with pytest.raises(FototecaError, match="no attribution method 'magic'"):
        run_sanity_checks(workspace, runs[0], ["magic"])


@pytest.mark.parametrize("content", ["[1]", "3", "{"])
def test_damaged_file_counts_as_no_checks(copied: tuple[Workspace, list[str]], content: str) -> None:
    """A damaged JSON file is read as None."""
    workspace, runs = copied
    run = read_run(workspace, runs[0])
    write_text(sanity_checks_path(workspace, run), content)
    assert read_sanity_checks(workspace, run) is None


def test_masks_add_pointing_and_energy(copied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """`data/masks` adds both checks for methods and for single maps."""
    workspace, (run, _) = copied
    plain = explain_run(workspace, run, methods=["grad-cam", "saliency"], output=tmp_path / "plain")
    rows = list(csv.DictReader(plain[-1].read_text(encoding="utf-8").splitlines()))
    assert {row["method"] for row in rows} == {"grad-cam", "saliency"} and len(rows) == 2 * (len(plain) - 1)
    assert all(row["gradient"] and row["deletion"] and row["insertion"] and not row["pointing"] for row in rows)
    for path in workspace.images.glob("*/*.jpg"):
        mask = Image.new("L", (96, 72))
        mask.paste(255, (0, 0, 48, 72))  # the left half
        (workspace.data / "masks").mkdir(exist_ok=True)
        mask.save(workspace.data / "masks" / f"{path.stem}.png")
    told = explain_run(workspace, run, methods=["saliency"], output=tmp_path)[-1].read_text(encoding="utf-8")
    rows = list(csv.DictReader(told.splitlines()))
    for row in rows:
        assert row["pointing"] in "01" and 0 < float(row["energy"]) < 1
        assert ("pointing" in row["failed"]) == (row["pointing"] == "0")
    facts = run_sanity_checks(workspace, run, ["saliency"], output=tmp_path)
    assert facts.methods[-1].energy == pytest.approx(0.5, abs=0.02), "a map of the middle lies half in the left half"
    assert "pointing" in sanity_checks_table(facts)
    assert "pointing_passed" in (tmp_path / "sanity_checks.csv").read_text(encoding="utf-8")
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("es"), tmp_path)
    told = render_attributions(context, context.validation[run])
    assert "puntería" in told and "✗" in told


def mark_weights_failed(workspace: Workspace, run: str, layer: str = "") -> None:
    """Change the stored results: all methods fail the weights check."""
    path = sanity_checks_path(workspace, read_run(workspace, run), layer)
    facts = json.loads(path.read_text(encoding="utf-8"))
    for one in facts["methods"]:
        one["passed"] = {**dict.fromkeys(("gradient", "classes", "deletion", "insertion"), True), "weights": False}
    path.write_text(json.dumps(facts), encoding="utf-8")


def test_badge_shows_failures_of_the_method(copied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """Stored failures of a method appear in the CSV, in the report's tiles and above the maps of its examples."""
    workspace, (run, _) = copied
    sanity_checks_path(workspace, read_run(workspace, run)).unlink(missing_ok=True)

    def told() -> list[dict[str, str]]:
        path = explain_run(workspace, run, methods=["grad-cam"], output=tmp_path / "maps")[-1]
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))

    before = told()
    assert all({*row["passed"].split(), *row["failed"].split()} == {"gradient", "deletion", "insertion"} for row in before)
    run_sanity_checks(workspace, run, ["grad-cam", "saliency"], output=tmp_path)
    mark_weights_failed(workspace, run)
    for row, alone in zip(told(), before, strict=True):
        assert row["failed"].split() == [*alone["failed"].split(), "weights"] and "classes" in row["passed"]
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), tmp_path)
    tiles, shown = render_attributions(context, context.validation[run]), render_examples(context, context.validation[run])
    stamps = tiles.split("Sanity checks of the attribution methods")[0]
    assert "passes gradient" not in stamps and stamps.count("✗") == stamps.count("Map by") > 0
    assert "Sanity checks of grad-cam on this model, valid for each of these maps: ✗ weights." in shown


def test_badge_text_and_method_results() -> None:
    """Failed checks, else passed ones; METHOD_CHECKS come from the method; nothing is claimed without a check."""
    own, method = {"gradient": True, "deletion": True}, {"gradient": False, "weights": True}
    assert badge_text(merge_results(own, {})) == "passes gradient, deletion"
    assert badge_text(merge_results(own, method)) == "passes gradient, deletion, weights"
    assert badge_text(merge_results(own, {"weights": False, "classes": False})) == "fails: classes, weights"
    assert badge_text(merge_results({}, {})) == "not checked"
    methods = tuple(MethodScores(name, *[None] * 9, method, "") for name in ("rise", "grad-cam", "extremal"))
    facts = SanityChecks("r", "", "", 4, 4, "", None, methods)
    assert method_results(None) == {}
    assert set(method_results(facts)) == {"rise", "grad-cam", "extremal"}
    assert set(method_results(facts, layer="stages.1")) == {"rise", "extremal"}, "another layer is another map of Grad-CAM"
    assert set(method_results(facts, iterations=9)) == {"rise", "grad-cam"}
    assert set(method_results(replace(facts, layer="stages.1", iterations=9), "stages.1", 9)) == set(method_results(facts))


def test_results_apply_to_the_checked_layer_only(copied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """With `--layer`, results come from trials of that layer only; the report, which shows the default layer, ignores them."""
    workspace, (run, _) = copied
    found = read_run(workspace, run)
    model, results = load_model(workspace, found), read_split_predictions(workspace, found, "val")
    tensor = model.preprocessing(read_stored_image(workspace, results.rows[0]))
    assert model.module is not None
    own, other = target_layer(model.module, tensor[None]), next(iter(spatial_layers(model.module, tensor[None])))
    assert model.module.get_submodule(other) is not own
    drawn = draw_maps(model, tensor, 0, ["grad-cam"], other)
    expected = overlay(drawn.seen, grad_cam(model.module, tensor[None], 0, other))
    assert np.array_equal(drawn.maps["grad-cam"], expected)
    assert not np.array_equal(drawn.maps["grad-cam"], draw_maps(model, tensor, 0, ["grad-cam"]).maps["grad-cam"])
    kept = run_sanity_checks(workspace, run, ["grad-cam"], output=tmp_path).methods
    run_sanity_checks(workspace, run, ["grad-cam"], layer=other, output=tmp_path)
    mark_weights_failed(workspace, run, other)
    family = read_sanity_checks(workspace, found)
    assert family is not None and family.methods == kept, "what was tried of the family's layer stays beside it"
    for layer in (other, ""):
        table = explain_run(workspace, run, methods=["grad-cam"], layer=layer, output=tmp_path)[-1]
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
        assert {"weights" in row["failed"].split() for row in rows} == {bool(layer) or not kept[0].passed["weights"]}
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), tmp_path)
    told = render_attributions(context, results)
    assert f"{run}.json" not in told.split("Sanity checks of the attribution methods")[1]
    assert "saliency" in next(numbers for numbers in context.data_tables if numbers.name == f"sanity-checks-{run}").rows[1]


def test_changed_masks_invalidate_stored_checks(copied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """A new mask makes the stored checks outdated."""
    workspace, (run, _) = copied
    run_sanity_checks(workspace, run, ["saliency"], output=tmp_path)
    found = read_run(workspace, run)
    assert read_sanity_checks(workspace, found) is not None
    (workspace.data / "masks").mkdir()
    Image.new("L", (9, 9)).save(workspace.data / "masks" / "0.png")
    assert read_sanity_checks(workspace, found) is None


def test_unsuitable_method_has_a_reason(studied: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    """An unknown layer fails spatial methods only; if no method fits, the command fails."""
    workspace, runs = studied
    facts = run_sanity_checks(workspace, runs[0], ["grad-cam", "saliency"], layer="nothing", output=tmp_path)
    reasons = [one.reason for one in facts.methods]
    assert reasons[0].startswith("the model has no layer 'nothing'; layers with a spatial output: ")
    assert reasons[1:] == ["", "", ""]
    assert facts.methods[0].gradient is None and facts.methods[1].gradient == 1
    assert "grad-cam cannot be used: the model has no layer" in sanity_checks_table(facts)
    with pytest.raises(FototecaError, match="no layer 'nothing'"):
        run_sanity_checks(workspace, runs[0], ["grad-cam"], layer="nothing", output=tmp_path)


def test_multi_label_curves_use_independent_probabilities() -> None:
    """With sigmoid outputs the curves do not depend on other categories."""
    network = Colours()
    attach_network_input(network, NetworkInput(multi=True))
    case = spot(0)
    found = truth(network, case.image[None], 0)
    one = deletion_insertion_areas(network, case, found)
    with torch.no_grad():
        network.mix[:, 1] = 9.0  # another category gets louder
    assert deletion_insertion_areas(network, case, found) == pytest.approx(one)
    attach_network_input(network, NetworkInput())
    assert deletion_insertion_areas(network, case, found) != pytest.approx(one)


def test_explain_sanity_checks_command(studied: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """`explain --sanity-checks` prints JSON or a table."""
    workspace, runs = studied
    monkeypatch.chdir(workspace.root)
    arguments = ["explain", runs[1], "--sanity-checks", "--method", "saliency"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert [one["method"] for one in json.loads(done.stdout)["methods"]] == ["saliency", "random", "centre"]
    assert [line.split()[0] for line in CliRunner().invoke(app, arguments).stdout.splitlines()[2:5]] == [
        "saliency",
        "random",
        "centre",
    ]
