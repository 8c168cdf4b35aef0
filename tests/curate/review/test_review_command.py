"""Tests for `curate review` as a process of its own: its door, its App in Chromium, its database, kill and Ctrl-C."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from PIL import Image
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from fototeca.collect.store import store_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.review.app_server import find_image_file
from fototeca.curate.review.running import open_dataset
from tests.browsers import chromium
from tests.curate.conftest import store_labeled_images
from tests.curate.review.running_app import RunningReview, own_database_environment, run_review, wait_until

pytestmark = pytest.mark.xdist_group("fiftyone")
LABELS = ["cat", "cat", "dog", "dog", "cat"]
SECRET = b"fototeca-secret-of-this-machine"


@pytest.fixture(scope="module")
def ids() -> list[str]:
    """Ids of the images of the review."""
    return []


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of mongod's files."""
    return tmp_path_factory.mktemp("database")


@pytest.fixture(scope="module")
def review(ids: list[str], data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReview]:
    """A review that runs for all tests of this module; its App is open."""
    workspace = create_workspace(tmp_path_factory.mktemp("review") / "w", ["cat", "dog"], target=1)
    ids += store_labeled_images(workspace, LABELS)
    with run_review(workspace, data_folder) as running:
        running.open()
        yield running


@pytest.fixture
def secrets(review: RunningReview, tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Files that nobody may read: elsewhere, in the workspace, and in the store, where a stranger may have put them."""
    name = "5ec" + "0" * 61
    folder, linked = review.workspace.images / "5e", review.workspace.images / "af"
    paths = {"text": tmp_path / "secret.txt", "image": tmp_path / "5e" / f"{name}.png", "toml": review.workspace.data / "s.toml"}
    paths |= {"html": folder / f"{name}.html", "svg": folder / f"{name}.svg", "other name": folder / "notes.png"}
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(SECRET)
    paths |= {"link": folder / f"{name}.jpg", "linked folder": linked / f"af{name[2:]}.png"}
    (tmp_path / f"af{name[2:]}.png").write_bytes(SECRET)
    paths["link"].symlink_to(paths["text"])
    linked.symlink_to(tmp_path)
    yield paths
    shutil.rmtree(folder)
    linked.unlink()


def test_the_door(review: RunningReview, ids: list[str]) -> None:
    """No route answers without the cookie, under another name, to another site, or to a key that was used."""
    media = f"/media?filepath={quote(review.sample(ids[0])['filepath'])}"
    routes = [("GET", path) for path in ("/", media, "/fiftyone", "/plugins", "/plugins/x", "/favicon.ico", "/assets/x.js")]
    routes += [("POST", path) for path in ("/graphql", "/operators", "/operators/execute", "/geo", "/embeddings/plot", "/events")]
    own = f"127.0.0.1:{review.port}"
    for method, path in routes:
        for headers in (
            {"Cookie": ""},
            {"Cookie": f"fototeca-{review.port}=guess"},
            {"Host": f"attacker.example:{review.port}", "Origin": f"http://attacker.example:{review.port}"},
            {"Origin": "http://attacker.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            status, answer, body = review.ask(method, path, {}, {"Host": own, **headers})
            assert status in (403, 429) and "access-control-allow-origin" not in answer, (method, path, headers, body)
    address = review.file["url"]
    path = address[address.index("/open") :]
    status, headers, _ = review.ask("GET", path, headers={"Cookie": ""})
    assert status == 303 and "httponly; samesite=strict" in headers["set-cookie"].lower()
    assert headers["location"] == "/start"
    assert review.ask("GET", path, headers={"Cookie": ""})[0] in (403, 429), "a key opens one browser"
    assert review.file["url"] != address, "the file has a new one"
    listening = psutil.Process(review.process.pid).net_connections("inet")
    assert {(link.laddr.ip, link.laddr.port) for link in listening if link.status == "LISTEN"} == {("127.0.0.1", review.port)}


def test_media_gives_images_of_the_workspace_only(review: RunningReview, ids: list[str], secrets: dict[str, Path]) -> None:
    """The stored images and their thumbnails are given; nothing else is, whatever way the path is written."""
    stored = review.sample(ids[0])
    for name in ("filepath", "thumbnail_path"):
        status, headers, body = review.ask("GET", f"/media?filepath={quote(stored[name])}")
        assert (status, body) == (200, Path(stored[name]).read_bytes())
        assert (
            headers["content-type"] == ("image/png" if name == "filepath" else "image/jpeg")
            and headers["x-content-type-options"] == "nosniff"
        )
    file = io.BytesIO()
    Image.linear_gradient("L").convert("CMYK").save(file, "TIFF")
    path = store_image(review.workspace, file.getvalue(), "TIFF")[1]
    status, headers, body = review.ask("GET", f"/media?filepath={quote(str(path))}")
    assert (status, headers["content-type"]) == (200, "image/jpeg"), "browsers show no TIFF"
    assert Image.open(io.BytesIO(body)).size == (256, 256)
    good = stored["filepath"]
    inside = Path(good).parent
    paths = [str(path) for path in secrets.values()]
    paths += ["/etc/passwd", str(review.workspace.catalog), str(review.workspace.config), str(inside), "", "."]
    paths += [f"{inside}/../../../s.toml", f"{good}/../../../../s.toml", f"file://{secrets['text']}", f"{good}\0.txt"]
    paths += [f"/proc/self/root{secrets['text']}", f"/proc/{review.process.pid}/environ", "/proc/self/cwd/fototeca.toml"]
    for path in paths:
        for query in (
            f"filepath={quote(path)}",
            f"filepath={quote(path, safe='')}",
            f"filepath={quote(good)}&filepath={quote(path)}",
        ):
            status, _, body = review.ask("GET", f"/media?{query}")
            assert status == 404 and SECRET not in body, query
    for method, path in (("POST", "/media"), ("GET", "//media"), ("GET", "/media/"), ("GET", "/x/media"), ("HEAD", "/media")):
        status, headers, body = review.ask(method, f"{path}?filepath={quote(str(secrets['text']))}")
        assert SECRET not in body and headers.get("content-length") != str(len(SECRET)), (method, path)


def test_no_route_reads_or_writes_files(review: RunningReview, ids: list[str], secrets: dict[str, Path]) -> None:
    """Static files, plugins, operators, GraphQL and sample routes give no file, list no folder and write none."""
    secret = quote(str(secrets["text"]))
    climbs = ["/" + "../" * 30, "/" + "%2e%2e/" * 30, "/" + "..%2f" * 30, "/assets/" + "%2e%2e%2f" * 30, "/plugins/" + "../" * 30]
    climbs += ["/plugins/" + "..%2f" * 30, "/plugins/" + "%2e%2e/" * 30, "/datasets/" + "..%2f" * 30, "/datasets/x/" + "../" * 30]
    for climb in climbs:
        for rest in (secret.lstrip("/"), secret):
            assert SECRET not in review.ask("GET", climb + rest)[2]
    for path in (f"/screenshot/x.html?proxy={secret}", "/runtime-assets/models/sam2/..", "/frames", "/camera"):
        assert review.ask("GET", path)[0] in (307, 404, 405), "not served"
    for uri in ("@voxel51/operators/list_files", "list_files"):
        body = {"operator_uri": uri, "dataset_name": review.file["dataset"], "params": {"path": str(secrets["text"].parent)}}
        for route in ("/operators/execute", "/operators/execute/generator", "/operators/resolve-type"):
            status, _, answer = review.ask("POST", route, body)
            assert status in (403, 404) and b"secret.txt" not in answer
    sample = review.sample(ids[4])
    address = f"/dataset/{review.dataset()['_id']}/sample/{sample['_id']}"
    status, _, _ = review.ask("POST", f"{address}/commit-mask", {"field": "ground_truth", "detection_id": "x"})
    assert status in (307, 404, 405)
    for path in (secrets["text"], secrets["image"]):
        review.change(ids[4], "filepath", str(path))
        assert review.ask("GET", f"/media?filepath={quote(str(path))}")[0] == 404
        node = "... on ImageSample { id aspectRatio sample }"
        edges = f"... on SampleItemStrConnection {{ edges {{ node {{ {node} }} }} }}"
        query = f"query($d: String!, $v: BSONArray!) {{ samples(dataset: $d, view: $v, first: 20) {{ {edges} }} }}"
        answer = review.ask("POST", "/graphql", {"query": query, "variables": {"d": review.file["dataset"], "v": []}})[2]
        assert b'"edges": [{' in answer and SECRET not in answer
    review.change(ids[4], "filepath", sample["filepath"])


def edit(review: RunningReview, image_id: str, path: str, value: str, modified: str = "") -> tuple[int, dict[str, str], bytes]:
    """Change a field of a sample as the App does; `modified`: time of the sample that the App has."""
    sample = review.sample(image_id)
    headers = {
        "Content-Type": "application/json-patch+json",
        "If-Match": modified or sample["last_modified_at"].isoformat(),
    }
    address = f"/dataset/{review.dataset()['_id']}/sample/{sample['_id']}"
    return review.ask("PATCH", address, [{"op": "replace", "path": path, "value": value}], headers)


def test_edit_through_the_app_server(review: RunningReview, ids: list[str]) -> None:
    """A label is changed through the App's API; a request for an older state of the sample is rejected."""
    modified = review.sample(ids[1])["last_modified_at"].isoformat()
    assert edit(review, ids[1], "/ground_truth/label", "dog", modified)[0] == 200
    assert review.sample(ids[1])["ground_truth"]["label"] == "dog"
    assert edit(review, ids[1], "/ground_truth/label", "cat", modified)[0] == 412


def click_until(browser: WebDriver, xpath: str, is_done: Callable[[], object]) -> None:
    """Click until `is_done` returns true; the App ignores clicks while it renders, which is slow on some machines."""

    def attempt(_: WebDriver) -> bool:
        browser.find_element(By.XPATH, xpath).click()
        return bool(WebDriverWait(browser, 5, 0.2, [WebDriverException]).until(lambda _: is_done()))

    WebDriverWait(browser, 60, 0.2, [WebDriverException]).until(attempt)


def choose(browser: WebDriver, address: str, label: str, is_done: Callable[[], object]) -> None:
    """Open an image in the App and choose its label, reloading the page up to twice if the App does not respond."""
    annotate, field = "//*[@data-cy='annotate']", "//*[starts-with(@data-cy, 'annotate-label-')]"
    choice = f"//label[text()='{label}']"
    for last in (False, False, True):
        browser.get(address)
        try:
            click_until(browser, annotate, lambda: browser.find_element(By.XPATH, field))
            click_until(browser, field, lambda: browser.find_element(By.XPATH, choice))
            click_until(browser, choice, is_done)
        except WebDriverException:
            if last and not is_done():
                raise
        if is_done():
            return


@pytest.mark.timeout(700)
def test_app_in_chromium(review: RunningReview, ids: list[str]) -> None:
    """The App shows the grid and changes a label by clicking; it asks no other host, and its address works once."""
    url = review.file["url"]
    with chromium("--window-size=1600,1000") as browser:
        browser.get(url)
        WebDriverWait(browser, 60, 0.2).until(lambda _: browser.find_elements(By.CSS_SELECTOR, "[data-cy='looker'], canvas"))
        address = f"http://127.0.0.1:{review.port}/datasets/{review.file['dataset']}"
        view = browser.current_url.removeprefix(f"{address}?view=")
        assert re.fullmatch(r"\d+-[a-z-]+", view), "the first queue with images, and no key"
        assert "Accelerate your workflow" not in browser.page_source
        choose(
            browser,
            f"{address}?id={review.sample(ids[0])['_id']}",
            "dog",
            lambda: review.sample(ids[0])["ground_truth"]["label"] == "dog",
        )
        browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
        names = "return performance.getEntriesByType('resource').filter(e => e.responseStatus).map(e => new URL(e.name).host)"
        assert set(browser.execute_script(names)) <= {f"127.0.0.1:{review.port}", ""}
        problems = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not "\n".join(text for text in problems if "fonts.googleapis.com" not in text)
    with chromium() as other:
        other.get(url)
        assert "newest address" in other.page_source


def test_a_notebook_opens_the_dataset(review: RunningReview, ids: list[str], data_folder: Path) -> None:
    """Another process of this user opens the dataset by `data/review.json`, which nobody else can read, and edits it."""
    file = review.workspace.data / "review.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code = (
        "import fiftyone, fototeca as ft\n"
        f"dataset = ft.Workspace.open({str(review.workspace.root)!r}).fiftyone_dataset()\n"
        f"sample = dataset.one({{'image_id': {ids[3]!r}}})\n"
        "sample.tags = ['reviewed']\nsample.save()\nprint(dataset.name, len(dataset))"
    )
    environment = own_database_environment(data_folder)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == f"{review.file['dataset']} 5", done.stderr
    assert review.sample(ids[3])["tags"] == ["reviewed"]


