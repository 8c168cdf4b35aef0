"""Descriptions of sources, as `fototeca collect sources` prints them."""

from __future__ import annotations

from dataclasses import dataclass

from fototeca.collect.api.credentials import Key, get_key

NO_LICENSE = "not stated by the engine: every image is recorded as unknown, and --license commercial refuses the source"
SEARCH_TERMS = "its terms and robots.txt disallow automated searching; using it is your decision; one page at a time"


@dataclass(frozen=True)
class SourceInfo:
    """Facts about a source or hub to read before using it."""

    name: str
    kind: str
    """`browser`, `API` or `hub`."""

    needs: str
    limits: str
    licenses: str
    terms: str
    key: Key | None = None
    """The key that every request needs."""

    needs_contact: bool = False
    """The workspace must set `contact`."""

    needs_url: bool = False
    """The page is given with --url."""

    can_claim_license: bool = False
    """Can filter by a claimed license, although it states none."""

    def text(self) -> str:
        """Return the description in three lines."""
        first = f"{self.name} ({self.kind}) needs {self.needs}; limits: {self.limits}"
        return f"{first}\n  licenses: {self.licenses}\n  terms: {self.terms}"

    @property
    def states_license(self) -> bool:
        """Return True if images come with their license."""
        return self.licenses != NO_LICENSE

    def get_key(self) -> str:
        """Return the key's value. FototecaError (exit 4) names the variable to set and the page that issues keys."""
        assert self.key is not None, f"{self.name} has no key"
        return get_key(self.name, self.key)
