"""Tests for the keyboard review page in Chromium and for its server."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from fototeca.collect.catalog import Actor, Catalog, Decision, Edit, ImageRow
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.web import LocalServer, serve_locally
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.apart import read_apart_partners
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.server import ReviewPage
from fototeca.curate.review.session import ReviewSession
from fototeca.curate.review.undo import undo_decisions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.vision.image import decode
from tests.browsers import chromium
from tests.curate.conftest import file_size_limit

pytestmark = pytest.mark.xdist_group("page")
AddImages = Callable[..., list[str]]
GroupImages = Callable[..., None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A Chromium that records its console messages."""
    with chromium() as driver:
        yield driver


@dataclass(frozen=True)
class Served:
    """A running page, its server, and the cookie of a client without a browser."""

    page: ReviewPage
    server: LocalServer
    cookie: str

    @property
    def origin(self) -> str:
        """Origin of the page's requests."""
        return f"http://127.0.0.1:{self.server.port}"


@contextmanager
def serve_page(workspace: Workspace) -> Iterator[Served]:
    """Serve a workspace's review page on a free port."""
    page = ReviewPage(ReviewSession(workspace))
    with serve_locally(page.app, port=0) as server:
        yield Served(page, server, open_address(server.new_address()))


def open_address(url: str) -> str:
    """Exchange the key of an address for the cookie."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=20)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        assert (response.status, response.getheader("Location")) == (303, "/")
        return response.getheader("Set-Cookie", "").partition(";")[0]


def open_queue(browser: Chrome, served: Served, width: int = 1400, queue: str = "unreviewed") -> None:
    """Open the page at a viewport width and select a queue."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(served.server.new_address())
    settle(browser)
    choose = "const box = document.querySelector('#queue'); box.value = arguments[0]; box.dispatchEvent(new Event('change'))"
    browser.execute_script(choose, queue)
    settle(browser)


def settle(browser: Chrome) -> None:
    """Wait until the page is neither saving nor loading."""
    WebDriverWait(browser, 60, 0.02).until(lambda page: page.execute_script("return !busy && overview !== null"))


def press(browser: Chrome, *keys: str) -> None:
    """Send keys one by one, waiting for the page after each."""
    for key in keys:
        ActionChains(browser).send_keys(key).perform()
        settle(browser)


def click(browser: Chrome, selector: str) -> None:
    """Click an element and wait for the page."""
    browser.find_element(By.CSS_SELECTOR, selector).click()
    settle(browser)


def shown_image_id(browser: Chrome) -> str:
    """Return the id of the image on the page."""
    return str(browser.execute_script("return shown.image_id"))


def list_reviews(workspace: Workspace) -> list[Decision]:
    """Return the decisions by people, oldest first."""
    with Catalog.open(workspace) as catalog:
        return [row for row in catalog.decisions.all() if row.is_review]


def image(workspace: Workspace, image_id: str) -> ImageRow:
    """Return the image's row in the catalog."""
    with Catalog.open(workspace) as catalog:
        row = catalog.images.get(image_id)
    assert row
    return row


def test_keyboard_decisions_are_frozen_and_in_the_history(
    browser: Chrome, workspace: Workspace, add_images: AddImages, fototeca: Callable[..., Any]
) -> None:
    """Keyboard decisions are in the manifest, its decision file and the history."""
    ids = sorted(add_images(workspace, ["cat"] * 6 + ["dog"] * 5))
    with serve_page(workspace) as served:
        open_queue(browser, served)
        new_label = "dog" if image(workspace, ids[0]).label == "cat" else "cat"
        press(browser, "2" if new_label == "dog" else "1")
        press(browser, "-", "2")
    rows = {row.image_id: row for row in freeze_version(workspace).manifest.rows}
    assert (rows[ids[0]].label, rows[ids[0]].reviewed, ids[1] in rows) == (new_label, True, False)
    decision_file = (workspace.manifests / "v001.decisions.csv").read_text()
    assert (
        f"{ids[0]},{list_reviews(workspace)[0].time},label,person,tester" in decision_file
        and f"{ids[1]},{list_reviews(workspace)[1].time}" in decision_file
    )
    history = json.loads(fototeca("curate", "history", "--people", "--json", cwd=workspace.root).stdout)
    assert history == [decision.to_json() for decision in list_reviews(workspace)]
    assert [row["new_rejected"] or row["new_label"] for row in history] == [new_label, "drawing"]


