"""What answers at the ingress's address: until there is an event log to store anything in, 503; then the ingress."""

from __future__ import annotations

from typing import Any

from scaup.core.model.errors import BusUnavailableError
from scaup.ingress.answers import answer
from scaup.ingress.app import Ingress, Receive, Scope, Send


class Door:
    """An ASGI app. ``around`` answers what is not an event: health."""

    def __init__(self, around: Any) -> None:
        self.ingress: Ingress | None = None
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self.ingress is not None:
            await self.ingress(scope, receive, send)
        elif scope["method"] == "GET" and scope["path"] in {"/healthz", "/readyz"}:
            await self._around(scope, receive, send)
        else:
            error = BusUnavailableError("not connected to NATS yet", hint="send it again; /readyz says what is missing")
            result = answer(error)
            await send({"type": "http.response.start", "status": result.status, "headers": result.headers})
            await send({"type": "http.response.body", "body": result.body})
