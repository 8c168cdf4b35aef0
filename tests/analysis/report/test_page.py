"""The report has every section in both languages, works offline, fits the window, and its numbers equal its data files."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from fototeca.analysis.attribution.explain import explain_run
from fototeca.analysis.cli import app
from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.evaluation.test_access_log import access_log_path
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.charts import lines_chart
from fototeca.analysis.predict.predict import predict_paths
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.page import SECTIONS, write_report
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LANGUAGES, Language
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import read_manifest
from fototeca.train.runs.registry import list_runs
from fototeca.vision.quality import quality
from tests.browsers import chromium

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


@pytest.fixture(scope="module")
def reports(studied: Studied, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, Path]]:
    """Return the workspace after one evaluation on test and one prediction, with a report in each language."""
    workspace, runs = studied
    access_log_path(workspace).unlink(missing_ok=True)  # of other tests
    evaluate_run(workspace, runs[0], "test")
    new = tmp_path_factory.mktemp("new") / "new.jpg"
    shutil.copyfile(workspace.root / read_manifest(workspace, "v001").split("train")[0].path, new)
    predict_paths(workspace, runs[0], [str(new)])
    explain_run(workspace, runs[0], methods=["class-model"], iterations=2)
    workspace.report_text.write_text(
        "## Motivación\n\nBecause **colours** matter. <script>alert(1)</script>\n\n## Splits\n\nEvenly.\n\n"
        "## figura: comparison\n\nThe first one wins.\n\n## figure: confusion\n\nMostly right.\n\n## figura: nothing\n\nLost.\n",
        encoding="utf-8",
    )
    return workspace, {lang: write_report(workspace, "v001", lang=lang).page for lang in ("en", "es")}


def test_languages_have_equal_keys_and_placeholders() -> None:
    """Both languages have the same texts with the same placeholders."""
    english, spanish = Texts.load("en").entries, Texts.load("es").entries
    assert english.keys() == spanish.keys()
    gaps = {key: [set(re.findall(r"{(\w+)", entries[key])) for entries in (english, spanish)] for key in english}
    assert all(first == second for first, second in gaps.values())


@pytest.mark.parametrize("lang", ["en", "es"])
def test_quality_measures_have_names(lang: str) -> None:
    """Each measure of image quality has a distinct name."""
    texts, measures = Texts.load(lang), quality(Image.new("RGB", (64, 48)))
    assert len({texts(f"quality.{name}") for name in measures}) == len(measures)


@pytest.mark.parametrize(("lang", "one", "more"), [("en", "1 image", "2 images"), ("es", "1 imagen", "2 imágenes")])
def test_plural_forms(lang: str, one: str, more: str) -> None:
    """Texts select singular and plural for plain and for formatted numbers."""
    texts = Texts.load(lang)
    assert [texts("task.images", n=n) for n in (1, texts.number(1), 2)] == [one, one, more]
    for n in (1, 1000):
        content = texts("splits.groups", groups=n, images=texts.number(n))
        assert not re.search(r"[{}|]", content)
        assert texts.number(n) in content


@pytest.mark.parametrize("lang", LANGUAGES)
def test_all_sections_are_present(reports: tuple[Workspace, dict[str, Path]], lang: Language) -> None:
    """All sections in order, with the user's texts, whose HTML is escaped."""
    page = reports[1][lang].read_text(encoding="utf-8")
    texts = Texts.load(lang)
    written = [name for name in SECTIONS if name != "conclusions"]
    places = [page.index(f'<section id="{name}">') for name in written]
    assert places == sorted(places)
    assert all(texts(f"section.{name}") in page for name in written)
    assert "Because <strong>colours</strong> matter." in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert texts("test_access.once") in page


def test_own_words_are_placed_and_missing_ones_listed_once(reports: tuple[Workspace, dict[str, Path]]) -> None:
    """Text stands in its section and below its figure; missing headings and those without a place are listed at the top."""
    workspace, pages = reports
    page = pages["es"].read_text(encoding="utf-8")
    top, rest = page.split("<nav", 1)
    assert "## Utilidad, ## Recolección, ## Dificultades" in top and "## Motivación" not in top
    assert "## figura: nothing" in top
    assert "## Utilidad" not in rest
    assert page.count("Mostly right.") == 1
    assert "Evenly." in page.split('<section id="splits">')[1].split("</section>")[0]
    assert "The first one wins." in page.split("</figcaption></figure>", 1)[1].split('<section id="model_analysis">')[0]
    result = write_report(workspace, "v001", lang="es", output=pages["es"].parent / "clean", clean=True)
    assert "## " not in result.page.read_text(encoding="utf-8")
    assert "## figura: nothing" in result.warnings[0]


