"""The HTTP API of served runs and the page for trying them, as an ASGI application.

`core.web` guards it: no other site's page and no other user of this machine predicts, reads or adds images.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fototeca.analysis.images import data_uri
from fototeca.analysis.predict.inputs import InputImage, decode_input, is_url
from fototeca.analysis.predict.results import Prediction
from fototeca.analysis.serving.metrics import Metrics
from fototeca.analysis.serving.openapi import openapi_document
from fototeca.analysis.serving.served_run import ServedRun
from fototeca.collect.catalog import Actor, user_name
from fototeca.collect.store import FetchFailedError, contribute_image, open_fetcher
from fototeca.core.console import escape_values
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

PAGE = Path(__file__).parents[1] / "pages" / "serve.html"
SOURCE = "serve"
"""Name in the catalog of the source of images whose prediction a person corrected."""
MAX_IMAGES = 64
"""Images of one request, at most."""
MAX_REMEMBERED = 64_000_000
"""Bytes of predicted images that are kept in memory, so that a person may correct their label."""


class ServingApp:
    """The page and the API over served runs of one workspace.

    Attributes:
        app: the ASGI application; it checks neither keys nor origins, so it is served by `core.web` only.
        added: ids of the images added to the catalog so far.
    """

    def __init__(self, workspace: Workspace, runs: Sequence[ServedRun], *, allow_loopback: bool = False) -> None:
        self.workspace = workspace
        self.runs = {served.run.id: served for served in runs}
        self.added: set[str] = set()
        self._fetch = open_fetcher(workspace, allow_loopback=allow_loopback)
        self._decoding = anyio.CapacityLimiter(os.cpu_count() or 1)
        self._metrics = Metrics()
        self._remembered: OrderedDict[str, bytes] = OrderedDict()
        routes = [
            Route("/", self._page),
            Route("/runs", self._runs),
            Route("/predict", self._predict, methods=["POST"]),
            Route("/feedback", self._feedback, methods=["POST"]),
            Route("/health", self._health),
            Route("/metrics", self._show_metrics),
            Route("/openapi.json", self._openapi),
        ]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: self._refuse, FototecaError: self._refuse})
        self.app.router.redirect_slashes = False

    async def _page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data: blob:;"
            " media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(PAGE.read_text(encoding="utf-8").replace("NONCE", nonce), headers={"Content-Security-Policy": policy})

    async def _runs(self, request: Request) -> Response:
        rows = [
            {
                "run": run_id,
                "model": served.run.config.get("model", ""),
                "regime": served.run.regime,
                "task": served.run.task,
                "categories": list(served.run.categories),
                "val_accuracy": served.run.metrics.val_accuracy,
                "maps": served.has_maps,
            }
            for run_id, served in self.runs.items()
        ]
        return JSONResponse({"categories": list(self.workspace.settings.names), "runs": escape_values(rows)})

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "runs": list(self.runs)})

    async def _show_metrics(self, request: Request) -> Response:
        waiting = {run_id: served.waiting for run_id, served in self.runs.items()}
        return PlainTextResponse(self._metrics.text(waiting), media_type="text/plain; version=0.0.4")

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(openapi_document(list(self.runs)))

    async def _predict(self, request: Request) -> Response:
        start = time.perf_counter()
        served = self._select(request.query_params.getlist("run"))
        with_maps = request.query_params.get("maps", "") == "true"
        items = await self._read_images(request)
        rows = await asyncio.gather(*(self._predict_one(item, served, with_maps=with_maps) for item in items))
        self._metrics.requests[200] += 1
        self._metrics.observe(time.perf_counter() - start)
        return JSONResponse({"images": rows})

    def _select(self, names: Sequence[str]) -> list[ServedRun]:
        if unknown := [name for name in names if name not in self.runs]:
            raise HTTPException(404, f"run {unknown[0]!r} is not served")
        return [self.runs[name] for name in names] or list(self.runs.values())

    async def _read_images(self, request: Request) -> list[InputImage]:
        """Return the decoded images of a request: its body, or those of its JSON; an image that cannot be read has a reason."""
        body = await request.body()
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return [await self._decode(request.query_params.get("name", "image"), body)]
        entries = _parse_object(body).get("images")
        if not isinstance(entries, list) or not 0 < len(entries) <= MAX_IMAGES:
            raise HTTPException(400, f"images must be a list of 1 to {MAX_IMAGES} objects")
        return list(await asyncio.gather(*(self._read_entry(number, entry) for number, entry in enumerate(entries))))

    async def _read_entry(self, number: int, entry: Any) -> InputImage:  # noqa: ANN401 - JSON
        name = entry.get("name", f"image {number + 1}") if isinstance(entry, dict) else ""
        url, data = (entry.get("url"), entry.get("data")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and isinstance(url, str) and data is None and is_url(url):
            try:
                return await self._decode(url, await run_sync(self._fetch, url))
            except FetchFailedError as error:
                return InputImage(url, reason=error.reason)
        if isinstance(name, str) and isinstance(data, str) and url is None:
            try:
                return await self._decode(name, base64.b64decode(data, validate=True))
            except binascii.Error:
                raise HTTPException(400, f"data of {name!r} is not base64") from None
        raise HTTPException(400, "each image must be an object with either data (base64) or url (http or https)")

    async def _decode(self, name: str, data: bytes) -> InputImage:
        item = await run_sync(decode_input, name[:300], data, limiter=self._decoding)
        if item.image:
            self._remember(data)
        return item

    def _remember(self, data: bytes) -> None:
        self._remembered[hashlib.sha256(data).hexdigest()] = data
        while sum(map(len, self._remembered.values())) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    async def _predict_one(self, item: InputImage, served: Sequence[ServedRun], *, with_maps: bool) -> dict[str, Any]:
        """Return the predictions of one image by every run, as JSON."""
        row: dict[str, Any] = {"name": item.name, "image_id": item.digest, "reason": item.reason, "predictions": []}
        if item.image is None:
            return {**row, **escape_values({"name": item.name})}
        predictions = await asyncio.gather(*(asyncio.wrap_future(one.predict(item)) for one in served))
        for one, prediction in zip(served, predictions, strict=True):
            self._metrics.images[one.run.id] += 1
            row["predictions"].append({"run": one.run.id, **_prediction_json(prediction)})
            if with_maps and one.has_maps:
                drawn = await asyncio.wrap_future(one.explain(item.image, _top_category(prediction)))
                row["predictions"][-1]["map"] = await run_sync(data_uri, drawn)
        return escape_values(row)  # type: ignore[no-any-return]

    async def _feedback(self, request: Request) -> Response:
        """Add a predicted image to the catalog under the label that a person gives it."""
        document = _parse_object(await request.body())
        image_id, label, name = (document.get(field) for field in ("image_id", "label", "name"))
        if not (isinstance(image_id, str) and isinstance(label, str) and isinstance(name or "", str)):
            raise HTTPException(400, "give image_id and label, and optionally name, as texts")
        if document.get("consent") is not True:
            raise HTTPException(400, "consent must be true: the image is stored and may be trained on")
        if image_id not in self._remembered:
            raise HTTPException(404, "this image is no longer in memory; predict it again")
        data, person = self._remembered[image_id], Actor.person(user_name())
        decision = await run_sync(
            lambda: contribute_image(self.workspace, data, label, source=SOURCE, by=person, file_name=name or "")
        )
        self.added.add(decision.image_id)
        self._metrics.requests[200] += 1
        return JSONResponse(escape_values({"image_id": decision.image_id, "label": decision.new_label}))

    async def _refuse(self, request: Request, error: Exception) -> Response:
        status, text = (error.status_code, error.detail) if isinstance(error, HTTPException) else (400, str(error))
        self._metrics.requests[status] += 1
        return JSONResponse({"error": text}, status)


def _top_category(prediction: Prediction) -> str:
    return max(prediction.probabilities, key=prediction.probabilities.__getitem__)


def _prediction_json(prediction: Prediction) -> dict[str, Any]:
    return {name: value for name, value in prediction.to_json().items() if name not in ("path", "reason")}


def _parse_object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return document
