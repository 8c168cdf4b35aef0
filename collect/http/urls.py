"""Normalization of URLs, so that two spellings of one URL are one candidate."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from fototeca.core.public_url import public_url, url_identity

_TRACKING = re.compile(r"^(utm_\w+|fbclid|gclid|igshid|mc_[ce]id|ref_src)$")
_SAFE = "/:@!$&'()*+,;=~-._"


def url_key(url: str) -> str:
    """Return the normalized URL (RFC 3986, section 6) that identifies a candidate.

    Lower-case scheme and host, no default port, no fragment, dot segments resolved, uniform percent-encoding, no tracking
    parameters. Idempotent. ValueError without an http(s) host.
    """
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http URL: {url[:200]}")
    host = parts.hostname.rstrip(".").lower()
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        raise ValueError(f"not a host name: {host[:100]}") from None
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    netloc = host if port in (None, {"http": 80, "https": 443}[scheme]) else f"{host}:{port}"
    fields = parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape")  # keeps bytes that are not UTF-8
    query = urlencode([field for field in fields if not _TRACKING.match(field[0])], errors="surrogateescape")
    return urlunsplit((scheme, netloc, _clean_path(parts.path), query, ""))


def candidate_key(url: str) -> str:
    """Return the key of a candidate: `url_key`, or for an invalid URL a key that no file has, so that it fails with a reason.

    A URL with a new signature is the same candidate. Of keys and passwords in a URL the key has a digest.
    """
    identity = url_identity(url)
    try:
        return url_key(public_url(url)) + (f"#{identity}" if identity else "")
    except ValueError:
        return f"no-address:{public_url(url)}"


def host_key(url: str) -> str:
    """Return the normalized host of a URL, with the port unless it is the default. ValueError without an http(s) host."""
    return urlsplit(url_key(url)).netloc


def normalize_host(text: str) -> str:
    """Return `HOST` or `HOST:PORT` as `host_key` returns it. ValueError for anything else."""
    if re.search(r"[/?#@\\\s]", text):
        raise ValueError(f"not a host: {text[:200]}")
    return host_key(f"https://{text}")


def _clean_path(path: str) -> str:
    """Return a path without dot segments and with uniform percent-encoding."""
    segments: list[str] = []
    for segment in (unquote(part, errors="surrogateescape") for part in path.split("/")):
        if segment == "..":
            segments[1:] = segments[1:-1]
        elif segment != ".":
            segments.append(quote(segment, safe=_SAFE.replace("/", ""), errors="surrogateescape"))
    cleaned = "/".join(segments)
    return cleaned if cleaned.startswith("/") else f"/{cleaned}"
