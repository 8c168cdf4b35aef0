"""TLS certificates of image hosts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.core.workspace import create_workspace
from tests.servers import StubResponse, image_response, serve


def certificate(file: Path, *, ip: str = "127.0.0.1", days: int = 1) -> Path:
    """A certificate that vouches for itself, and its key, in one file; with days below 0 its time is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(ip))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file


@contextmanager
def secure(file: Path | None) -> Iterator[str]:
    """The https address of a site with images; without a certificate it speaks plain HTTP all the same."""
    with serve(lambda request: image_response(request) or StubResponse(status=404)) as site:
        if file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            site.socket = context.wrap_socket(site.socket, server_side=True)
        yield site.base.replace("http:", "https:")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("trusted", ("accepted", "")),
        ("unknown", ("failed", "tls")),
        ("of another host", ("failed", "tls")),
        ("expired", ("failed", "tls")),
        ("none", ("failed", "tls")),
    ],
)
def test_certificate_must_be_valid(kind: str, outcome: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other certificate gives the reason `tls` for that image alone."""
    file = certificate(
        tmp_path / "site.pem", ip="127.0.0.9" if kind == "of another host" else "127.0.0.1", days=-1 if kind == "expired" else 1
    )
    if kind != "unknown":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    workspace = create_workspace(tmp_path / "w", ["fox"], target=1)
    with secure(None if kind == "none" else file) as base:
        found = [Provenance(f"{base}/full/1.jpg", "urls", "fox")]
        ingest_provenances(workspace, found, FetchOptions(allow_loopback=True, min_side=32, timeout=5))
    with Catalog.open(workspace) as catalog:
        (candidate,) = catalog.candidates.all()
    assert (candidate.state, candidate.reason) == outcome