def test_report_works_offline(reports: tuple[Workspace, dict[str, Path]]) -> None:
    """No external resources; links to files resolve; every figure has its data beside the page."""
    workspace, pages = reports
    page = pages["en"].read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|srcset)="(?!data:)', page)
    assert "@import" not in page
    assert "url(" not in page
    links = [link for link in re.findall(r'href="([^"#]+)"', page) if not link.startswith("http")]
    assert len(links) > 10
    assert all((pages["en"].parent / link).exists() for link in links)
    folder = pages["en"].parent / "figures-en"
    beside = {kind: {path.stem for path in folder.glob(f"*.{kind}")} for kind in ("svg", "png", "csv")}
    assert beside["svg"] == beside["png"] < beside["csv"], "as docs/report.md says"
    assert {"comparison", f"tsne-{list_runs(workspace)[0].id}"} <= beside["svg"] and {"generalization-gap", "models"} <= beside[
        "csv"
    ]
    numbers = folder / "comparison.csv"
    with numbers.open(encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == sorted(
            [path.parent.name for path in workspace.runs.glob("*/done.json")], key=lambda name: _position_in_models(page, name)
        )


def test_table_numbers_link_to_their_row(reports: tuple[Workspace, dict[str, Path]]) -> None:
    """The linked CSV cell holds the displayed number, unrounded."""
    page, linked = reports[1]["es"], set[str]()
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page.read_text(encoding="utf-8"), re.DOTALL):
        for column, cell in enumerate(re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)):
            if link := re.fullmatch(r'<a href="(figures-es/[^"#]+)#row=(\d+)" tabindex="-1">([^<]+)</a>', cell):
                name, line, shown = link.groups()
                with (page.parent / name).open(encoding="utf-8", newline="") as file:
                    stored = list(csv.reader(file))[int(line) - 1][column].split()
                assert is_rounded(shown, stored), (name, line, column, shown, stored)
                linked.add(name)
    assert {f"figures-es/{name}.csv" for name in ("models", "classes", "test", "ensemble-gains")} <= linked


def is_rounded(shown: str, stored: list[str]) -> bool:
    """Return True if a Spanish cell shows the stored numbers rounded to its digits, or as less than a bound."""
    numbers = [word.replace("\xa0", "").replace(",", ".") for word in re.findall(r"[+-]?\d[\d\xa0]*(?:,\d+)?", shown)]
    if not numbers or shown.startswith("<"):
        return not numbers or float(stored[0]) < float(numbers[0])
    scales = (100,) if "%" in shown else (1, 100) if shown[0] in "+-" else (1,)  # a difference in points bears its sign
    pairs = [(float(word), float(value), len(word.partition(".")[2])) for word, value in zip(numbers, stored, strict=True)]
    return any(all(abs(a - scale * b) <= 0.5000001 * 10**-digits for a, b, digits in pairs) for scale in scales)


@pytest.mark.parametrize(
    ("lang", "own", "foreign"), [("en", r"\d\.\d|\d%", r"\d,\d|\d\s%"), ("es", r"\d,\d|\d\s%", r"\d\.\d|\d%")]
)
def test_figures_use_the_languages_number_format(
    reports: tuple[Workspace, dict[str, Path]], lang: str, own: str, foreign: str
) -> None:
    """Axes, cells and tooltips: decimal comma and space before % in Spanish, neither in English."""
    drawings = list((reports[1][lang].parent / f"figures-{lang}").glob("*.svg"))
    kinds = {path.name.partition("-")[0].removesuffix(".svg") for path in drawings}
    assert kinds >= {"comparison", "steps", "epochs", "confusion", "reliability"}
    for path in drawings:
        labels = re.findall(r"<(?:text[^>]*|title)>([^<]+)<", path.read_text(encoding="utf-8"))
        assert not [word for word in labels if re.search(foreign, word)], path.name
        if path.name.startswith(("comparison", "confusion", "reliability", "epochs")):
            assert any(re.search(own, word) for word in labels), path.name


