"""The command ``scaup replay``, its options and help. What it does stands in ``replay``."""

from __future__ import annotations

from typing import Annotated

import typer

from scaup.cli.access import find_api, find_nats
from scaup.cli.options import Context, Kubeconfig, Namespace, NatsUrl, Output, OutputOption


def replay(  # noqa: PLR0913, PLR0917 - one parameter an option
    trigger: Annotated[str, typer.Argument(metavar="TRIGGER", help="Name of the Trigger.")],
    namespace: Namespace = "default",
    since: Annotated[
        str | None,
        typer.Option(help="Events accepted since then: a time (RFC 3339), or how long ago (2h, PT2H).", metavar="TIME"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Events accepted before then; now where not given.", metavar="TIME")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the history that is kept.")] = False,
    event_id: Annotated[str | None, typer.Option("--id", help="Only events with this id.")] = None,
    source: Annotated[str | None, typer.Option(help="Only events with this source.", metavar="S")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many events.", min=1, metavar="N")] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many events a second.", min=0.01, metavar="R")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every event has its end.")] = False,
    resume: Annotated[
        str | None, typer.Option(help="Go on with a replay that was stopped; its id was printed.", metavar="ID")
    ] = None,
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Send history to a Trigger again, through its filter."""
    from scaup.cli import replay as replaying

    asked = replaying.Asked(
        trigger=trigger,
        namespace=namespace,
        since=since,
        until=until,
        everything=everything,
        event_id=event_id,
        source=source,
        limit=limit,
        rate=rate,
        dry=dry_run,
        wait=wait,
        resume=resume,
    )
    access = find_api(kubeconfig, context)
    return replaying.run(access, find_nats(nats_url, access.data), asked, output)
