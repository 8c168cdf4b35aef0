"""URLs as keys: two spellings of one address are one candidate."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

_TRACKING = re.compile(r"^(utm_\w+|fbclid|gclid|igshid|mc_[ce]id|ref_src)$")
_SAFE = "/:@!$&'()*+,;=~-._"


def url_key(url: str) -> str:
    """`url` normalised (RFC 3986 section 6), so that two spellings of one address are one candidate.

    Lower-case scheme and host, no default port, no fragment, dots resolved, percent-encoding made uniform, tracking
    parameters dropped. Normalising twice changes nothing. ValueError when there is no http(s) host.
    """
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no http address: {url[:200]}")
    host = parts.hostname.rstrip(".").lower()
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        raise ValueError(f"no host name: {host[:100]}") from None
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    netloc = host if port in (None, {"http": 80, "https": 443}[scheme]) else f"{host}:{port}"
    fields = parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape")  # bytes that are no UTF-8 stay themselves
    query = urlencode([field for field in fields if not _TRACKING.match(field[0])], errors="surrogateescape")
    return urlunsplit((scheme, netloc, _clean_path(parts.path), query, ""))


def candidate_key(url: str) -> str:
    """The candidate's key; of what is no address one that is no file's either, and that fails with a reason."""
    try:
        return url_key(url)
    except ValueError:
        return f"no-address:{url}"


def host_key(url: str) -> str:
    """The server of an address, however it is spelled: host, and the port where it is not the usual one.

    ValueError when there is no http(s) host.
    """
    return urlsplit(url_key(url)).netloc


def _clean_path(path: str) -> str:
    kept: list[str] = []
    for segment in (unquote(part, errors="surrogateescape") for part in path.split("/")):
        if segment == "..":
            kept[1:] = kept[1:-1]
        elif segment != ".":
            kept.append(quote(segment, safe=_SAFE.replace("/", ""), errors="surrogateescape"))
    cleaned = "/".join(kept)
    return cleaned if cleaned.startswith("/") else f"/{cleaned}"