def test_the_port_is_in_use(review: RunningReview, fototeca: Callable[..., Any], tmp_path: Path) -> None:
    """A second review at the same port says so at once, before FiftyOne is loaded."""
    create_workspace(tmp_path / "v", ["cat", "dog"])
    run = fototeca("curate", "review", "--no-browser", "--port", str(review.port), cwd=tmp_path / "v")
    assert run.returncode == 4
    assert run.stderr == f"fototeca: port {review.port} is in use; choose another port with --port\n"


@pytest.mark.timeout(700)
def test_kill_and_ctrl_c(review: RunningReview, ids: list[str], data_folder: Path, fototeca: Callable[..., Any]) -> None:
    """A killed review takes mongod along; the next one recovers, keeps the edits, and applies them on Ctrl-C."""
    workspace = review.workspace
    review.change(ids[0], "ground_truth.label", "dog")
    mongods, socket = review.mongods, review.socket
    assert len(mongods) == 2
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600 and stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert not [link for process in mongods for link in process.net_connections("inet")]
    review.process.kill()
    wait_until(lambda: not [process for process in mongods if process.is_running()])
    assert not socket.parent.exists()
    with run_review(workspace, data_folder) as second:
        assert second.sample(ids[0])["ground_truth"]["label"] == "dog"
        second.change(ids[2], "ground_truth.label", "cat")
        mongods = second.mongods
        out, err = second.interrupt()
    assert second.process.returncode == 0 and out.endswith(" decisions\n"), err
    assert not (workspace.data / "review.json").exists()
    wait_until(lambda: not [process for process in mongods if process.is_running()])
    store_labeled_images(workspace, ["cat"], start=10)
    assert json.loads(fototeca("curate", "freeze", "--json", cwd=workspace.root).stdout)["version"] == "v001"
    with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
        rows = {row["image_id"]: (row["label"], row["reviewed"]) for row in csv.DictReader(file)}
    assert (rows[ids[0]], rows[ids[2]]) == (("dog", "yes"), ("cat", "yes"))
    last = json.loads(fototeca("curate", "history", ids[0], "--json", cwd=workspace.root).stdout)[-1]
    assert (last["actor"], last["old_label"], last["new_label"], last["reason"]) == ("tester", "cat", "dog", "FiftyOne App")


