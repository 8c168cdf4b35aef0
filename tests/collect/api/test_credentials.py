"""Keys of all sources and hubs through refusals, errors and responses that repeat them: none is stored or shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.credentials import KEYS, Key
from fototeca.collect.api.key_hosts import KeyHosts
from fototeca.collect.http.client import Downloader
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.sources import list_keys, load_sources
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from tests.collect.conftest import PointTo
from tests.collect.hub_server import REFS, SECRET, Hubs
from tests.collect.sources.test_services import SHAPES
from tests.servers import ReceivedRequest, Respond, Site, StubResponse, image_response, json_response, serve

Shown = Callable[..., str]
LOCAL = ("--allow-loopback", "--send-key-to", "127.0.0.1")
SERVICES = {name: info.key for name, info in load_sources().items() if info.key}
HUBS = ("kaggle", "roboflow", "huggingface")


def sent(request: ReceivedRequest) -> str:
    """Everything in which a client can send a key."""
    _, basic, rest = request.headers.get("Authorization", "").partition("Basic ")
    login = base64.b64decode(rest).decode() if basic else ""
    return " ".join([login, *request.query.values(), *request.headers.values(), request.body.decode("latin-1")])


def told(status: int, **headers: str) -> Respond:
    """An answer that repeats the whole question, the key in it."""

    def respond(request: ReceivedRequest) -> StubResponse:
        document = dict.fromkeys(("error", "message", "code"), sent(request)) | {"stat": "fail"}
        return json_response(document, status, **headers)

    return respond


FAULTS: dict[str, Respond] = {
    **{str(status): told(status) for status in (200, 400, 401, 403, 404, 500)},
    "quota": told(429, X_RateLimit_Remaining=SECRET, X_RateLimit_Limit=SECRET, Retry_After="0"),
    "redirect": lambda request: StubResponse(
        sent(request).encode(), status=302, headers={"Location": f"/elsewhere?key={SECRET}"}
    ),
    "html": lambda request: StubResponse(f"<html>{sent(request)}".encode()),
    "broken": lambda request: StubResponse(sent(request).encode(), headers={"Content-Length": "99999", "Connection": "close"}),
}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shown:
    """Return a function that runs a command and returns its stdout and stderr."""
    import fototeca.cli

    def run(workspace: Workspace, *arguments: object) -> str:
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr("sys.argv", ["fototeca", *map(str, arguments)])
        with pytest.raises(SystemExit):
            fototeca.cli.main()
        return "".join(capfd.readouterr())

    return run


def kept(folder: Path) -> list[Path]:
    """Files that hold the key: catalog, manifests, saved answers, the quotas in the person's cache."""
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_every_keyed_source_is_covered() -> None:
    """New sources and hubs with keys must be added to these tests."""
    assert set(list_keys()) == {*SERVICES, *HUBS}
    assert set(SERVICES) < set(SHAPES)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("source", SERVICES)
