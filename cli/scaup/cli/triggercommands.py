"""``scaup trigger pause|resume``: the options. What they do stands in ``triggers``."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from scaup.cli.access import ApiAccess, find_api, find_nats
from scaup.cli.options import Context, Kubeconfig, Namespace, NatsUrl, Output, OutputOption

trigger_app = typer.Typer(help="Triggers in operation.", no_args_is_help=True)


@trigger_app.command("pause")
def trigger_pause(
    name: Annotated[str, typer.Argument(metavar="TRIGGER", help="Name of the Trigger.")],
    namespace: Namespace = "default",
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Send nothing to a Trigger's subscriber for now; its events wait in its queue."""
    _hold(name, namespace, output, find_api(kubeconfig, context), nats_url, paused=True)


@trigger_app.command("resume")
def trigger_resume(
    name: Annotated[str, typer.Argument(metavar="TRIGGER", help="Name of the Trigger.")],
    namespace: Namespace = "default",
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """End a Trigger's pause: what waited is delivered."""
    _hold(name, namespace, output, find_api(kubeconfig, context), nats_url, paused=False)


def _hold(name: str, namespace: str, output: Output, access: ApiAccess, nats_url: str | None, *, paused: bool) -> None:
    from scaup.cli import showing, triggers

    nats = find_nats(nats_url, access.data)
    held = asyncio.run(triggers.hold(access, nats, namespace, name, paused=paused))
    if output == Output.table:
        sys.stdout.write(triggers.sentence(held) + "\n")
    else:
        whole = triggers.as_object(held)
        sys.stdout.write((showing.as_json(whole) if output == Output.json else showing.as_yaml(whole)) + "\n")
