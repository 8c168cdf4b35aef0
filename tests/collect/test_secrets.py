"""Keys of every keyed source and hub, sent through refusals, errors and answers that repeat them: nothing keeps or shows one."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.credentials import KEYS, Key
from fototeca.collect.http.client import Downloader, FetchOptions
from fototeca.collect.sources import list_keys, load_sources
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from tests.collect.conftest import PointTo
from tests.collect.hubs import REFS, SECRET, Hubs
from tests.collect.test_services import SHAPES
from tests.servers import ReceivedRequest, Respond, Site, StubResponse, image_response, json_response, serve

Shown = Callable[..., str]
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
    """What a command prints, on both streams."""
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


def test_every_source_with_a_key_is_tried_here() -> None:
    """Whoever adds one adds it to these tests."""
    assert set(list_keys()) == {*SERVICES, *HUBS}
    assert set(SERVICES) < set(SHAPES)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("source", SERVICES)
def test_no_refusal_of_a_service_shows_its_key(
    source: str, fault: str, point_to: PointTo, tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what is printed then and by doctor after, nor any file."""
    monkeypatch.setenv(SERVICES[source].variable, SECRET)
    questions = []

    def respond(request: ReceivedRequest) -> StubResponse:
        questions.append(sent(request))
        return FAULTS[fault](request)

    with serve(respond) as site:
        workspace = point_to(source, f"{site.base}/api")
        text = shown(workspace, "collect", "search", source, "--allow-loopback") + shown(workspace, "doctor")
    assert questions and all(SECRET in question for question in questions)
    assert f"fototeca: {source}" in text
    assert SECRET not in text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("fault", ["200", "401", "403", "quota", "html"])
@pytest.mark.parametrize("hub", HUBS)
def test_no_refusal_of_a_hub_shows_its_key(
    hub: str, fault: str, workspace: Workspace, hubs: Hubs, site: Site, tmp_path: Path, shown: Shown
) -> None:
    """Of the hubs' own clients neither."""
    answer = FAULTS[fault]
    hubs.instead_of_all = answer
    text = shown(workspace, "collect", hub, REFS[hub], "--allow-loopback")
    text += shown(workspace, "collect", "discover", "cats", "--hub", hub, "--allow-loopback")
    assert any(SECRET in sent(request) for request in site.requests)
    assert text.count(f"fototeca: {hub}") == 2
    assert SECRET not in text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("source", SERVICES)
def test_a_service_that_repeats_the_key_in_its_results(
    source: str, point_to: PointTo, tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images come, and no provenance, manifest or attribution has the key of whoever searched."""
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
        text = shown(workspace, "collect", "search", source, "--allow-loopback", "--min-side", "32")
    text += shown(workspace, "curate", "freeze") + shown(workspace, "collect", "attribution")
    assert "5 accepted" in text
    assert "Author (key) 3" in (workspace.root / "ATTRIBUTION.csv").read_text()
    assert SECRET not in text
    assert kept(tmp_path) == []


@pytest.mark.parametrize("hub", HUBS)
def test_a_hub_that_repeats_the_key_in_what_it_tells(
    hub: str, workspace: Workspace, hubs: Hubs, tmp_path: Path, shown: Shown
) -> None:
    """Titles are shown, and kept with the dataset and in its proposal."""
    hubs.title = f"Cats {SECRET}"
    text = shown(workspace, "collect", hub, REFS[hub], "--allow-loopback")
    text += shown(workspace, "collect", "discover", "cats", "--hub", hub, "--allow-loopback")
    assert "Cats (key)" in text
    assert "confirm it with --map" in text
    assert SECRET not in text
    assert kept(tmp_path) == []


def test_a_key_is_known_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a variable, in the file of the service's own client, and however an address or JSON spells it; no word is a key."""
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


def test_what_the_hubs_clients_read_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the real clients find a key, it is found, told by doctor, and left out of texts."""
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


def test_a_key_of_digits_breaks_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out of texts, and a number that happens to be the same stays one."""
    monkeypatch.setenv("A_KEY", "12345678")
    answer = json_response({"id": 12345678, "12345678": ["of 12345678", None, 1.5]})
    with serve(lambda request: answer) as site:
        web = ServiceClient(Downloader(FetchOptions(allow_loopback=True), ""), "some", 0.0, Key("A_KEY", ""))
        said = web.fetch_json(f"{site.base}/")
    assert said == {"id": 12345678, "(key)": ["of (key)", None, 1.5]}
