"""The API of served runs over HTTP: predictions, batches, feedback, refusals, the access to test."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from PIL import Image

from fototeca.analysis.evaluation.test_access_log import read_accesses
from fototeca.analysis.predict.predict import predict_images
from fototeca.analysis.serving.app import MAX_IMAGES, ServingApp
from fototeca.analysis.serving.openapi import openapi_document
from fototeca.analysis.serving.serve import LIMITS
from fototeca.analysis.serving.served_run import ServedRun
from fototeca.collect.catalog import Catalog
from fototeca.core.web import LocalServer, serve_locally
from fototeca.core.workspace import Workspace
from tests.servers import ReceivedRequest, StubResponse, serve

Studied = tuple[Workspace, list[str]]
KEY = "key-of-the-test"


@dataclass(frozen=True)
class Serving:
    """A server with a client that has the key."""

    app: ServingApp
    server: LocalServer
    client: httpx.Client

    def predict(self, data: bytes, **query: str) -> dict[str, Any]:
        """Send one image; return its part of the answer."""
        response = self.client.post("/predict", content=data, params=query)
        assert response.status_code == 200, response.text
        (row,) = response.json()["images"]
        return row  # type: ignore[no-any-return]


@contextmanager
def serving(studied: Studied, runs: int = 1) -> Iterator[Serving]:
    """Serve the first runs."""
    workspace, ids = studied
    served = [ServedRun(workspace, run_id) for run_id in ids[:runs]]
    try:
        app = ServingApp(workspace, served, allow_loopback=True)
        headers = {"Authorization": f"Bearer {KEY}"}
        with (
            serve_locally(app.app, port=0, limits=LIMITS, api_key=KEY) as server,
            httpx.Client(base_url=server.guard.origin, headers=headers, timeout=60, trust_env=False) as client,
        ):
            yield Serving(app, server, client)
    finally:
        for one in served:
            one.close()


def noise(seed: int, size: tuple[int, int] = (96, 72)) -> bytes:
    """Return a PNG of colored noise."""
    pixels = np.random.default_rng(seed).normal((190, 90, 80), 60, (9, 9, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def test_answers_equal_predict(studied: Studied, tmp_path: Path) -> None:
    """Of both runs, for one image, for a batch, and for many clients at once whose images share batches."""
    images = [noise(seed) for seed in range(24)]
    for number, data in enumerate(images):
        (tmp_path / f"{number}.png").write_bytes(data)
    expected = {
        run_id: [
            one.probabilities for one in predict_images(studied[0], run_id, sorted(tmp_path.iterdir(), key=lambda p: int(p.stem)))
        ]
        for run_id in studied[1]
    }
    with serving(studied, runs=2) as site:
        entries = [{"name": str(number), "data": base64.b64encode(data).decode()} for number, data in enumerate(images)]
        batch = site.client.post("/predict", json={"images": entries}).json()["images"]
        with ThreadPoolExecutor(8) as pool:
            single = list(pool.map(site.predict, images))
    for rows in (batch, single):
        for number, row in enumerate(rows):
            assert [one["run"] for one in row["predictions"]] == studied[1]
            for one in row["predictions"]:
                assert one["probabilities"] == pytest.approx(expected[one["run"]][number], abs=1e-5)
                assert one["label"] == max(one["probabilities"], key=one["probabilities"].get)
    assert [row["name"] for row in batch] == [str(number) for number in range(24)]


def test_answers_fit_the_openapi_document(studied: Studied) -> None:
    """A prediction with a map, an unreadable image, an error and feedback; every route is described."""
    with serving(studied) as site:
        document = site.client.get("/openapi.json").json()
        good, bad = site.predict(noise(1), maps="true"), site.predict(b"no image")
        error = site.client.post("/predict", json={"images": []})
        paths = {route.path for route in site.app.app.routes} - {"/", "/openapi.json"}  # type: ignore[attr-defined]
    assert document == openapi_document(studied[1][:1]) and document["paths"].keys() == paths
    image = Image.open(io.BytesIO(base64.b64decode(good["predictions"][0]["map"].partition(",")[2])))
    assert image.size == (32, 32), "the size that the model sees"
    assert bad["reason"] == "not-an-image" and not bad["predictions"]
    for name, value in (("Predictions", {"images": [good, bad]}), ("Error", error.json())):
        schemas = {"$defs": document["components"]["schemas"], "$ref": f"#/$defs/{name}"}
        text = json.dumps(schemas).replace("#/components/schemas/", "#/$defs/")
        jsonschema.Draft202012Validator(json.loads(text)).validate(value)
    assert good["predictions"][0].keys() <= document["components"]["schemas"]["Prediction"]["properties"].keys()


def test_urls_are_fetched(studied: Studied) -> None:
    """An image by its URL, and the reason where it cannot be fetched."""
    data = noise(3)

    def respond(request: ReceivedRequest) -> StubResponse:
        return StubResponse(status=404) if request.path == "/robots.txt" else StubResponse(data, "image/png")

    with serve(respond) as site, serving(studied) as api:
        entries = [{"url": f"{site.base}/fox.png"}, {"url": "http://10.0.0.1/fox.png"}]
        found, refused = api.client.post("/predict", json={"images": entries}).json()["images"]
        direct = api.predict(data)
    assert found["predictions"] == direct["predictions"] and found["image_id"] == direct["image_id"]
    assert refused["reason"] == "private-address"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "JSON object"),
        (b"[" * 100_000, 400, "JSON object"),
        (b'{"images": []}', 400, "1 to 64"),
        (b'{"images": [' + b",".join([b"{}"] * (MAX_IMAGES + 1)) + b"]}", 400, "1 to 64"),
        (b'{"images": [{}]}', 400, "either data"),
        (b'{"images": [5]}', 400, "either data"),
        (b'{"images": [{"data": "!"}]}', 400, "not base64"),
        (b'{"images": [{"url": "file:///etc/passwd"}]}', 400, "http or https"),
        (b'{"images": [{"data": "", "url": "http://example.org"}]}', 400, "either data"),
    ],
)
def test_malformed_requests(studied: Studied, body: bytes, status: int, text: str) -> None:
    """Each is refused with a reason, and the next request is answered."""
    with serving(studied) as site:
        response = site.client.post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, text in response.json()["error"]) == (status, True), response.text
        assert site.predict(noise(1))["predictions"]


def test_who_may_ask(studied: Studied) -> None:
    """Neither without the key, nor with another, nor under another host's name; a run that is not served is unknown."""
    with serving(studied) as site:
        port = site.server.port
        url = f"http://127.0.0.1:{port}/predict"
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": KEY}):
            assert httpx.post(url, content=noise(1), headers=headers, trust_env=False).status_code == 403
        others: tuple[dict[str, str], ...] = (
            {"Host": f"evil.example:{port}"},
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        )
        for headers in others:
            assert site.client.post("/predict", content=noise(1), headers=headers).status_code == 403
        assert site.client.post("/predict", content=noise(1), params={"run": "cnn-scratch-v001-000000"}).status_code == 404
        assert site.client.get("/health").json() == {"status": "ok", "runs": studied[1][:1]}
        assert site.client.post("/predict", content=b"x" * (LIMITS.max_body + 1)).status_code == 413


