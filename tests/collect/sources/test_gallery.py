"""Any page of images in a real browser: full images behind clicks and links, changed pages, redirects, CAPTCHAs, limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fototeca.collect.sites
from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.search import SearchOptions, search_sources
from fototeca.collect.sources import Query, SourceContext, get_source
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import ReceivedRequest, Respond, StubResponse, image_response, serve
from tests.trusting import trust

LOCAL = FetchOptions(allow_loopback=True, min_side=32)
FAST = {
    "max_results = 5000": "max_results = 60",
    "pause = 1.0": "pause = 0.0",
    "settle = 1.5": "settle = 0.4",
    "click = 4.0": "click = 1.0",
}
LICENCE = "https://creativecommons.org/licenses/by/4.0/"
Read = Callable[..., list[Provenance]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose site file does not wait long."""
    made = create_workspace(tmp_path / "w", ["fox"])
    text = (Path(fototeca.collect.sites.__file__).parent / "gallery.toml").read_text(encoding="utf-8")
    for old, new in FAST.items():
        assert old in text
        text = text.replace(old, new)
    (made.root / "sites").mkdir()
    (made.root / "sites" / "gallery.toml").write_text(text, encoding="utf-8")
    trust(made)
    return made


@pytest.fixture
def read(workspace: Workspace) -> Read:
    """Everything that the page at an address yields."""

    def findings(address: str) -> list[Provenance]:
        context = SourceContext(workspace, LOCAL)
        try:
            return list(get_source("gallery")(Query("fox", "red fox", url=address), context))
        finally:
            context.close()

    return findings


def pages(**html: str) -> Respond:
    """A site of these pages, by the first part of their path; it forbids /private."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(b"User-agent: *\nDisallow: /private\n", "text/plain")
        if request.path == "/away":
            return StubResponse(status=302, headers={"Location": request.query["to"]})
        name = request.path.lstrip("/").partition("/")[0]
        if name in html:
            number = request.path.rpartition("/")[2]
            return StubResponse(f"<!doctype html><body>{html[name]}".replace("$N", number).encode())
        return image_response(request) or StubResponse(status=404)

    return respond


def tiles(count: int, href: str = "/photo/{n}", extra: str = "") -> str:
    """Thumbnails in links."""
    link = "<a href='{h}' {x}><img src='/thumbs/{n}.jpg' width=80 height=80></a>"
    return "".join(link.format(h=href.format(n=n), n=n, x=extra) for n in range(count))


PHOTO = (
    "<header><img src='/thumbs/900.jpg'></header><a href='/full/$N.jpg'><img src='/thumbs/$N.jpg' width=300></a>"
    f"<span class=author>Author $N</span> <a rel=license href='{LICENCE}'>licence</a><img src='/thumbs/901.jpg' width=20>"
)


@pytest.mark.parametrize("extra", ["", "target=_blank"])
def test_tile_with_its_own_page_gives_the_full_image(read: Read, extra: str) -> None:
    """The image's page opens in another tab; the list keeps its scroll position, and all batches come in order."""
    more = "addEventListener('scroll', () => { if (document.images.length < 12) setTimeout(add, 30) });"
    numbered = "replace(/(photo|thumbs)\\/(\\d)/g, (_, k, n) => k + '/' + (Number(n) + document.images.length))"
    batch = f"box.insertAdjacentHTML('beforeend', `{tiles(6, '/photo/{n}', extra)}`.{numbered})"
    script = f"<div id=box style=height:3000px></div><script>const add = () => {batch}; add(); {more}</script>"
    with serve(pages(list=script, photo=PHOTO)) as site:
        found = read(f"{site.base}/list")
    assert [finding.url for finding in found] == [f"{site.base}/full/{n}.jpg" for n in range(12)]
    assert not any(finding.thumbnail for finding in found)
    assert (found[3].page_url, found[3].author, found[3].license) == (f"{site.base}/photo/3", "Author 3", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("click", "expected"),
    [
        ("event.preventDefault(); location.href = this.href", "full"),
        ("event.preventDefault(); window.open(this.href)", "full"),
        ("event.preventDefault()", "thumbs"),
    ],
    ids=["script-navigates", "script-opens", "nothing"],
)
def test_clicks_handled_by_scripts(read: Read, click: str, expected: str) -> None:
    """A script may navigate or open a tab; if a click shows nothing, the thumbnail is used and marked."""
    with serve(pages(list=tiles(2, extra=f'onclick="{click}"'), photo=PHOTO)) as site:
        found = read(f"{site.base}/list")
    assert [finding.url for finding in found] == [f"{site.base}/{expected}/{n}.jpg" for n in range(2)]
    assert all(finding.thumbnail == (expected == "thumbs") for finding in found)


def test_tile_that_opens_a_page_without_url_gives_its_thumbnail(read: Read) -> None:
    """Such a page has no robots.txt; the search continues."""
    script = "event.preventDefault(); window.open('about:blank')"
    with serve(pages(list=tiles(2, extra=f'onclick="{script}"'))) as site:
        found = read(f"{site.base}/list")
    assert [(finding.url.rpartition("/")[2], finding.thumbnail) for finding in found] == [("0.jpg", True), ("1.jpg", True)]


