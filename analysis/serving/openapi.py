"""The OpenAPI document of the API.

Source: spec.openapis.org/oas/v3.1.0.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_FLAG = {"type": "boolean"}
_ERROR = {"description": "The reason.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON schemas
    return {"type": "object", "properties": properties, "required": list(required)}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_SCHEMAS = {
    "Error": _object(("error",), error=_TEXT),
    "Images": _object(("images",), images=_list_of("Image")),
    "Image": {
        **_object((), name=_TEXT, data={**_TEXT, "contentEncoding": "base64"}, url={**_TEXT, "format": "uri"}),
        "description": "Either data or url.",
    },
    "Predictions": _object(("images",), images=_list_of("PredictedImage")),
    "PredictedImage": _object(
        ("name", "image_id", "reason", "predictions"),
        name=_TEXT,
        image_id={**_TEXT, "description": "SHA-256 of the bytes; feedback refers to it."},
        reason={**_TEXT, "description": "Reason why the image could not be fetched or read; empty otherwise."},
        predictions=_list_of("Prediction"),
    ),
    "Prediction": _object(
        ("run", "label", "probability", "probabilities", "unknown"),
        run=_TEXT,
        label=_TEXT,
        probability=_NUMBER,
        probabilities={"type": "object", "additionalProperties": _NUMBER},
        unknown={**_FLAG, "description": "Unlike the training images."},
        ood_score=_NUMBER,
        unknown_threshold=_NUMBER,
        false_alarm_rate=_NUMBER,
        calibrated=_FLAG,
        uncalibrated=_TEXT,
        near_duplicate=_object(
            ("image_id", "split", "distance"), image_id=_TEXT, split=_TEXT, distance={"type": "integer"}, file_name=_TEXT
        ),
        map={**_TEXT, "description": "Grad-CAM over the image, as a data URI."},
    ),
    "Feedback": _object(("image_id", "label", "consent"), image_id=_TEXT, label=_TEXT, name=_TEXT, consent={"const": True}),
    "Added": _object(("image_id", "label"), image_id=_TEXT, label=_TEXT),
}


def openapi_document(run_ids: list[str]) -> dict[str, Any]:
    """Return the document for a server of these runs."""
    schema = {name: {"$ref": f"#/components/schemas/{name}"} for name in _SCHEMAS}
    runs = {"type": "array", "items": {"type": "string", "enum": run_ids}}
    binary = {"schema": {"type": "string", "contentMediaType": "image/*"}}
    predict = {
        "summary": "Predict one image (the body) or several (JSON).",
        "parameters": [
            {"name": "run", "in": "query", "schema": runs, "description": "Runs to ask; all by default."},
            {"name": "maps", "in": "query", "schema": _FLAG, "description": "Also draw attribution maps."},
            {"name": "name", "in": "query", "schema": _TEXT, "description": "Name of the image in the body."},
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema["Images"]}, "image/*": binary}},
        "responses": {"200": _json(schema["Predictions"], "The predictions, in the order of the images."), "4XX": _ERROR},
    }
    feedback = {
        "summary": "Add a predicted image to the catalog under a label.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema["Feedback"]}}},
        "responses": {"200": _json(schema["Added"], "The image was added."), "4XX": _ERROR},
    }
    plain = {"responses": {"200": {"description": "OK"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fototeca",
            "version": installed_version("fototeca"),
            "summary": "Predictions of trained image classifiers.",
        },
        "security": [{"key": []}],
        "paths": {
            "/predict": {"post": predict},
            "/feedback": {"post": feedback},
            "/runs": {"get": {"summary": "The served runs and their categories.", **plain}},
            "/health": {"get": {"summary": "Whether the server answers.", **plain}},
            "/metrics": {"get": {"summary": "Counters in the text format of Prometheus.", **plain}},
        },
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }
