"""HTTP out over TLS: only to who can prove who it is."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaup.core.http.outbound import NoAnswerError, Origin
from tests.component.test_outbound_pool import outbound
from tests.support.sinks import answer, sink

_MAKE = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
_FOR = ["-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1"]


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1: it is its own CA."""

    pem: str
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    where: Path = tmp_path_factory.mktemp("tls")
    key, cert = where / "key.pem", where / "cert.pem"
    subprocess.run(
        [openssl, *_MAKE, *_FOR, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return Certificate(cert.read_text(), context)


async def test_sink_whose_ca_is_given_is_delivered_to_and_its_connection_kept(certificate: Certificate) -> None:
    async with sink(answer(200, b"safe"), tls=certificate.context) as there, outbound() as client:
        origin = Origin.parse(there.url, certificate.pem)
        for _ in range(2):
            got = await client.post(origin, b"", b"x" * 100_000, timeout_s=5, limit=lambda _status: 100)
            assert got.body == b"safe"
        assert there.connections == 1


async def test_sink_whose_ca_is_unknown_is_refused(certificate: Certificate) -> None:
    async with sink(tls=certificate.context) as there, outbound() as client:
        with pytest.raises(NoAnswerError, match=r"cannot connect.*[Cc]ertificate|CERTIFICATE"):
            await client.post(Origin.parse(there.url), b"", b"", timeout_s=5, limit=lambda _status: 100)
        assert not there.requests


async def test_certificate_for_another_name_is_refused(certificate: Certificate) -> None:
    async with sink(tls=certificate.context) as there, outbound() as client:
        origin = Origin.parse(f"https://localhost:{there.port}/", certificate.pem)
        with pytest.raises(NoAnswerError, match="cannot connect"):
            await client.post(origin, b"", b"", timeout_s=5, limit=lambda _status: 100)


async def test_connection_to_one_ca_is_not_used_for_another(certificate: Certificate) -> None:
    async with sink(tls=certificate.context) as there, outbound() as client:
        await client.post(Origin.parse(there.url, certificate.pem), b"", b"", timeout_s=5, limit=lambda _status: 9)
        with pytest.raises(NoAnswerError):
            await client.post(Origin.parse(there.url), b"", b"", timeout_s=5, limit=lambda _status: 9)


async def test_ca_that_is_none_is_no_answer(certificate: Certificate) -> None:
    async with sink(tls=certificate.context) as there, outbound() as client:
        for text in ("no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            with pytest.raises(NoAnswerError, match="cannot connect"):
                await client.post(Origin.parse(there.url, text), b"", b"", timeout_s=5, limit=lambda _status: 9)


async def test_tls_to_a_sink_that_speaks_none_is_no_answer() -> None:
    async with sink() as there, outbound() as client:
        origin = Origin.parse(there.url.replace("http:", "https:"))
        with pytest.raises((NoAnswerError, TimeoutError)):
            await client.post(origin, b"", b"", timeout_s=0.5, limit=lambda _status: 9)
