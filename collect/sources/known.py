"""What a person should know before using a source: `fototeca collect sources`."""

from __future__ import annotations

from dataclasses import dataclass

ENGINE = "an engine's guess is no licence: every picture is recorded as unknown, and --license commercial refuses the source"
SEARCHING = (
    "its terms and robots.txt speak against automatic searching, so whether you may is between you and them; one page at a time"
)


@dataclass(frozen=True)
class SourceInfo:
    """One source: how it is asked, what it needs, its limits, its licences, its terms."""

    name: str
    kind: str
    needs: str
    limits: str
    licences: str
    terms: str

    def text(self) -> str:
        """What `fototeca collect sources` prints of it."""
        facts = (("needs", self.needs), ("limits", self.limits), ("licences", self.licences), ("terms", self.terms))
        return "\n".join([f"{self.name} ({self.kind})", *(f"  {name + ':':<9} {fact}" for name, fact in facts)])

    @property
    def tells_licences(self) -> bool:
        """Whether its pictures come with what one may do with them."""
        return self.licences != ENGINE


SOURCES = {
    info.name: info
    for info in (
        SourceInfo(
            "google",
            "browser",
            "nothing",
            "a few hundred pictures a query; stops when Google asks to prove that a person is there",
            ENGINE,
            f"Google Images; {SEARCHING}",
        ),
        SourceInfo("bing", "browser", "nothing", "about a thousand pictures a query", ENGINE, f"Bing Images; {SEARCHING}"),
        SourceInfo(
            "duckduckgo", "browser", "nothing", "a few hundred pictures a query", ENGINE, f"DuckDuckGo Images; {SEARCHING}"
        ),
        SourceInfo(
            "gallery",
            "browser",
            "--url with the page's address; {query} in it stands for the query",
            "none of its own",
            "as the page says beside each picture (rel=license), else unknown",
            "the page's own terms; robots.txt is honoured for the page and for every picture",
        ),
        SourceInfo(
            "openverse",
            "interface",
            "nothing",
            "240 pictures a query, one request a second",
            "each picture's own: Creative Commons or public domain, filtered by --license commercial at the source",
            "openverse.org/terms: no scraping beyond its interface; verify a licence before you rely on it",
        ),
        SourceInfo(
            "commons",
            "interface",
            "a contact in fototeca.toml (Wikimedia's User-Agent policy)",
            "one request at a time, two pictures at once; pictures come 1,280 pixels wide",
            "each picture's own: free licences and public domain, with the author",
            "attribution as each licence asks; see: fototeca collect attribution",
        ),
        SourceInfo(
            "inaturalist",
            "interface",
            "nothing; a query is the name of a taxon (Vulpes vulpes, or a common name)",
            "60 requests a minute, 200 observations each; research grade only",
            "each picture's own Creative Commons licence; those without one are left out",
            "pictures of one observation show one individual and stay in one split",
        ),
        SourceInfo(
            "flickr",
            "interface",
            "FLICKR_API_KEY",
            "3,600 requests an hour, 4,000 pictures a query",
            "each picture's own, all rights reserved included (recorded as unknown)",
            "flickr.com/services/api/tos: non-commercial use of the interface unless agreed otherwise",
        ),
        SourceInfo(
            "pexels",
            "interface",
            "PEXELS_API_KEY",
            "200 requests an hour, 20,000 a month",
            "LicenseRef-Pexels: free, commercial use too",
            "pexels.com/terms-of-service: read what it says of training models",
        ),
        SourceInfo(
            "unsplash",
            "interface",
            "UNSPLASH_ACCESS_KEY",
            "50 requests an hour in demo mode, 30 pictures each",
            "LicenseRef-Unsplash: free, commercial use too",
            "unsplash.com/api-terms: read what it says of training models and of attribution",
        ),
        SourceInfo(
            "pixabay",
            "interface",
            "PIXABAY_API_KEY",
            "100 requests a minute, 500 pictures a query",
            "LicenseRef-Pixabay: free, commercial use too",
            "pixabay.com/service/terms: read what it says of training models",
        ),
    )
}
"""Every source by name."""
