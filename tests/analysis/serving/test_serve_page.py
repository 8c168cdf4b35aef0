"""The page of served runs in Chromium, with files, an address and a camera; the command as a process."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from fototeca.analysis.predict.predict import predict_images
from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace
from tests.analysis.serving.test_api import noise, serving
from tests.browsers import chromium

pytestmark = pytest.mark.xdist_group("page")
Studied = tuple[Workspace, list[str]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A Chromium whose camera shows a test pattern, and that grants its use."""
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--lang=en") as driver:
        yield driver


def wait_for_cards(browser: Chrome, number: int) -> None:
    """Wait until this many images have been answered."""
    WebDriverWait(browser, 60, 0.02).until(lambda page: len(page.find_elements(By.TAG_NAME, "article")) == number)


def set_width(browser: Chrome, width: int) -> None:
    """Set the width of the viewport in CSS pixels."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_files_camera_and_feedback(browser: Chrome, copied: Studied, tmp_path: Path) -> None:
    """A file and a camera picture are predicted with maps; a corrected label goes to the catalog; both languages; no overflow."""
    workspace, runs = copied
    path = tmp_path / "field.png"
    path.write_bytes(noise(5, (200, 150)))
    expected = predict_images(workspace, runs[0], [path])[0]
    with serving(copied, runs=2) as site:
        set_width(browser, 1400)
        browser.get(site.server.new_address())
        browser.execute_script("language = 'en'; translate()")
        browser.find_element(By.ID, "file").send_keys(str(path))
        wait_for_cards(browser, 1)
        card = browser.find_element(By.TAG_NAME, "article")
        assert card.find_element(By.CLASS_NAME, "answer").text.startswith(expected.label or "none")
        assert len(card.find_elements(By.CLASS_NAME, "map")) == 2 and "field.png" in card.text
        widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
        assert widths == [200, 32, 32]

        browser.find_element(By.ID, "open-camera").click()
        WebDriverWait(browser, 60, 0.02).until(lambda page: page.find_element(By.ID, "shoot").is_displayed())
        browser.find_element(By.ID, "shoot").click()
        wait_for_cards(browser, 2)
        assert "camera picture 1" in browser.find_element(By.TAG_NAME, "article").text
        browser.find_element(By.ID, "close-camera").click()

        field = browser.find_elements(By.TAG_NAME, "article")[1]
        Select(field.find_element(By.TAG_NAME, "select")).select_by_value("olive")
        button = field.find_element(By.CSS_SELECTOR, "form button")
        assert not button.is_enabled(), "not without consent"
        field.find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
        button.click()
        WebDriverWait(browser, 60, 0.02).until(lambda page: "Added as olive" in page.page_source)
        browser.find_element(By.ID, "language").click()
        text = browser.find_element(By.TAG_NAME, "body").text
        assert "Añadida como olive" in text and "Regiones a favor de" in text and "Added" not in text
        for width in (1400, 400):
            set_width(browser, width)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    with Catalog.open(workspace) as catalog:
        (image,) = [one for one in catalog.images.all() if one.label == "olive" and one.reviewed]
    assert (workspace.root / image.path).read_bytes() == path.read_bytes()


def test_languages_have_the_same_texts(browser: Chrome, studied: Studied) -> None:
    """Both languages have the same keys and placeholders."""
    with serving(studied) as site:
        browser.get(site.server.new_address())
        gaps = "return [TEXT.en, TEXT.es].map(texts => Object.entries(texts).map(([k, v]) => [k, ...(v.match(/{\\w+}/g) || [])]))"
        english, spanish = browser.execute_script(gaps)
    assert english == spanish


def test_the_command(studied: Studied) -> None:
    """A program with the header of the private file is answered; Ctrl-C ends the command, which removes the file."""
    workspace, runs = studied
    command = [sys.executable, "-m", "fototeca", "analysis", "serve", runs[0], "--port", "0", "--no-browser", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=workspace.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if line.startswith("API: "))
            (path,) = workspace.data.glob("serve-*.header")
            assert f"-H @{path} " in line and stat.S_IMODE(path.stat().st_mode) == 0o600
            name, _, value = path.read_text().strip().partition(": ")
            assert value not in line and value not in " ".join(process.args)  # type: ignore[arg-type]
            url = line.split()[-1]
            response = httpx.post(url, content=noise(1), headers={name: value}, timeout=60, trust_env=False)
            assert response.json()["images"][0]["predictions"][0]["run"] == runs[0]
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0 and json.loads(out) == {"added": 0}
    assert not path.exists()
