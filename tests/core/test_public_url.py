"""Published URLs carry no secrets and still lead to the image."""

from __future__ import annotations

import pytest

from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.public_url import public_url, redact_urls, url_identity


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ana:pw@example.org/a.jpg", "https://example.org/a.jpg"),
        ("https://ana@example.org:8443/a.jpg?w=9", "https://example.org:8443/a.jpg?w=9"),
        ("ftp://ana:p%40w@example.org/a.jpg", "ftp://example.org/a.jpg"),
        ("//ana:pw@example.org/a.jpg", "//example.org/a.jpg"),
        ("https://e.org/a?X-Amz-Algorithm=A&X-Amz-Signature=5f&x-amz-security-token=t&w=3", "https://e.org/a?w=3"),
        ("https://e.org/a?GoogleAccessId=me&Expires=17&Signature=5f", "https://e.org/a"),
        ("https://e.org/a?AWSAccessKeyId=AK&Expires=1&Signature=x", "https://e.org/a"),
        ("https://e.org/a?Policy=p&Key-Pair-Id=k&Signature=s&size=2", "https://e.org/a?size=2"),
        ("https://x.blob.core.windows.net/a.jpg?sv=2&st=1&se=2&sr=b&sp=r&sig=x", "https://x.blob.core.windows.net/a.jpg"),
        ("https://e.org/a?st=park&id=7", "https://e.org/a?st=park&id=7"),
        ("https://e.org/a?id=7&%74oken=abc", "https://e.org/a?id=7"),
        ("https://e.org/a?token=abc&id=7#x", "https://e.org/a?id=7#x"),
        ("https://e.org/a?api_key=1&apikey=2&API-KEY=3&key=4&access_token=5&page=2", "https://e.org/a?page=2"),
        ("https://e.org/a;jsessionid=99/b.jpg?id=2", "https://e.org/a/b.jpg?id=2"),
        ("https://e.org/#access_token=abc&w=1", "https://e.org/#w=1"),
        ("https://e.org/#/media/File:A.jpg", "https://e.org/#/media/File:A.jpg"),
        (
            "https://e.org/p?url=https%3A%2F%2Fu%3Apw%40i.org%2Fa.jpg%3Fsig%3D1&w=2",
            "https://e.org/p?url=https%3A%2F%2Fi.org%2Fa.jpg&w=2",
        ),
        ("https://e.org/p?url=https%253A%252F%252Fi.org%252Fa%253Ftoken%253D1", "https://e.org/p?url=https%3A%2F%2Fi.org%2Fa"),
        ("https://[e.org/a?sig=1", "https://[e.org/a"),
        ("file:///home/ana/a%3Fkey=1.jpg", "file:///home/ana/a%3Fkey=1.jpg"),
        ("https://e.org/caf%C3%A9/a%20b.jpg?q=a+b&&x", "https://e.org/caf%C3%A9/a%20b.jpg?q=a+b&&x"),
        ("https://e.org/monkey.jpg?monkey=1&design=2&assignee=x", "https://e.org/monkey.jpg?monkey=1&design=2&assignee=x"),
        ("", ""),
    ],
)
def test_public_url(url: str, expected: str) -> None:
    """User, password, keys and signatures go; what names the image stays as it was written."""
    assert public_url(url) == expected
    assert public_url(expected) == expected


def test_identity() -> None:
    """A new signature is the same place, another key another one; a place without secrets has no digest."""
    place = "https://e.org/a?X-Amz-Signature="
    assert url_identity(place + "1") == url_identity(place + "2") == url_identity("https://e.org/a") == ""
    assert url_identity("https://e.org/a?key=1") != url_identity("https://e.org/a?key=2") != ""


def test_errors_carry_no_secrets() -> None:
    """In the message, the hint and the text."""
    url = "https://ana:hush@example.org/a.jpg?sig=hush&w=1"
    assert redact_urls(f"{url} (and {url}, too)").count("hush") == 0
    for kind in (FototecaError, ExternalError):
        error = kind(f"{url!r} failed", f"open <{url}>")
        assert "hush" not in f"{error} {error.args} {error.message} {error.hint} {error!r}"
        assert "https://example.org/a.jpg?w=1" in error.message
