"""Embedding measures equal scikit-learn; the page shows the image under the pointer in a browser."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from fototeca.analysis.features import embedding as embed
from fototeca.analysis.features.embedding import compute_embedding, embed_run, principal_components, umap
from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow
from tests.browsers import chromium

pytestmark = pytest.mark.xdist_group("report")


ALONE = """const spots = data.coordinates['t-SNE'].map(position);
const away = spots.map((a, i) => Math.min(...spots.map((b, k) => i === k ? Infinity : Math.hypot(a[0] - b[0], a[1] - b[1]))));
const lonely = away.indexOf(Math.max(...away));
const box = plot.getBoundingClientRect(), scale = box.width / plot.width;
return [lonely, spots[lonely][0] * scale - box.width / 2, spots[lonely][1] * scale - box.height / 2]"""
"""Number of the point that is furthest from all others, and its place from the middle of the plot."""


def rows(n: int) -> list[ManifestRow]:
    """Images of three labels in turn, every fifth of them of validation."""
    first = ManifestRow("", "", "", "train", "", 9, 9, "0" * 16, "drawn", "", "", "", "MIT", True)
    return [
        replace(first, image_id=f"{k:064x}", label="abc"[k % 3], split="val" if k % 5 == 0 else "train", group=str(k))
        for k in range(n)
    ]


def features(n: int) -> np.ndarray:
    """(n, 12) float32: three clouds that overlap."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1.2, (3, 12))
    return (centres[np.arange(n) % 3] + rng.normal(size=(n, 12)) + 3).astype(np.float32)


def test_components_knn_and_silhouette_equal_scikit_learn() -> None:
    """PCA up to its signs, shares of variance, the majority of ten cosine neighbours, the silhouette by cosine."""
    values, of = features(90), rows(90)
    components, explained = principal_components(values, 5)
    theirs = PCA(5).fit(values)
    np.testing.assert_allclose(np.abs(components), np.abs(theirs.transform(values)), atol=1e-4)
    np.testing.assert_allclose(explained, theirs.explained_variance_ratio_, atol=1e-6)
    found = compute_embedding(of, values)
    assert set(found.places) == {"pca", "tsne"}
    labels = np.array([row.label for row in of])
    train = np.array([row.split == "train" for row in of])
    judge = KNeighborsClassifier(10, metric="cosine").fit(values[train], labels[train])
    assert found.knn_accuracy == pytest.approx(judge.score(values[~train], labels[~train]))
    assert found.silhouette == pytest.approx(silhouette_score(values, labels, metric="cosine"), abs=1e-5)


def test_equal_features_are_an_error() -> None:
    """A collapsed network is reported."""
    with pytest.raises(FototecaError, match="all features are equal"):
        compute_embedding(rows(12), np.ones((12, 8), np.float32))


def test_infinite_features_are_an_error() -> None:
    """A diverged model is reported."""
    with pytest.raises(FototecaError, match="not numbers"):
        compute_embedding(rows(12), np.where(np.eye(12, 8) > 0, np.nan, 1).astype(np.float32))


def test_csv_distinguishes_no_prediction_from_no_category() -> None:
    """Both have an empty `predicted` column; `has_prediction` differs."""
    found = compute_embedding(rows(30), features(30))
    said = [None, "", *["a"] * 28]
    told = list(csv.DictReader(embed._csv(found, said).splitlines()))
    assert [(row["has_prediction"], row["predicted"]) for row in told[:3]] == [("no", ""), ("yes", ""), ("yes", "a")]


def test_umap_separates_clusters() -> None:
    """Clusters stay apart and the result is deterministic, if UMAP is installed."""
    pytest.importorskip("umap")
    values = features(60)
    values[np.arange(60) % 3 == 1] += 12
    places = umap(values.astype(np.float64))
    assert places.shape == (60, 2)
    far = np.arange(60) % 3 == 1
    gap = np.linalg.norm(places[far].mean(axis=0) - places[~far].mean(axis=0))
    assert gap > 2 * places[far].std(axis=0).max()
    np.testing.assert_array_equal(places, umap(values.astype(np.float64)))


def test_page_shows_the_image_under_the_pointer(
    studied: tuple[Workspace, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network: hovering shows image, label, prediction, error and split; colours and places can be chosen."""
    monkeypatch.setattr(embed, "find_spec", lambda name: None)  # UMAP's compiling takes longer than the rest
    workspace, runs = studied
    facts = embed_run(workspace, runs[0], output=tmp_path)
    page = tmp_path / "embedding.html"
    assert str(page) in facts["paths"]
    with (tmp_path / "embedding.csv").open() as file:
        told = list(csv.DictReader(file))
    assert {row["split"] for row in told} == {"train", "val"}
    assert all(row["predicted"] in ("red", "green", "olive") for row in told)
    assert "http" not in page.read_text(encoding="utf-8").replace("http-equiv", "")
    with chromium("--window-size=1200,1400") as browser:
        browser.get(page.as_uri())
        lonely, x, y = browser.execute_script(ALONE)
        plot = browser.find_element(By.ID, "plot")
        ActionChains(browser).move_to_element_with_offset(plot, round(x), round(y)).perform()
        words = browser.find_element(By.ID, "details").text
        row = told[lonely]
        right = "right" if row["label"] == row["predicted"] else "wrong"
        shown = f"label: {row['label']} · prediction: {row['predicted']} · error: {right} · split: {row['split']}"
        with Catalog.open(workspace) as catalog:
            name = catalog.provenance.file_names()[row["image_id"]]
        assert words == f"{name} · {shown}"
        assert browser.execute_script("return document.getElementById('image').naturalWidth") == 72
        Select(browser.find_element(By.ID, "coloring")).select_by_visible_text("split")
        Select(browser.find_element(By.ID, "method")).select_by_visible_text("PCA")
        assert [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#legend li")] == ["train", "val"]
        browser.find_element(By.CSS_SELECTOR, "#legend button").click()
        assert browser.execute_script("return [...hidden]") == [0]
        assert browser.get_log("browser") == []
