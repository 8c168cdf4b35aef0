"""What a person should know before using a source, as `fototeca collect sources` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from fototeca.collect.api.credentials import Key, get_key

ENGINE = "an engine's guess is no licence: every image is recorded as unknown, and --license commercial refuses the source"
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
    key: Key | None = None
    """The key without which it is not asked."""

    contact: bool = False
    """It wants to know whom to write to."""

    page: bool = False
    """It is told its page with --url."""

    claims: bool = False
    """It can be asked for what it claims to permit commercial use, though it tells no licences."""

    def text(self) -> str:
        """What `fototeca collect sources` prints of it: three lines."""
        first = f"{self.name} ({self.kind}) needs {self.needs}; limits: {self.limits}"
        return f"{first}\n  licences: {self.licences}\n  terms: {self.terms}"

    @property
    def tells_licences(self) -> bool:
        """Whether its images come with what one may do with them."""
        return self.licences != ENGINE

    def secret(self) -> str:
        """The key. FototecaError (exit 4) says which variable to set and where keys are given."""
        assert self.key is not None, f"{self.name} has no key"
        return get_key(self.name, self.key)