def test_a_review_file_of_somebody_else(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A workspace that comes with a `data/review.json` leads to no database of its maker."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("FIFTYONE_DATABASE_URI")
    contents = ['{"database_uri": "mongodb://attacker.example/"}', "[]", "{", "", '{"database_uri": 5}']
    for content in contents:
        (workspace.data / "review.json").write_text(content)
        with pytest.raises(FototecaError, match="no review is running"):
            open_dataset(workspace)
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:1/")
    (workspace.data / "review.json").write_text(contents[0])
    with pytest.raises(FototecaError, match="another database"):
        open_dataset(workspace)


def test_image_files(tmp_path: Path) -> None:
    """Only files with the names of the store are found, in either folder, also through a linked folder; circles are not."""
    name = "ab" + "1" * 62 + ".jpg"
    for place in ("images/ab", "other/ab"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / name).touch()
    (tmp_path / "data").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "circle").symlink_to(tmp_path / "images" / "circle")
    folders = (tmp_path / "data", tmp_path / "thumbnails")
    expected = (tmp_path / "images" / "ab" / name).resolve()
    assert find_image_file(folders, str(tmp_path / "data" / "ab" / name)) == expected
    assert find_image_file(folders, str(tmp_path / "other" / ".." / "images" / "ab" / name)) == expected
    assert find_image_file(folders, str(tmp_path / "other" / "ab" / name)) is None
    assert find_image_file(folders, str(tmp_path / "images" / "circle")) is None
    assert find_image_file(folders, "a\0b") is None