def test_keyboard_shortcuts(browser: Chrome, workspace: Workspace, add_images: AddImages) -> None:
    """Digits label, Enter confirms, space skips, - rejects with a reason, Backspace undoes; each decision is saved at once."""
    ids = sorted(add_images(workspace, ["cat"] * 5))
    with serve_page(workspace) as served:
        open_queue(browser, served)
        assert shown_image_id(browser) == ids[0]
        press(browser, "2")
        assert [(row.image_id, row.actor, row.before, row.after) for row in list_reviews(workspace)] == [
            (ids[0], "tester", "cat", "dog")
        ]
        press(browser, Keys.ENTER)
        assert (list_reviews(workspace)[-1].image_id, list_reviews(workspace)[-1].after) == (ids[1], "cat")
        press(browser, " ")
        assert len(list_reviews(workspace)) == 2
        assert shown_image_id(browser) == ids[3]
        press(browser, "-", "2")
        assert (image(workspace, ids[3]).rejected, image(workspace, ids[3]).label) == ("drawing", "cat")
        press(browser, Keys.BACKSPACE)
        assert shown_image_id(browser) == ids[3]
        undone = image(workspace, ids[3])
        assert (undone.status, undone.label, undone.reviewed) == ("accepted", "cat", False)
        press(browser, "-", Keys.ESCAPE)
        assert shown_image_id(browser) == ids[3], "a closed dialog decides nothing"
        assert browser.find_element(By.ID, "reviewed").text == "2 of 5 reviewed · reviewer: tester"
        assert served.page.num_decisions == 4
    assert browser.get_log("browser") == []


def test_decision_for_the_whole_group(
    browser: Chrome, workspace: Workspace, add_images: AddImages, group_images: GroupImages
) -> None:
    """+ applies the decision to every copy in the group that is not rejected; one undo reverts all."""
    ids = add_images(workspace, ["cat", "cat", "dog", "cat"])
    group_images(workspace, [ids[:3]])
    reject_images(workspace, [ids[1]], "off-topic")
    with serve_page(workspace) as served:
        open_queue(browser, served, queue="near-duplicate")
        position = browser.execute_script("return queue.findIndex((entry) => entry.image_id === arguments[0])", ids[0])
        press(browser, *[Keys.ARROW_LEFT] * 3, *[Keys.ARROW_RIGHT] * position, "+", "2")
        assert [image(workspace, name).label for name in ids] == ["dog", "cat", "dog", "cat"]
        assert image(workspace, ids[1]).rejected == "off-topic"
        press(browser, Keys.BACKSPACE)
        assert [image(workspace, name).label for name in ids] == ["cat", "cat", "dog", "cat"]
        assert [image(workspace, name).reviewed for name in ids] == [False, True, False, False]
    assert browser.get_log("browser") == []


