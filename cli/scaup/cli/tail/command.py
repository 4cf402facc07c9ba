"""The command ``scaup tail``, its options and help. What it does stands in ``story``."""

from __future__ import annotations

from typing import Annotated

import typer

from scaup.cli.options import Brief, Context, Kubeconfig, Namespace, NatsUrl
from scaup.cli.trace.command import where


def tail(  # noqa: PLR0913, PLR0917 - one parameter an option
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Name of the Broker.")],
    namespace: Namespace = "default",
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help='Only events that match: a filter object (\'{"exact": {"type": "a"}}\'), '
            "a file with a Trigger, or a CESQL expression.",
            metavar="FILTER",
        ),
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="Only events this Trigger wants, and how their deliveries end.", metavar="T")
    ] = None,
    show_fired: Annotated[bool, typer.Option("--show-fired", help="Say which Triggers want each event.")] = False,
    last: Annotated[int, typer.Option(help="Begin with the last N events of the log.", min=0, metavar="N")] = 0,
    count: Annotated[int | None, typer.Option(help="End after N events.", min=1, metavar="N")] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="End after this time, such as 30s, 5m or PT1H.", metavar="DURATION")
    ] = None,
    rate: Annotated[
        int, typer.Option(help="Show at most N events a second; the others are counted.", min=1, metavar="N")
    ] = 200,
    output: Annotated[Brief, typer.Option("-o", "--output", help="How to print; json: an object a line.")] = (
        Brief.table
    ),
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Show a Broker's events as they are accepted, and what fires. Exit 1 where fewer than --count came."""
    from scaup.cli.durations import seconds
    from scaup.cli.tail import story
    from scaup.cli.tail.wanted import read_filters

    for_s = None if for_ is None else seconds("--for", for_)
    wanted = read_filters(filters or ())
    _, nats = where(nats_url, kubeconfig, context)
    asked = story.Asked(broker, namespace, wanted, trigger, show_fired, count, for_s, rate, last)
    return story.run(nats, asked, output)
