"""Asking a child whether it is ready, and a port whether it is free. Every question has a deadline."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

import orjson

from scaup.cli.problems import FailedError

_TIMEOUT_S: Final = 1.0
Probe = Callable[[], Awaitable[str | None]]
"""None when ready, else why not."""


def http_probe(url: str) -> Probe:
    """Ready when ``url`` answers 200; else what its JSON names as problems."""
    parts = urlsplit(url)
    question = f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nconnection: close\r\n\r\n".encode()

    async def ask() -> str | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await _answer(parts.hostname or "", parts.port or 80, question)
            status = int(answer.split(None, 2)[1])
        except (OSError, TimeoutError, ValueError, IndexError):
            return f"{url} does not answer"
        return None if status == 200 else _problems(answer) or f"{url} answers {status}"

    return ask


async def _answer(host: str, port: int, question: bytes) -> bytes:
    """All that is answered. Without the HTTP client: it is asked many times a second while everything else starts."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        return await reader.read()
    finally:
        writer.close()


def nats_probe(host: str, port: int) -> Probe:
    """Ready when the server greets: it opens its port after JetStream has recovered its streams."""

    async def ask() -> str | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    greeting = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return f"nothing answers on {host}:{port}"
        return None if greeting.startswith(b"INFO ") else f"what answers on {host}:{port} is no NATS"

    return ask


def _problems(answer: bytes) -> str:
    try:
        problems = orjson.loads(answer.partition(b"\r\n\r\n")[2])["problems"]
        return "; ".join(f"{name}: {why}" for name, why in problems.items())
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return ""


def require_free(wanted: Iterable[tuple[str, str, int]], offset: int) -> None:
    """Raise FailedError that names every port of (what, host, port) which is taken, and what to type instead."""
    listed = list(wanted)
    taken = [f"{port} ({what})" for what, host, port in listed if not is_free(host, port)]
    seen: dict[int, str] = {}
    for what, _, port in listed:
        if port in seen:
            msg = f"port {port} is wanted twice: by {seen[port]} and by {what}"
            raise FailedError(msg, hint="change spec.port of the LocalSink")
        seen[port] = what
    if taken:
        noun = "port is" if len(taken) == 1 else "ports are"
        msg = f"{'this' if len(taken) == 1 else 'these'} {noun} taken: {', '.join(taken)}"
        raise FailedError(
            msg, hint=f"stop what listens there, or use others: make up ARGS='--port-offset {offset + 10000}'"
        )


def is_free(host: str, port: int) -> bool:
    """Whether we could listen there; FailedError where ``host`` is no address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            msg = f"cannot listen on {host}: {error.strerror or error}"
            raise FailedError(msg, hint="give an address of this machine with --listen") from error
    # With SO_REUSEADDR some systems let one bind beside a listener on all addresses: ask that way too.
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(0.2)
        return sock.connect_ex((host, port)) != 0