def test_keys_for_copies(browser: Chrome, workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """/ declares the image to be no copy of its group, = sets it aside as a copy; one undo reverts each."""
    ids = sorted(add_images(workspace, ["cat"] * 3, start=50))
    group_images(workspace, [ids])
    with serve_page(workspace) as served:
        open_queue(browser, served, queue="near-duplicate")
        assert shown_image_id(browser) == ids[0]
        press(browser, "=")
        assert image(workspace, ids[0]).rejected == "copy"
        press(browser, Keys.BACKSPACE)
        assert (shown_image_id(browser), image(workspace, ids[0]).rejected) == (ids[0], "")
        press(browser, "/")
        assert shown_image_id(browser) == ids[1]
        with Catalog.open(workspace) as catalog:
            assert read_apart_partners(catalog)[ids[0]] == {*ids[1:]}
        press(browser, Keys.BACKSPACE)
        with Catalog.open(workspace) as catalog:
            assert read_apart_partners(catalog) == {}
    assert browser.get_log("browser") == []


def test_stale_decision_is_rejected(browser: Chrome, workspace: Workspace, add_images: AddImages) -> None:
    """A decision about an image that changed since it was shown is rejected and reported."""
    ids = sorted(add_images(workspace, ["cat", "cat"]))
    with serve_page(workspace) as served:
        open_queue(browser, served)
        with Catalog.open(workspace) as catalog:
            catalog.decisions.add(ids[0], Edit.reject("blurry"), by=Actor.person("other"))
        press(browser, "2")
        assert [row.actor for row in list_reviews(workspace)] == ["other"]
        assert "Somebody decided" in browser.find_element(By.ID, "message").text
        assert "rejected: blurry" in browser.find_element(By.ID, "state").text
    assert [line for line in browser.get_log("browser") if "409" not in line["message"]] == []


def test_lost_connection_is_reported(browser: Chrome, workspace: Workspace, add_images: AddImages) -> None:
    """Without a connection, the page reports that nothing was saved and stays at the image."""
    ids = sorted(add_images(workspace, ["cat", "cat"]))
    with serve_page(workspace) as served:
        open_queue(browser, served)
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*"]})
        press(browser, "2")
        assert "NOT saved" in browser.find_element(By.ID, "message").text
        assert shown_image_id(browser) == ids[0]
        assert list_reviews(workspace) == []
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        press(browser, "2")
        assert list_reviews(workspace)[0].image_id == ids[0]
    browser.get_log("browser")


def test_phone_layout_in_spanish(browser: Chrome, workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """At 400 pixels nothing overflows, touch targets are large enough, and taps decide."""
    ids = add_images(workspace, ["cat", "dog", "dog"])
    group_images(workspace, [ids[:2]])
    with serve_page(workspace) as served:
        open_queue(browser, served, width=400, queue="label-conflict")
        click(browser, "#language")
        assert browser.find_element(By.ID, "reject").text == "Rechazar"
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "es"
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
        small = (
            "return [...document.querySelectorAll('button, select')].filter(b => b.offsetHeight && b.offsetHeight < 44).length"
        )
        assert browser.execute_script(small) == 0
        broken = "return [...document.images].filter(image => image.src && image.complete && !image.naturalWidth).length"
        assert browser.execute_script(broken) == 0
        first = shown_image_id(browser)
        click(browser, "#labels button:nth-child(2)")
        assert (list_reviews(workspace)[-1].image_id, list_reviews(workspace)[-1].after) == (first, "dog")
        click(browser, "#reject")
        click(browser, "#reasons button[value=off-topic]")
        assert list_reviews(workspace)[-1].after == "rejected: off-topic"
        click(browser, "#undo")
        click(browser, "#undo")
        assert not any(image(workspace, name).reviewed or image(workspace, name).rejected for name in ids)
        click(browser, "#language")
    assert browser.get_log("browser") == []


def test_multi_label_keys(browser: Chrome, tmp_path: Path, add_images: AddImages) -> None:
    """Digits toggle labels and Enter saves them; an empty set is allowed."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog", "fox"], task="multi", target=1)
    ids = sorted(add_images(workspace, ["cat", "cat|dog"]))
    before = image(workspace, ids[0]).label
    with serve_page(workspace) as served:
        open_queue(browser, served)
        press(browser, "3")
        assert list_reviews(workspace) == []
        press(browser, Keys.ENTER)
        assert image(workspace, ids[0]).label == f"{before}|fox"
        label = image(workspace, ids[1]).label
        press(browser, *("12" if "dog" in label else "1"), Keys.ENTER)
        assert image(workspace, ids[1]).label == ""
    assert browser.get_log("browser") == []


def test_languages_have_the_same_texts(browser: Chrome, workspace: Workspace) -> None:
    """Both languages have the same texts and placeholders; an empty workspace shows an empty queue."""
    with serve_page(workspace) as served:
        open_queue(browser, served)
        assert browser.find_element(By.ID, "empty").text == "This queue is empty."
        english, spanish = browser.execute_script("return [TEXT.en, TEXT.es]")
    assert english.keys() == spanish.keys()
    gaps = [{key: set(re.findall(r"{(\w+)}", text)) for key, text in texts.items()} for texts in (english, spanish)]
    assert gaps[0] == gaps[1]


def test_custom_reason_is_shown_unchanged(browser: Chrome, workspace: Workspace, add_images: AddImages) -> None:
    """Custom reasons are not translated; built-in reasons are."""
    reasons = ["constructor", "other", "off-topic"]
    ids = add_images(workspace, ["cat"] * 3)
    for image_id, reason in zip(ids, reasons, strict=True):
        reject_images(workspace, [image_id], reason)
    with serve_page(workspace) as served:
        open_queue(browser, served, queue="category:cat")
        click(browser, "#language")
        chips = {}
        for _ in ids:
            chips[shown_image_id(browser)] = browser.find_element(By.CSS_SELECTOR, "#chips .chip").text
            press(browser, " ")
        click(browser, "#language")
    assert [chips[image_id] for image_id in ids] == ["rechazada: constructor", "rechazada: other", "rechazada: fuera de tema"]


def test_enter_without_a_label_decides_nothing(browser: Chrome, workspace: Workspace, add_images: AddImages) -> None:
    """The page asks for a label and saves no decision."""
    add_images(workspace, [""])
    with serve_page(workspace) as served:
        open_queue(browser, served)
        press(browser, Keys.ENTER)
        assert browser.find_element(By.ID, "message").text == "Choose a label first."
    assert list_reviews(workspace) == []


def send_request(served: Served, path: str, headers: dict[str, str] | None = None, body: object = None) -> tuple[int, bytes]:
    """Send a request without a browser and return the status and body. A POST looks like one of the page."""
    own = {"Cookie": served.cookie}
    if body is not None:
        own |= {"Origin": served.origin, "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)) as connection:
        data = None if body is None else json.dumps(body)
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        connection.request("GET" if body is None else "POST", path, data, sent)
        response = connection.getresponse()
        return response.status, response.read()


def test_foreign_requests_are_rejected(workspace: Workspace, add_images: AddImages) -> None:
    """Requests without the cookie, with another host name or from another site are rejected."""
    (name,) = add_images(workspace, ["cat"])
    states = {name: "cat"}
    decision = {"image_id": name, "shown": states, "group": False, "label": "dog"}
    with serve_page(workspace) as served:
        for path in ("/", "/overview", "/queue?name=unreviewed", f"/details/{name}", f"/image/{name}", f"/thumbnail/{name}"):
            assert send_request(served, path, {"Cookie": ""})[0] == 403, path
            assert send_request(served, path, {"Cookie": f"{served.cookie}x"})[0] == 403, path
            assert send_request(served, path, {"Host": f"evil.example:{served.server.port}"})[0] == 403, path
            assert send_request(served, path, {"Origin": "https://evil.example"})[0] == 403, path
            assert send_request(served, path)[0] == 200, path
        for headers in (
            {"Cookie": ""},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": ""},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        ):
            assert send_request(served, "/decide", headers, decision)[0] == 403
        for nonsense in ({}, [], {**decision, "shown": 1}, {**decision, "group": "yes"}, {"decisions": ["x"]}):
            assert send_request(served, "/decide", {}, nonsense)[0] == 400
        for nonsense in ({"decisions": ["x"]}, {"decisions": [10**30]}):
            assert send_request(served, "/undo", {}, nonsense)[0] == 400
        assert send_request(served, "/decide", {}, {**decision, "image_id": "\ud800"})[0] == 400
        assert send_request(served, "/decide", {}, {**decision, "label": "wolf"})[0] == 400
        assert send_request(served, "/decide", {"Content-Length": "99999999"}, decision)[0] == 413
        assert list_reviews(workspace) == []
        assert send_request(served, "/decide", {}, decision)[0] == 200
    assert [row.after for row in list_reviews(workspace)] == ["dog"]


def test_only_stored_images_are_served(workspace: Workspace, add_images: AddImages, tmp_path: Path) -> None:
    """Only files in the store are served; missing and invalid images give an error status."""
    first, second = add_images(workspace, ["cat", "cat"])
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    with Catalog.open(workspace) as catalog, catalog.transaction():
        sql = catalog.database.connection
        sql.execute("UPDATE images SET path = ? WHERE image_id = ?", ("../secret.png", first))
    with serve_page(workspace) as served:
        assert send_request(served, f"/image/{second}")[0] == 200
        names = (first, "../../fototeca.toml", "..%2f..%2ffototeca.toml", "%2e%2e", "x" * 64, "")
        for path in [f"/{kind}/{name}" for kind in ("image", "thumbnail") for name in names]:
            status, body = send_request(served, path)
            assert status in (400, 404), path
            assert b"secret" not in body.replace(b"secret.png", b"")


def test_people_see_what_the_models_see(workspace: Workspace, tmp_path: Path) -> None:
    """White glyphs stand on black, an animation is still, HEIC is shown; other images are sent as they are."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    folder = tmp_path / "in"
    folder.mkdir()
    glyph = Image.new("RGBA", (96, 96), (255, 255, 255, 0))
    glyph.paste((255, 255, 255, 255), (20, 20, 60, 60))
    glyph.save(folder / "glyph.png")
    Image.linear_gradient("L").convert("RGB").save(folder / "phone.heic", "HEIF")
    Image.new("RGB", (96, 80)).save(
        folder / "fade.gif", save_all=True, append_images=[Image.radial_gradient("L").resize((96, 80))]
    )
    Image.radial_gradient("L").save(folder / "plain.png")
    collect_folder(workspace, folder, FolderOptions(category="cat"), FetchOptions())
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
    with serve_page(workspace) as served:
        for row in images:
            status, body = send_request(served, f"/image/{row.image_id}")
            assert status == 200
            with Image.open(io.BytesIO(body)) as shown:
                seen = np.asarray(decode(workspace.root / row.path), float)
                assert np.abs(np.asarray(shown.convert("RGB"), float) - seen).mean() < 3
                assert shown.format == ("JPEG" if row.normalized or row.format == "HEIF" else row.format)


def test_saved_decisions_survive_a_kill(workspace: Workspace, add_images: AddImages) -> None:
    """The page needs no FiftyOne database, and a saved decision survives SIGKILL."""
    (name,) = add_images(workspace, ["cat"])
    environment = {**os.environ, "FIFTYONE_DATABASE_URI": "mongodb://127.0.0.1:1/"}
    arguments = ["curate", "review", "--web", "--no-browser", "--port", "0"]
    command = [sys.executable, "-m", "fototeca", *arguments]
    process = subprocess.Popen(command, cwd=workspace.root, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = process.stderr.readline().strip()
        cookie, url = open_address(address), urlsplit(address)
        connection = http.client.HTTPConnection(url.netloc, timeout=20)
        headers = {"Cookie": cookie, "Origin": f"http://{url.netloc}", "Content-Type": "application/json"}
        decision = {"image_id": name, "shown": {name: "cat"}, "group": False, "reject": "off-topic"}
        connection.request("POST", "/decide", json.dumps(decision), headers)
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stderr:
            process.stderr.close()
    assert image(workspace, name).rejected == "off-topic"


def test_disk_errors_are_reported(workspace: Workspace, add_images: AddImages) -> None:
    """A full disk, a missing image and a damaged catalog give error responses, and the server continues."""
    name, missing_id = add_images(workspace, ["cat", "dog"])
    decision = {"image_id": name, "shown": {name: "cat"}, "group": False, "label": "dog"}
    (workspace.root / image(workspace, missing_id).path).unlink()
    with serve_page(workspace) as served:
        with file_size_limit(1):
            status, body = send_request(served, "/decide", {}, decision)
        assert (status, b"free some disk space" in body) == (400, True)
        assert list_reviews(workspace) == []
        assert send_request(served, f"/image/{missing_id}")[0] == 400
        assert send_request(served, "/decide", {}, decision)[0] == 200
        for file in workspace.catalog.parent.glob(f"{workspace.catalog.name}*"):
            file.write_bytes(b"junk" * 4096)
        status, body = send_request(served, "/overview")
        assert (status, b"cannot be read" in body) == (400, True)


def test_undo_restores_the_previous_state(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """Undo restores label, rejection, restoration and review; only one's own latest decision can be undone."""
    representative, duplicate = sorted(add_images(workspace, ["cat", "cat"]))
    group_images(workspace, [[representative, duplicate]])
    before = [image(workspace, name) for name in (representative, duplicate)]
    decisions = [
        *label_images(workspace, [representative], "dog"),
        *reject_images(workspace, [representative], "drawing"),
        *restore_images(workspace, [duplicate]),
        *reject_images(workspace, [duplicate], "blurry"),
        *label_images(workspace, [representative], "cat"),
    ]
    with pytest.raises(FototecaError, match="latest decision"):
        undo_decisions(workspace, [decisions[0].decision_id])
    for decision in reversed(decisions):
        undo_decisions(workspace, [decision.decision_id])
    after = [image(workspace, name) for name in (representative, duplicate)]
    assert after[0].group == after[1].group != "", "undoing the restoration groups the copies again"
    assert [replace(row, group=before[0].group, component="") for row in after] == before
    with pytest.raises(FototecaError, match="latest decision"):
        undo_decisions(workspace, [decisions[-1].decision_id])
    with Catalog.open(workspace) as catalog:
        other = catalog.decisions.add(representative, Edit.relabel("dog"), by=Actor.person("other"))
    assert other is not None
    with pytest.raises(FototecaError, match="latest decision"):
        undo_decisions(workspace, [other.decision_id])


def test_version_with_an_undo_is_rebuilt(workspace: Workspace, add_images: AddImages) -> None:
    """An undone review is neither in the manifest nor in its rebuild."""
    ids = add_images(workspace, ["cat", "dog"] * 10)
    first = label_images(workspace, ids[:4], "dog")
    undo_decisions(workspace, [row.decision_id for row in first[:2]])
    frozen = freeze_version(workspace)
    label_images(workspace, ids, "cat")
    reviewed = {row.image_id for row in frozen.manifest.rows if row.reviewed}
    assert reviewed == set(ids[2:4])
    assert rebuild_version(workspace, "v001", None)