def read_data_table(page: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of an exported CSV."""
    with (page.parent / "figures-en" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_in_text_link_to_their_row(studied: Studied, reports: tuple[Workspace, dict[str, Path]]) -> None:
    """Splits, groups, new images, examples and maps: the linked row holds the displayed number."""
    workspace, page = reports[0], reports[1]["en"]
    text = page.read_text(encoding="utf-8")
    manifest, links = read_manifest(workspace, "v001"), dict[str, list[str]]()
    for link, words in re.findall(r'<a href="([^"]+#row=\d+)">([^<]+)</a>', text):
        links.setdefault(link, []).append(words)
    sizes = [row["value"].split() for row in read_data_table(page, "split-sizes")]
    assert [int(size) for size, _ in sizes] == list(manifest.split_counts().values())
    assert links["figures-en/split-sizes.csv#row=2"][0].startswith(f"{sizes[0][0]} (")
    icon = r' <a class="csv" href="figures-en/([^"]+)#row=\d+"[^>]*>csv</a></p>'
    linked_texts = set(re.findall(r'<(?:p|p class="note warn")>([^<]+)' + icon, text))
    difference = 100 * float(read_data_table(page, "generalization-gap")[0]["value"])
    assert (
        f"The difference is {difference:+.1f} points, within what chance alone can explain.",
        "generalization-gap.csv",
    ) in linked_texts
    assert {f"features-{run}.csv" for run in studied[1]} | {"licenses.csv"} <= {name for _, name in linked_texts}
    groups = {row["name"]: row["value"] for row in read_data_table(page, "groups")}
    assert (groups["groups"], groups["threshold"]) == ("0", str(manifest.threshold))
    assert "This version has no near-duplicates." in text.split('id="splits"')[1]
    counts = {row["name"]: row["value"] for row in read_data_table(page, "new-images-counts")}
    assert (counts["n"], counts["near"]) == ("1", "1") and f"{float(counts['false_alarm_rate']):.1%} are wrongly reported" in text
    (new,) = read_data_table(page, "new-images")
    assert new["near_duplicate_split"] and new["near_duplicate_image_id"] in {row.image_id for row in manifest.rows}
    assert f"{new['label']} · {float(new['probability']):.0%}" in links["figures-en/new-images.csv#row=2"]
    assert re.search(r'title="Numbers: new-images.csv, from [^"]+/new-images/[^"]+\.json"', text)
    for run in studied[1]:
        maps = read_data_table(page, f"maps-{run}")
        assert {f"figures-en/maps-{run}.csv#row={number + 2}" for number in range(len(maps))} <= links.keys()
        (stamp,) = links[f"figures-en/maps-{run}.csv#row=3"]
        assert stamp.startswith("✗ " if maps[1]["failed"] else "passes gradient")
        link = next(link for link in links if f"{run}/predictions-val.csv#row=" in link)
        with (page.parent / link.partition("#")[0]).open(encoding="utf-8", newline="") as file:
            row = list(csv.reader(file))[int(link.rpartition("=")[2]) - 1]
        assert row[2] in links[link][0] and f"{max(map(float, row[3:])):.0%}" in links[link][0]


def test_cards_have_map_and_neighbors(reports: tuple[Workspace, dict[str, Path]]) -> None:
    """Each example of a network has its map and nearest training images; model card and datasheet exist."""
    page = reports[1]["en"].read_text(encoding="utf-8")
    card = page.split('class="tiles cards"')[1].split("</li>")[0]
    assert card.count("<img") == 2 + 3
    assert "Map by grad-cam" in card
    assert re.search(r"<span>\w+/\d+\.jpg</span>|>\s*\w+/\d+\.jpg\s*<", card), "the original file name"
    assert card.count("One of the nearest training images") == 3
    texts = Texts.load("en")
    assert all(texts(f"{name}.title") in page for name in ("model_card", "datasheet", "errors"))
    assert page.count("Image that maximizes the score of") >= 1


def test_reproducibility_section_is_complete(studied: Studied, reports: tuple[Workspace, dict[str, Path]]) -> None:
    """Seeds, software versions of each run, and every command, including evaluations and the report."""
    workspace, pages = reports
    page = pages["en"].read_text(encoding="utf-8")
    assert len(re.findall(r'<dt>seed</dt><dd><a href="figures-en/run-[^"]+#row=\d+">0</a></dd>', page)) == 2
    again = page.split('id="reproducibility"')[1]
    assert "0 for the split; 0 for the models" in again
    assert again.count(f", torch {version('torch')}, ") == 2
    runs = list_runs(workspace)
    commands = [
        "curate dedup --threshold 10",
        "curate freeze --seed 0 --ratios 70/10/20",
        "curate verify v001",
        *(run.command.removeprefix("fototeca ") for run in runs),
        f"analysis evaluate {studied[1][0]} --split test",
        "analysis report --manifest v001 --lang en",
    ]
    assert {f"fototeca {command}" for command in commands} <= set(re.findall(r"fototeca [^<\n]+", again))
    done = runs[1].folder / "done.json"
    stored = done.read_bytes()
    try:
        done.write_text(json.dumps({**json.loads(stored), "software": {"torch": "1.0"}}), encoding="utf-8")
        differing = render_last_section(workspace)
    finally:
        done.write_bytes(stored)
    assert f"software, {runs[1].id}" in differing and "torch 1.0" in differing


def render_last_section(workspace: Workspace) -> str:
    """Return the reproducibility section."""
    return SECTIONS["reproducibility"](
        ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports / "v001")
    )


def _position_in_models(page: str, name: str) -> int:
    """Return the position of a run's first mention in the table of models."""
    return page.index(f'title="{name}"', page.index('id="experiments"'))


@pytest.mark.parametrize("width", [1400, 400])
def test_report_fits_the_window(reports: tuple[Workspace, dict[str, Path]], width: int) -> None:
    """In Chromium nothing overflows, all images load, and the console is empty."""
    with chromium() as browser:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(reports[1]["es"].as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        broken = "return [...document.images].filter(image => !image.complete || !image.naturalWidth).length"
        assert browser.execute_script(broken) == 0
        assert browser.get_log("browser") == []


def test_explain_writes_sheets_and_table(studied: Studied, tmp_path: Path) -> None:
    """One sheet per image and a CSV; an unknown method is an error."""
    workspace, runs = studied
    paths = explain_run(workspace, runs[0], methods=["grad-cam", "saliency"], output=tmp_path)
    assert [path.suffix for path in paths] == [".png"] * (len(paths) - 1) + [".csv"]
    assert len(paths[-1].read_text().splitlines()) == 1 + 2 * (len(paths) - 1)
    with pytest.raises(FototecaError, match="no attribution method 'magic'"):
        explain_run(workspace, runs[0], methods=["magic"])


def test_commands_print_json_and_write_figures(
    studied: Studied, fototeca: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON on stdout, figures on disk; an unknown run is a one-line error with exit code 2."""
    workspace, runs = studied
    monkeypatch.chdir(workspace.root)
    for arguments in (
        ["evaluate", runs[0], "--split", "val", "--json"],
        ["compare", *runs, "--json"],
        ["examples", runs[0], "--json"],
        ["embed", runs[0], "--json"],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)
    stills = {path.name for path in (workspace.reports / "embed" / runs[0]).glob("*.svg")}
    assert stills == {f"{name}-{by}.svg" for name in ("pca", "tsne", "umap") for by in ("label", "prediction", "error", "split")}
    assert {path.stem for path in (workspace.reports / "embed" / runs[0]).glob("*.png")} == {
        name.removesuffix(".svg") for name in stills
    }
    drawn = CliRunner().invoke(app, ["confusion", runs[0]]).stdout
    assert any(line.endswith("confusion-fractions.svg") for line in drawn.splitlines())
    done = fototeca(*list_runs(workspace)[0].command.split()[1:], cwd=workspace.root)
    assert "is already finished" in done.stderr
    done = fototeca("analysis", "evaluate", "none", "--split", "val", cwd=workspace.root)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("last", [2, 4, 30])
def test_epoch_axis_has_integer_ticks(last: int) -> None:
    """Tick labels of the epoch axis are integers."""
    points = [(float(epoch), 0.5) for epoch in range(1, last + 1)]
    drawn = lines_chart("epochs", {"val": points}, ("epoch", "accuracy"), "", Texts.load("en"), percent=True).svg
    content = [float(number) for number in re.findall(r">([\d.]+)</text>", drawn)]
    assert len(content) >= 2 and all(number == int(number) for number in content)
