"""URLs as they may be stored and published: without user names, passwords, keys and signatures."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote, unquote_plus, urlsplit, urlunsplit

_SIGNATURE = re.compile(
    r"x-(amz|goog|oss|cos|obs|ms|bz)-.*|(aws|oss|google|s3)?-?_?access-?_?key-?_?id|google-?access-?id|key-?pair-?id"
    r"|sig|sign|signature|.*[-_.](sig|sign|signature)|hmac|policy|expires|hdnea|hdnts|hdntl|oauth_.*|oh|oe",
    re.IGNORECASE,
)
"""Parameters of signed URLs (S3, Google Cloud, CloudFront, Azure, Akamai, OAuth): two URLs that differ in them are one place."""

_SIGNED_BESIDE = frozenset(
    ("se", "sp", "sv", "sr", "st", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv", "md5", "hash", "e", "exp", "user")
)
"""Parameters that belong to a signature where the URL has one."""

_SECRET = re.compile(
    r".*(token|secret|passw|pwd|credential|jwt|bearer|session|cookie|csrf|authoriz|signature).*"
    r"|.*(api|access|private|auth|client|subscription|account|consumer|shared|app|user|secret)[-_.]?(key|id)"
    r"|key|.*[-_.]key|auth|sid|.*sessid|pass|pw|user|username|user[-_.]?name|login|e?-?mail|otp|nonce|ticket",
    re.IGNORECASE,
)
"""Parameters that grant access or name a person."""

_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"'`\\^{}|\x00-\x1f\x7f]+", re.IGNORECASE)
_URL_VALUE = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}:)?//", re.IGNORECASE)
_PATH_PARAMETER = re.compile(r";([^/;=]+)=[^/;]*")
_DEPTH = 4
"""URLs inside parameters of URLs that are followed; deeper ones are left out."""


def public_url(url: str) -> str:
    """Return a URL without user name, password, and the parameters that sign it, grant access or name a person.

    URLs inside parameters are treated likewise. Local paths and `file:` URLs are returned unchanged.

    Example:
        >>> public_url("https://ana:1234@example.org/a.jpg?width=90&X-Amz-Signature=5f3c")
        'https://example.org/a.jpg?width=90'
    """
    return _strip(url, _DEPTH)[0]


def url_identity(url: str) -> str:
    """Return a digest of the parameters that `public_url` removes from a URL, without signatures; empty if there are none.

    Sites that name an image by a parameter such as `key` have different images at one public URL.
    """
    secrets = _strip(url, _DEPTH)[1]
    return hashlib.blake2b("\0".join(secrets).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() if secrets else ""


def redact_urls(text: str) -> str:
    """Return a text with `public_url` of every URL in it."""
    return _URL.sub(lambda match: public_url(match[0]), text) if "://" in text else text


def _strip(url: str, depth: int) -> tuple[str, list[str]]:
    """Return the public URL, and what was removed from it that is no signature."""
    if not _URL_VALUE.match(url.strip()) or url.strip().lower().startswith("file:"):
        return url, []
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are no IPv6 address
        return re.sub(r"//[^/?#]*@", "//", url.partition("?")[0].partition("#")[0]), []
    removed: list[str] = []
    query = _strip_parameters(parts.query, depth, removed)
    fragment = _strip_parameters(parts.fragment, depth, removed) if "=" in parts.fragment else parts.fragment
    path = _PATH_PARAMETER.sub(lambda match: "" if _is_secret(unquote(match[1])) else match[0], parts.path)
    host = parts.netloc.rpartition("@")[2]
    if (host, path, query, fragment) == (parts.netloc, parts.path, parts.query, parts.fragment):
        return url, []
    return urlunsplit((parts.scheme, host, path, query, fragment)), removed


def _strip_parameters(query: str, depth: int, removed: list[str]) -> str:
    """Return the parameters of a query that may be published; add the others to `removed`, except signatures."""
    fields = re.split(r"([&;])", query)
    names = [unquote_plus(field.partition("=")[0]).strip("?#/ ").lower() for field in fields[::2]]
    is_signed = any(_SIGNATURE.fullmatch(name) for name in names)
    kept: list[str] = []
    for position, (name, field) in enumerate(zip(names, fields[::2], strict=True)):
        separator = fields[2 * position - 1] if position else ""
        if _SIGNATURE.fullmatch(name) or (is_signed and name in _SIGNED_BESIDE):
            continue
        if _SECRET.fullmatch(name):
            removed.append(field)
            continue
        kept.append((separator if kept else "") + _strip_value(field, depth, removed))
    return "".join(kept)


def _strip_value(field: str, depth: int, removed: list[str]) -> str:
    """Return a parameter with the URL that is its value made public."""
    name, equals, value = field.partition("=")
    plain = unquote_plus(value)
    for _ in range(2):  # encoded twice
        if _URL_VALUE.match(plain):
            break
        plain = unquote_plus(plain)
    if not _URL_VALUE.match(plain):
        return field
    public, inner = _strip(plain, depth - 1) if depth else ("", [])
    removed += inner
    return field if public == plain else f"{name}{equals}{quote(public, safe='')}"


def _is_secret(name: str) -> bool:
    return bool(_SECRET.fullmatch(name) or _SIGNATURE.fullmatch(name))