def test_page_without_url_is_one_line(read: Read) -> None:
    """A script may take the browser to a page without URL."""
    with serve(pages(list="<script>location = 'about:blank'</script>")) as site, pytest.raises(FototecaError) as stop:
        read(f"{site.base}/list")
    assert stop.value.exit_code == 4


@pytest.mark.parametrize("url", ["", "example.org/foxes", "file:///etc/passwd", "javascript:alert(1)", "http://[::1"])
def test_invalid_url_fails_before_the_browser_starts(workspace: Workspace, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows the expected form."""
    monkeypatch.setattr("fototeca.collect.browser.driver.open_browser", None)
    with pytest.raises(FototecaError, match=r"page.*; pass --url https://…") as stop:
        search_sources(workspace, SearchOptions(("gallery",), url=url), LOCAL)
    assert stop.value.exit_code == 2


def test_forbidden_image_page_gives_the_thumbnail(read: Read) -> None:
    """robots.txt forbids the page of the image."""
    with serve(pages(list=tiles(1, "/private/{n}"), private=PHOTO)) as site:
        found = read(f"{site.base}/list")
        assert not [request for request in site.requests if request.path.startswith("/private")]
    assert [finding.thumbnail for finding in found] == [True]


def test_redirect_to_forbidden_page_is_refused(read: Read) -> None:
    """robots.txt must allow the final URL."""
    with serve(pages(private=tiles(3))) as site, pytest.raises(FototecaError, match=r"robots\.txt forbids"):
        read(f"{site.base}/away?to=/private/list")


def test_redirect_to_private_address_is_refused(read: Read) -> None:
    """The error names the address."""
    with serve(pages()) as site, pytest.raises(FototecaError, match=r"leads to a private address \(10\.0\.0\.1\)"):
        read(f"{site.base}/away?to=http://10.0.0.1/")


@pytest.mark.parametrize(
    ("page", "what"),
    [
        ("<p>Welcome</p>", "the page shows no result"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "no image has"),
    ],
)
def test_page_without_images_is_an_error_with_a_saved_page(read: Read, workspace: Workspace, page: str, what: str) -> None:
    """Exit code 4, page and screenshot saved."""
    with serve(pages(list=page)) as site, pytest.raises(FototecaError, match=what) as stop:
        read(f"{site.base}/list")
    assert stop.value.exit_code == 4
    assert sorted(path.suffix for path in (workspace.cache / "pages").iterdir()) == [".html", ".png"]


def test_page_that_states_no_results_gives_none(read: Read) -> None:
    """The page itself says that there are none."""
    with serve(pages(list="<p class=no-results>Nothing here</p>")) as site:
        assert read(f"{site.base}/list") == []


def test_captcha_stops_the_source(read: Read) -> None:
    """Its images are not results."""
    captcha = "<form id=captcha-form><img src='/full/1.jpg'>What do you read?</form>"
    with serve(pages(list=captcha)) as site, pytest.raises(SourceStoppedError, match="shows a CAPTCHA"):
        read(f"{site.base}/list")


def test_endless_page_stops_at_the_maximum(read: Read) -> None:
    """`max_results` of the site file."""
    script = "const add = () => box.insertAdjacentHTML('beforeend', '<img src=/full/1.jpg>'.repeat(50)); add();"
    endless = f"<div id=box style=height:3000px></div><script>{script} addEventListener('scroll', add, {{once: true}});</script>"
    with serve(pages(list=endless)) as site:
        assert len(read(f"{site.base}/list")) == 60


RECYCLING = """<div id=box style="position:relative;height:12000px"></div><script>
const draw = () => {
  const first = Math.max(0, Math.floor(scrollY / 200) - 1), shown = Math.ceil(innerHeight / 200) + 2;
  box.innerHTML = [...Array(shown).keys()].map(k => k + first).filter(n => n < 60 && n % WIDE === 0).map(
    n => `<img style="position:absolute;top:${200 * n}px;width:150px;height:150px" src=/full/${n}.jpg>`).join('');
};
addEventListener('scroll', () => setTimeout(draw, 50)); draw();
</script>"""
"""A list whose page contains only the visible tiles."""


def test_recycling_list_is_read_whole(read: Read) -> None:
    """Each image once, numbered as it appears, although the page removes tiles out of sight."""
    with serve(pages(list=RECYCLING.replace("WIDE", "2"))) as site:
        found = read(f"{site.base}/list")
    numbers = [int(one.url.rpartition("/")[2].partition(".")[0]) for one in found]
    assert sorted(numbers) == list(range(0, 60, 2)) and [one.rank for one in found] == list(range(30))


def test_recycling_list_stops_at_the_maximum(read: Read, workspace: Workspace) -> None:
    """`max_results` counts for every kind of page."""
    site_file = workspace.root / "sites" / "gallery.toml"
    site_file.write_text(site_file.read_text().replace("max_results = 60", "max_results = 20"))
    trust(workspace)
    with serve(pages(list=RECYCLING.replace("WIDE", "1"))) as site:
        assert len(read(f"{site.base}/list")) == 20