def test_service_errors_do_not_show_the_key(
    source: str, fault: str, point_to: PointTo, tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the output of the command and of doctor, nor any file."""
    monkeypatch.setenv(SERVICES[source].variable, SECRET)
    questions = []

    def respond(request: ReceivedRequest) -> StubResponse:
        questions.append(sent(request))
        return FAULTS[fault](request)

    with serve(respond) as site:
        workspace = point_to(source, f"{site.base}/api")
        text = shown(workspace, "collect", "search", source, *LOCAL) + shown(workspace, "doctor")
    assert questions and all(SECRET in question for question in questions)
    assert f"fototeca: {source}" in text
    assert SECRET not in text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("fault", ["200", "401", "403", "quota", "html"])
@pytest.mark.parametrize("hub", HUBS)
def test_hub_errors_do_not_show_the_key(
    hub: str, fault: str, workspace: Workspace, hubs: Hubs, site: Site, tmp_path: Path, shown: Shown
) -> None:
    """The hubs' own clients included."""
    answer = FAULTS[fault]
    hubs.instead_of_all = answer
    text = shown(workspace, "collect", hub, REFS[hub], *LOCAL)
    text += shown(workspace, "collect", "discover", "cats", "--hub", hub, *LOCAL)
    assert any(SECRET in sent(request) for request in site.requests)
    assert text.count(f"fototeca: {hub}") == 2
    assert SECRET not in text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("source", SERVICES)
def test_key_repeated_in_service_results_is_redacted(
    source: str, point_to: PointTo, tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images are accepted, and provenance, manifest and attribution do not contain the key."""
    monkeypatch.setenv(SERVICES[source].variable, SECRET)
    item, document, _, _ = SHAPES[source]

    def respond(request: ReceivedRequest) -> StubResponse:
        answer = json.dumps(document([item(request.base, number) for number in range(5)], 5))
        answer = answer.replace("Author", f"Author {SECRET}").replace(
            "https://example.org/", f"https://example.org/?k={SECRET}&n="
        )
        return image_response(request) or StubResponse(answer.encode(), "application/json")

    with serve(respond) as site:
        workspace = point_to(source, f"{site.base}/api")
        text = shown(workspace, "collect", "search", source, *LOCAL, "--min-side", "32")
    text += shown(workspace, "curate", "freeze") + shown(workspace, "collect", "attribution")
    assert "5 accepted" in text
    assert "Author (key) 3" in (workspace.root / "ATTRIBUTION.csv").read_text()
    assert SECRET not in text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("hub", HUBS)
def test_key_repeated_in_hub_metadata_is_redacted(
    hub: str, workspace: Workspace, hubs: Hubs, tmp_path: Path, shown: Shown
) -> None:
    """In titles, the stored description and the proposed mapping."""
    hubs.title = f"Cats {SECRET}"
    text = shown(workspace, "collect", hub, REFS[hub], *LOCAL)
    text += shown(workspace, "collect", "discover", "cats", "--hub", hub, *LOCAL)
    assert "Cats (key)" in text
    assert "confirm it with --map" in text
    assert SECRET not in text
    assert kept(tmp_path) == []


def test_redactor_knows_every_place_and_encoding_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables, files of the service's client, JSON and URL escapes; short values are not keys."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("A_KEY", 'one"/key+1')
    monkeypatch.setenv("B_KEY", "fox")
    key = Key("A_KEY", "", ("$A_HOME/key.json", "~/.a/token"), ("B_KEY",))
    assert Key("C_KEY", "", key.files).location == ""
    monkeypatch.setenv("A_HOME", str(tmp_path / "elsewhere"))
    write_text(tmp_path / "elsewhere" / "key.json", '{"username": "somebody", "key": "another-key-2"}')
    told = 'a fox of somebody: one"/key+1 one\\"/key+1 one%22%2Fkey%2B1 one%22/key%2B1 one%22%2fkey%2b1 another-key-2'
    assert key.redactor()(told) == "a fox of somebody: (key) (key) (key) (key) (key) (key)"
    write_text(tmp_path / ".a" / "token", "another-key-3\n")
    assert key.redactor()("another-key-3 another-key-2") == "(key) (key)"
    assert Key("C_KEY", "", key.files).location == "$A_HOME/key.json"
    monkeypatch.setenv("B_KEY", str(tmp_path / ".a" / "token"))
    assert Key("C_KEY", "", (), ("B_KEY",)).redactor()("another-key-3") == "(key)", "a variable may name a file"


def test_key_files_of_hub_clients_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the real client finds is reported by doctor and redacted."""
    from huggingface_hub import constants, get_token
    from kagglesdk import get_access_token_from_env

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    write_text(tmp_path / "hf" / "token", SECRET)
    write_text(tmp_path / ".kaggle" / "access_token", SECRET)
    for hub, taken in (("huggingface", get_token()), ("kaggle", get_access_token_from_env()[0])):
        assert taken == SECRET and KEYS[hub].location and SECRET not in KEYS[hub].redactor()(f"a {taken}")


def test_numeric_key_does_not_change_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is redacted from texts only."""
    monkeypatch.setenv("A_KEY", "12345678")
    answer = json_response({"id": 12345678, "12345678": ["of 12345678", None, 1.5]})
    options = FetchOptions(allow_loopback=True)
    with serve(lambda request: answer) as site:
        web = ServiceClient(Downloader(options, ""), "some", 0.0, Key("A_KEY", ""), KeyHosts("some", frozenset(), ("127.0.0.1",)))
        said = web.fetch_json(f"{site.base}/")
    assert said == {"id": 12345678, "(key)": ["of (key)", None, 1.5]}
