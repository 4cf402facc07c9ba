"""HTTP out over TLS: only to who can prove who it is."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaup.core.http.outbound import NoAnswerError, Origin, Outbound
from scaup.core.http.resolving import Resolver
from tests.component.test_outbound_pool import outbound
from tests.support.lookups import lookups
from tests.support.sinks import answer, sink
from tests.support.waiting import eventually

_MAKE = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
_FOR = ["-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1,DNS:sink.example"]


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1 and sink.example: it is its own CA."""

    file: Path
    pem: str
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make(tmp_path_factory.mktemp("another"))


def make(where: Path) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, cert = where / "key.pem", where / "cert.pem"
    subprocess.run(
        [openssl, *_MAKE, *_FOR, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return Certificate(cert, cert.read_text(), context)


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


async def test_cas_of_an_addressable_are_trusted_beside_those_of_the_system(
    certificate: Certificate, another: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))  # the system's, for OpenSSL
    async with (
        sink(tls=certificate.context) as of_system,
        sink(tls=another.context) as of_its_own,
        outbound() as client,
    ):
        for url, ca_certs in (
            (of_system.url, None),
            (of_system.url, another.pem),
            (of_its_own.url, another.pem),
        ):
            got = await client.post(Origin.parse(url, ca_certs), b"", b"", timeout_s=5, limit=lambda _status: 9)
            assert got.status == 202
        with pytest.raises(NoAnswerError, match="cannot connect"):
            await client.post(Origin.parse(of_its_own.url), b"", b"", timeout_s=5, limit=lambda _status: 9)


async def test_name_is_asked_for_in_the_handshake_and_an_address_is_not(certificate: Certificate) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.file.with_name("key.pem"))
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    names = {"sink.example": "127.0.0.1", "sink.example.": "127.0.0.1"}
    with lookups(**names) as known:
        client = Outbound(resolver=Resolver(known))
        async with sink(tls=context) as there:
            for host in ("sink.example", "sink.example.", "127.0.0.1"):
                origin = Origin.parse(f"https://{host}:{there.port}/", certificate.pem)
                assert (await client.post(origin, b"", b"", timeout_s=5, limit=lambda _status: 9)).status == 202
            assert asked == ["sink.example", "sink.example", None]
        await client.close()


async def test_certificate_for_another_name_is_refused_whatever_the_address(certificate: Certificate) -> None:
    with lookups(other="127.0.0.1", **{"a.sink.example": "127.0.0.1"}) as known:
        client = Outbound(resolver=Resolver(known))
        async with sink(tls=certificate.context) as there:
            for host in ("other", "a.sink.example"):
                origin = Origin.parse(f"https://{host}:{there.port}/", certificate.pem)
                with pytest.raises(
                    NoAnswerError, match=r"127\.0\.0\.1: .*CERTIFICATE_VERIFY_FAILED|[Hh]ostname mismatch"
                ):
                    await client.post(origin, b"", b"", timeout_s=5, limit=lambda _status: 9)
            assert not there.requests
        await client.close()


async def test_no_more_cas_are_kept_than_the_bound(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaup.core.http.connecting._MAX_CONTEXTS", 2)
    async with (
        sink(answer(202, headers={"connection": "close"}), tls=certificate.context) as there,
        outbound() as client,
    ):
        for number in range(5):
            origin = Origin.parse(there.url, certificate.pem + "\n" * number)
            await client.post(origin, b"", b"", timeout_s=5, limit=lambda _status: 9)
        assert len(client._connector._trust._contexts) == 2


async def test_cas_are_read_once_for_all_that_connect_at_the_same_time(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    make_context = ssl.create_default_context

    def counting() -> ssl.SSLContext:
        made.append(None)
        return make_context()

    monkeypatch.setattr(ssl, "create_default_context", counting)
    async with sink(tls=certificate.context) as there, outbound() as client:
        origin = Origin.parse(there.url, certificate.pem)
        posts = (client.post(origin, b"", b"", timeout_s=5, limit=lambda _status: 9) for _ in range(8))
        assert {got.status for got in await asyncio.gather(*posts)} == {202}
        assert len(made) == 1


async def test_handshake_that_hangs_ends_at_the_deadline(certificate: Certificate) -> None:
    hung: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung.append(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with outbound() as client:
        origin = Origin.parse(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", certificate.pem)
        with pytest.raises(TimeoutError):
            await client.post(origin, b"", b"", timeout_s=0.5, limit=lambda _status: 9)
        await eventually(lambda: hung and hung[0].transport.is_closing(), "the connection is given up")
    server.close()
