"""The command ``scaup top``, its options and help. What it does stands in ``story``."""

from __future__ import annotations

from typing import Annotated

import typer

from scaup.cli.options import Brief, Context, Kubeconfig, Namespace, NatsUrl
from scaup.cli.trace.command import where


def top(  # noqa: PLR0913, PLR0917 - one parameter an option
    namespace: Namespace = "default",
    once: Annotated[bool, typer.Option("--once", help="Show the figures once, of --every seconds, and end.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600, metavar="S")] = 2.0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="The metrics endpoint of an ingress or dispatcher, for each one; else those of `scaup up`.",
            metavar="URL",
        ),
    ] = None,
    output: Annotated[Brief, typer.Option("-o", "--output", help="How to print; json: an object a line.")] = (
        Brief.table
    ),
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Show Brokers and Triggers with rates, latency, queues, retries and dead letters, refreshed."""
    from scaup.cli.top import story

    access, nats = where(nats_url, kubeconfig, context)
    urls = story.metrics_urls(metrics) if metrics else story.noted_metrics(access)
    return story.run(access, nats, story.Asked(namespace, once, every, urls), output)