def test_feedback_becomes_a_reviewed_image(copied: Studied) -> None:
    """The bytes are stored with the person's label; a second answer changes it; nothing is stored without consent."""
    workspace, data = copied[0], noise(5, (200, 150))
    with serving(copied) as site:
        image_id = site.predict(data)["image_id"]
        answer = {"image_id": image_id, "label": "olive", "name": "field.png", "consent": True}

        def send(**changes: object) -> httpx.Response:
            return site.client.post("/feedback", json={**answer, **changes})

        for changes, status, text in (
            ({"consent": False}, 400, "consent"),
            ({"label": "purple"}, 400, "unknown category"),
            ({"image_id": "0" * 64}, 404, "predict it again"),
            ({"label": 5}, 400, "image_id and label"),
        ):
            response = send(**changes)
            assert (response.status_code, text in response.json()["error"]) == (status, True), response.text
        with Catalog.open(workspace) as catalog:
            assert catalog.images.get(image_id) is None
        assert send().json() == {"image_id": image_id, "label": "olive"}
        assert send(label="green").status_code == 200
        assert site.app.added == {image_id}
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(image_id)
        decisions = [one for one in catalog.decisions.all() if one.image_id == image_id]
        (place,) = catalog.provenance.of_image(image_id)
    assert image is not None and (image.label, image.reviewed, image.status) == ("green", True, "accepted")
    assert (workspace.root / image.path).read_bytes() == data
    assert [(one.actor_kind, one.old_label, one.new_label) for one in decisions] == [
        ("person", "", "olive"),
        ("person", "olive", "green"),
    ]
    assert place.file_name == "field.png"


def test_test_images_are_one_access(copied: Studied, first_image: Callable[[str], Path]) -> None:
    """Several requests for an image of the test split are recorded as one access, with their number, when serving ends."""
    before = len(read_accesses(copied[0], "v001"))
    data = first_image("test").read_bytes()
    with serving(copied) as site:
        rows = [site.predict(data) for _ in range(3)]
    assert all(row["predictions"][0]["near_duplicate"]["split"] == "test" for row in rows)
    accesses = read_accesses(copied[0], "v001")[before:]
    assert [(one.run, one.n) for one in accesses] == [(copied[1][0], 3)]


def test_an_error_fails_its_batch_only(studied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lack of memory is a 500 of that request; the server goes on."""
    with serving(studied) as site:
        model = site.app.runs[studied[1][0]]._predictor.model
        with monkeypatch.context() as patch:
            patch.setattr(model, "predict", lambda images: (_ for _ in ()).throw(MemoryError()))
            assert site.client.post("/predict", content=noise(1)).status_code == 500
        assert site.predict(noise(1))["predictions"]


def test_metrics(studied: Studied) -> None:
    """Counters of requests and images, and the histogram's total."""
    with serving(studied) as site:
        for _ in range(3):
            site.predict(noise(1))
        site.client.post("/predict", json={})
        text = site.client.get("/metrics").text
    run = studied[1][0]
    for line in (
        'fototeca_requests_total{status="200"} 3',
        'fototeca_requests_total{status="400"} 1',
        f'fototeca_images_total{{run="{run}"}} 3',
        f'fototeca_waiting_images{{run="{run}"}} 0',
        'fototeca_predict_seconds_bucket{le="+Inf"} 3',
    ):
        assert line in text.splitlines()
