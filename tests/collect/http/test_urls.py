"""Normalization of URLs, and addresses that may be connected to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fototeca.collect.http.guarded_sockets import PrivateAddressError, check_address
from fototeca.collect.http.urls import url_key

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\\?#[]@:\r\n\t"), max_size=12)
URLS = st.builds(
    lambda scheme, host, port, path, query: f"{scheme}://{host}{port}/{'/'.join(path)}{'?' + query if query else ''}",
    st.sampled_from(["http", "HTTPS", "Http"]),
    st.sampled_from(["example.org", "EXAMPLE.org", "münchen.example", "127.0.0.1", "[::1]", "a.b-c.example."]),
    st.sampled_from(["", ":80", ":443", ":8080"]),
    st.lists(TEXT, max_size=4),
    TEXT,
)


@given(URLS)
def test_url_key_is_idempotent(url: str) -> None:
    """The key of a key is the key itself."""
    assert url_key(url_key(url)) == url_key(url)


@given(URLS)
def test_url_key_keeps_scheme_host_and_port(url: str) -> None:
    """Scheme, host and port stay, and the key is ASCII."""
    key, parts = urlsplit(url_key(url)), urlsplit(url)
    assert url_key(url).isascii()
    assert key.scheme == parts.scheme.lower()
    default = {"http": 80, "https": 443}[key.scheme]
    assert (key.port or default) == (parts.port or default)


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "%2e%2E", "%2e", "%252e."]), max_size=8))
def test_url_key_resolves_dot_segments(segments: list[str]) -> None:
    """Every path stays below the root, without dot segments."""
    key = url_key("http://e.org/" + "/".join(segments))
    path = urlsplit(key).path
    assert path.startswith("/") and url_key(key) == key
    assert not {"..", "."} & set(path.split("/"))


@given(TEXT.filter(lambda text: "/" not in text and text not in (".", "..") and "%" not in text))
def test_url_key_unifies_percent_encoding(text: str) -> None:
    """A character and its percent-encoding, in upper or lower case, give one key."""
    assume(text.strip() == text)
    raw = text.encode()
    spelled = "".join(f"%{byte:02x}" for byte in raw)
    assert url_key(f"http://e.org/x{spelled}") == url_key(f"http://e.org/x{spelled.upper().replace('%', '%')}")
    assert url_key(f"http://e.org/x{text}") == url_key(f"http://e.org/x{spelled}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://Example.ORG:80/a", "http://example.org/a"),
        ("https://example.org:443", "https://example.org/"),
        ("http://example.org/a/../b/./c", "http://example.org/b/c"),
        ("http://example.org/a#part", "http://example.org/a"),
        ("http://example.org/a?utm_source=x&id=3", "http://example.org/a?id=3"),
        ("http://example.org/%7Euser", "http://example.org/~user"),
        ("http://müller.example/ü", "http://xn--mller-kva.example/%C3%BC"),
    ],
)
def test_url_key_unifies_common_spellings(one: str, other: str) -> None:
    """Default ports, fragments, tracking parameters, IDNA."""
    assert url_key(one) == url_key(other)


def test_url_key_keeps_bytes_that_are_not_utf8() -> None:
    """In the path and in the query, as older sites write them."""
    for place in ("/", "/i?f="):
        keys = {url_key(f"http://e.org{place}ni%{byte:02X}o.jpg") for byte in range(0xC0, 0x100)}
        assert len(keys) == 64
        assert all(url_key(key) == key for key in keys)


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://a/b", "file:///etc/passwd", "http://", "http:///a", "javascript:alert(1)", "//a/b"]
)
def test_url_key_refuses_other_schemes(url: str) -> None:
    """ValueError, which becomes the reason bad-url."""
    with pytest.raises(ValueError, match="not a"):
        url_key(url)


PRIVATE = [
    "10.0.0.1",
    "192.0.0.8",
    "192.0.0.254",
    "192.88.99.1",
    "198.19.255.254",
    "::ffff:192.0.0.8",
    "2002:c058:6301::1",
    "2001::1",
    "2001:30::1",
    "172.16.3.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "2002:e000:1::",
    "::10.0.0.1",
    "::127.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b:1::a00:1",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "2001:db8::1",
]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]


@pytest.mark.parametrize("allow_loopback", [False, True])
def test_private_addresses_are_refused_in_every_form(allow_loopback: bool) -> None:
    """Mapped, translated and tunnelled forms too; loopback passes only with allow_loopback."""
    for address in PRIVATE:
        with pytest.raises(PrivateAddressError):
            check_address(address, allow_loopback=allow_loopback)
    for address in LOOPBACK:
        if allow_loopback:
            check_address(address, allow_loopback=True)
        else:
            with pytest.raises(PrivateAddressError):
                check_address(address, allow_loopback=False)
    for address in ("1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"):
        check_address(address, allow_loopback=allow_loopback)


@given(st.ip_addresses(v=4).filter(lambda ip: not ip.is_global))
def test_ipv4_addresses_that_are_not_global_are_refused(ip: ipaddress.IPv4Address) -> None:
    """As classified by the standard library."""
    with pytest.raises(PrivateAddressError):
        check_address(str(ip), allow_loopback=False)


@given(st.ip_addresses(v=6))
def test_ipv6_addresses_outside_2000_are_refused(ip: ipaddress.IPv6Address) -> None:
    """Unless they embed a public IPv4 address."""
    translated = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::ffff:0:0/96")
    assume(ip not in ipaddress.IPv6Network("2000::/3") and not any(ip in network for network in translated))
    with pytest.raises(PrivateAddressError):
        check_address(str(ip), allow_loopback=False)
