"""One server that stands in for all hubs, each below its own name, with a small dataset of cats and dogs."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import fototeca.collect.sites
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import ReceivedRequest, Respond, StubResponse, jpeg, json_response
from tests.trusting import trust

SECRET = "S3cretKeyOfTheUser"
SHA = "0123456789abcdef0123456789abcdef01234567"
IMAGES = {f"{part}/{name}/{number}.jpg": jpeg(number) for part, name, number in
            (("train", "Cats", 1), ("test", "Cats", 2), ("train", "n02084071-dog", 3), ("valid", "birds", 4))}  # fmt: skip
HUBS = ("kaggle", "roboflow", "huggingface", "zenodo", "figshare", "mendeley")
REFS = {
    "kaggle": "alice/pets",
    "roboflow": "alice/pets",
    "huggingface": "alice/pets",
    "zenodo": "10.5281/zenodo.1234",
    "figshare": "https://figshare.com/articles/dataset/Pets/5678",
    "mendeley": "10.17632/abcdefghij.2",
}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


ARCHIVE = zipped({f"pets/{name}": data for name, data in IMAGES.items()})


@dataclass
class Hubs:
    """Stand-in of all hubs. Tests change its fields or replace single responses."""

    archive: bytes = ARCHIVE
    files: dict[str, bytes] = field(default_factory=lambda: dict(IMAGES))
    instead: dict[str, StubResponse] = field(default_factory=dict)
    """Answers by the beginning of a path, before all others."""

    instead_of_all: Respond | None = None
    """Replaces every response, if set."""

    title: str = "Cats and dogs"

    half: int = 0
    """So many downloads break off in the middle."""

    stalled: bool = False
    """Downloads stop in the middle, and the connection stays open."""

    direct: bool = False
    """Kaggle sends the archive itself instead of its address."""

    tag: str = ""
    """Of the version that the files are of, as ETag."""

    exports: int = 1
    """Questions after which Roboflow's export is ready."""

    def __call__(self, request: ReceivedRequest) -> StubResponse:
        """The answer to one request."""
        if self.instead_of_all:
            return self.instead_of_all(request)
        for beginning, answer in self.instead.items():
            if request.path.startswith(beginning):
                return answer
        hub, _, rest = request.path.lstrip("/").partition("/")
        respond = getattr(self, f"_{hub}", None)
        return respond(request, rest) if respond else StubResponse(status=404)

    def _send(self, request: ReceivedRequest, body: bytes) -> StubResponse:
        """A file, or from the middle of it on."""
        found = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
        begin = int(found[1]) if found and request.headers.get("If-Range", self.tag) == self.tag else 0
        headers = {"Content-Length": str(len(body) - begin), **({"ETag": self.tag} if self.tag else {})}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        if self.half or self.stalled:
            self.half = max(0, self.half - 1)
            closing = {} if self.stalled else {"Connection": "close"}
            return StubResponse(body[begin : begin + (len(body) - begin) // 2], "x/y", 206 if begin else 200, headers | closing)
        return StubResponse(body[begin:], "application/octet-stream", 206 if begin else 200, headers)

    def _files(self, request: ReceivedRequest, name: str) -> StubResponse:
        return self._send(request, self.archive if name == "archive.zip" else self.files[name])

    # ---- the interfaces

    def _zenodo(self, request: ReceivedRequest, rest: str) -> StubResponse:
        md5 = hashlib.md5(self.archive).hexdigest()
        address = f"{request.base}/files/archive.zip"
        record = {
            "id": 1234,
            "files": [
                {"key": "pets.zip", "size": len(self.archive), "checksum": f"md5:{md5}", "links": {"self": address}},
                {"key": "README.md", "size": 5, "checksum": "md5:0", "links": {"self": f"{request.base}/nowhere"}},
            ],
            "metadata": {
                "title": self.title,
                "license": {"id": "cc-by-4.0"},
                "creators": [{"name": "Alice"}, {"name": "Bob"}],
                "version": "v2",
            },
        }
        if rest == "1234":
            return json_response(record)
        if rest:
            return json_response({"status": 404}, 404)
        hits = [] if request.query["q"] == "nothing" else [record]
        return json_response({"hits": {"hits": hits, "total": len(hits)}}, X_RateLimit_Remaining="29")

    def _figshare(self, request: ReceivedRequest, rest: str) -> StubResponse:
        item = {
            "id": 5678,
            "title": self.title,
            "version": 3,
            "url_public_html": "https://figshare.com/articles/dataset/Pets/5678",
            "license": {"name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
            "authors": [{"full_name": "Alice"}],
            "folder_structure": {str(number): str(Path(name).parent) for number, name in enumerate(self.files)},
        }
        if rest == "search":
            return json_response([] if json.loads(request.body)["search_for"] == "nothing" else [item])
        if rest.endswith("/files"):
            size, page = int(request.query["page_size"]), int(request.query["page"])
            listed = [
                {
                    "id": number,
                    "name": Path(name).name,
                    "size": len(data),
                    "download_url": f"{request.base}/files/{name}",
                    "computed_md5": hashlib.md5(data).hexdigest(),
                    "is_link_only": False,
                }
                for number, (name, data) in enumerate(self.files.items())
            ]
            return json_response(listed[(page - 1) * size : page * size])
        return json_response(item) if rest in ("5678", "5678/versions/3") else json_response({"message": "no"}, 404)

    def _mendeley(self, request: ReceivedRequest, rest: str) -> StubResponse:
        folders: dict[str, dict[str, str]] = {}
        for name in self.files:
            part, kind, _ = name.split("/")
            folders[part] = {"id": part, "name": part}
            folders[f"{part}-{kind}"] = {"id": f"{part}-{kind}", "name": kind, "parent_id": part}
        if rest == "search":
            known = {"title": self.title, "url": "https://data.mendeley.com/datasets/abcdefghij"}
            other = {"title": "Elsewhere", "url": "https://example.org/1"}
            return json_response({"records": [] if request.query["query"] == "nothing" else [known, other]})
        if rest == "datasets/abcdefghij":
            licence = {"short_name": "CC BY 4.0", "url": "http://creativecommons.org/licenses/by/4.0"}
            people = [{"first_name": "Alice", "last_name": "Liddell"}]
            return json_response({"name": self.title, "version": 2, "data_licence": licence, "contributors": people})
        if rest == "datasets/abcdefghij/folders/2":
            return json_response(list(folders.values()))
        if rest == "datasets/abcdefghij/files":
            inside = [name for name in self.files if "-".join(name.split("/")[:2]) == request.query["folder_id"]]
            return json_response([self._mendeley_file(request, name) for name in inside])
        return self._send(request, self.archive) if rest == "zip/abcdefghij/download/2" else json_response({}, 404)

    def _mendeley_file(self, request: ReceivedRequest, name: str) -> dict[str, Any]:
        data = self.files[name]
        details = {"download_url": f"{request.base}/files/{name}", "sha256_hash": hashlib.sha256(data).hexdigest()}
        return {"filename": Path(name).name, "size": len(data), "content_details": details}

    def _kaggle(self, request: ReceivedRequest, rest: str) -> StubResponse:
        body = json.loads(request.body or b"{}")
        dataset = {
            "ref": "alice/pets",
            "title": self.title,
            "totalBytes": 4321,
            "licenseName": "CC0: Public Domain",
            "creatorName": "Alice",
            "currentVersionNumber": 7,
        }
        if rest.endswith("/ListDatasets"):
            return json_response({"datasets": [] if body.get("search") == "nothing" else [dataset]})
        if rest.endswith("/GetDataset"):
            known = body.get("datasetSlug") == "pets"
            return json_response(dataset) if known else json_response({"code": 404, "message": "no"}, 404)
        if self.direct:
            return StubResponse(self.archive, "application/zip")
        return StubResponse(status=302, headers={"Location": f"{request.base}/files/archive.zip"})

    def _roboflow(self, request: ReceivedRequest, rest: str) -> StubResponse:
        if request.query.get("api_key") != SECRET:
            return json_response({"error": f"no such key: {request.query.get('api_key')}"}, 401)
        if rest == "universe/search":
            row = {
                "name": self.title,
                "type": "classification",
                "images": 4,
                "url": "https://universe.roboflow.com/alice/pets",
            }
            return json_response({"results": [] if request.query["q"] == "nothing" else [row]})
        if rest == "alice/pets":
            project = {"id": "alice/pets", "name": self.title, "type": "classification", "license": "CC BY 4.0"}
            return json_response({"project": project, "versions": [{"id": "alice/pets/1"}, {"id": "alice/pets/2"}]})
        self.exports -= 1
        if self.exports > 0:
            return json_response({"progress": 0.5}, 202)
        return json_response({"export": {"link": f"{request.base}/files/archive.zip?key={SECRET}"}})

    def _huggingface(self, request: ReceivedRequest, rest: str) -> StubResponse:
        info = {
            "id": "alice/pets",
            "author": "alice",
            "sha": SHA,
            "mainSize": 4321,
            "tags": ["license:cc-by-4.0"],
            "cardData": {"license": "cc-by-4.0", "pretty_name": self.title},
            "siblings": [{"rfilename": name, "size": len(data)} for name, data in self.files.items()],
        }
        if rest == "api/datasets":
            return json_response([] if request.query["search"] == "nothing" else [info])
        if rest in ("api/datasets/alice/pets", f"api/datasets/alice/pets/revision/{SHA}"):
            return json_response(info)
        if rest.startswith(f"api/datasets/alice/pets/tree/{SHA}"):
            listed = [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in self.files.items()]
            return json_response(listed)
        name = rest.removeprefix(f"datasets/alice/pets/resolve/{SHA}/")
        if name not in self.files:
            return json_response({"error": "no"}, 404)
        answer = self._send(request, self.files[name])
        etag = hashlib.sha256(self.files[name]).hexdigest()
        return StubResponse(
            answer.body, answer.kind, answer.status, {**answer.headers, "ETag": f'"{etag}"', "X-Repo-Commit": SHA}
        )

    def _doi(self, request: ReceivedRequest, rest: str) -> StubResponse:
        value = {"type": "URL", "data": {"value": "https://huggingface.co/datasets/alice/pets"}}
        return json_response({"responseCode": 1, "values": [value]})


def person_at(folder: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return `workspace_at(folder, base)` with all keys set and an empty home; Kaggle's clients use the stand-in too."""
    from huggingface_hub import constants

    point_kaggle_to(base, monkeypatch)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "none"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_API_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(folder / "home"))
    for name in ("KAGGLE_KEY", "ROBOFLOW_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    return workspace_at(folder / "w", base)


def point_kaggle_to(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point Kaggle's clients, which contain their endpoint, to a stand-in."""
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, f"{base}/kaggle")


def workspace_at(folder: Path, base: str) -> Workspace:
    """Return a workspace of cats and dogs whose site files point every hub to the stand-in."""
    workspace = create_workspace(folder, ["cat", "dog"], target=1, contact="me@example.org")
    (workspace.root / "sites").mkdir()
    for name in (*HUBS, "doi"):
        text = (Path(fototeca.collect.sites.__file__).parent / f"{name}.toml").read_text(encoding="utf-8")
        text = re.sub(r'(?m)^endpoint = ".*"', f'endpoint = "{base}/{name}{"/" if name == "doi" else ""}"', text)
        text = re.sub(r'(?m)^search = ".*"', f'search = "{base}/{name}/search"', text)
        text = re.sub(r"(?m)^(pause|poll) = [\d.]+", r"\1 = 0.01", text)
        (workspace.root / "sites" / f"{name}.toml").write_text(text, encoding="utf-8")
    trust(workspace)
    return workspace
