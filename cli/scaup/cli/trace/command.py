"""The command ``scaup trace``, its options and help. What it does stands in ``story``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scaup.cli.access import ApiAccess, NatsAccess, find_api, find_nats
from scaup.cli.options import Brief, Context, Kubeconfig, Namespace, NatsUrl


def trace(  # noqa: PLR0913, PLR0917 - one parameter an option
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    source: Annotated[
        str | None, typer.Option(help="The event's source; else the newest of that id.", metavar="S")
    ] = None,
    broker: Annotated[str | None, typer.Option(help="Only this Broker; else all of the namespace.")] = None,
    namespace: Namespace = "default",
    limit: Annotated[
        int, typer.Option(help="Look at so many events of a Broker's log, the newest.", min=1, metavar="N")
    ] = 200_000,
    output: Annotated[Brief, typer.Option("-o", "--output", help="How to print.")] = Brief.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Say where an event is: who wants it and who does not, each attempt, and what is not known any more."""
    from scaup.cli.trace import story

    access, nats = where(nats_url, kubeconfig, context)
    asked = story.Asked(event_id, namespace, source, broker, limit)
    sys.stdout.write(story.run(access, nats, asked, output) + "\n")


def where(nats_url: str | None, kubeconfig: str | None, context: str | None) -> tuple[ApiAccess | None, NatsAccess]:
    """The API and NATS to look at; the API may be missing where NATS is named."""
    from pathlib import Path

    from scaup.cli.problems import NotReachableError

    try:
        access = find_api(kubeconfig, context)
    except NotReachableError:
        if nats_url is None:
            raise
        return None, find_nats(nats_url, Path())
    return access, find_nats(nats_url, access.data)
