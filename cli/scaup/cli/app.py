"""The command line: commands, their options and help. What a command does stands in the module of its name.

Imports of the commands stand inside them, so that each starts as fast as it can.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from scaup.cli.access import DATA, find_api, find_nats
from scaup.cli.conformancecommand import conformance_app
from scaup.cli.deadlettercommands import deadletters_app
from scaup.cli.doctor.command import doctor
from scaup.cli.filters.commands import filter_app
from scaup.cli.options import Context, Files, Kubeconfig, Name, Namespace, NatsUrl, Output, OutputOption, Word
from scaup.cli.replaycommand import replay
from scaup.cli.sourcescommand import sources
from scaup.cli.tail.command import tail
from scaup.cli.top.command import top
from scaup.cli.trace.command import trace
from scaup.cli.triggercommands import trigger_app

app = typer.Typer(
    name="scaup",
    help="Brokers and Triggers for CloudEvents, on NATS JetStream.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(conformance_app, name="conformance")
app.add_typer(deadletters_app, name="deadletters")
app.add_typer(filter_app, name="filter")
app.add_typer(trigger_app, name="trigger")
app.command()(replay)
app.command()(trace)
app.command()(doctor)
app.command()(tail)
app.command()(top)
app.command()(sources)


@app.command()
def up(
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "-f", "--filename", help="Definitions to apply and to follow: a file or directory.", metavar="FILE|DIR"
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="Where everything is kept.", metavar="DIR")] = DATA,
    port_offset: Annotated[int, typer.Option(help="Added to every port.", metavar="N")] = 0,
    listen: Annotated[
        str, typer.Option(help="Address of the ingress; all else stays on loopback.", metavar="HOST")
    ] = "127.0.0.1",
    nats_url: Annotated[
        str | None,
        typer.Option(envvar="SCAUP_NATS_URL", help="Use this NATS instead of an embedded one.", metavar="URL"),
    ] = None,
) -> int:
    """Start everything on this machine, and stop it with Ctrl-C."""
    from scaup.cli.up.layout import Options
    from scaup.cli.up.story import run

    return run(Options(tuple(files or ()), data, port_offset, listen, nats_url))


@app.command()
def apply(
    files: Files, namespace: Namespace = "default", kubeconfig: Kubeconfig = None, context: Context = None
) -> int:
    """Create or change what the files say."""
    from scaup.cli import definitions

    return asyncio.run(definitions.apply(find_api(kubeconfig, context), files, namespace))


@app.command()
def delete(
    files: Files,
    namespace: Namespace = "default",
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Delete the objects the files name; says how many events go with a Trigger."""
    from scaup.cli import definitions

    access = find_api(kubeconfig, context)
    return asyncio.run(definitions.delete(access, find_nats(nats_url, access.data), files, namespace))


@app.command()
def get(  # noqa: PLR0913, PLR0917 - one parameter an option
    kind: Word,
    name: Name = None,
    namespace: Namespace = "default",
    everywhere: Annotated[bool, typer.Option("-A", "--all-namespaces", help="In all namespaces.")] = False,
    output: OutputOption = Output.table,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show one object or all of a kind."""
    from scaup.cli import definitions
    from scaup.cli.problems import UsageError

    if everywhere and name is not None:
        raise UsageError("-A lists all, so it goes without a NAME")
    where = None if everywhere else namespace
    _print(asyncio.run(definitions.get(find_api(kubeconfig, context), kind, name, where, output)))


@app.command()
def describe(
    kind: Word,
    name: Name = None,
    namespace: Namespace = "default",
    output: OutputOption = Output.table,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show one object or all of a kind at length, with conditions."""
    from scaup.cli import definitions

    _print(asyncio.run(definitions.describe(find_api(kubeconfig, context), kind, name, namespace, output)))


@app.command()
def send(  # noqa: PLR0913, PLR0917 - one parameter an option
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Name of the Broker.")],
    type_: Annotated[str, typer.Option("--type", help="The event's type.", metavar="T")],
    namespace: Namespace = "default",
    source: Annotated[str, typer.Option(help="The event's source.", metavar="S")] = "scaup-cli",
    data: Annotated[str | None, typer.Option(help="The event's data: JSON, or any text.")] = None,
    file: Annotated[str | None, typer.Option(help="File with the event's data; - is standard input.")] = None,
    attr: Annotated[list[str] | None, typer.Option(help="A further attribute.", metavar="NAME=VALUE")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="The event's id; a new one where not given.")] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Send one event to a Broker; prints its id and the answer's status."""
    from scaup.cli import send as sending

    parts = sending.Parts(type_, source, event_id, data, file, attr or ())
    _print(sending.run(find_api(kubeconfig, context), namespace, broker, parts))


@app.command()
def sink(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 for a free one.", min=0, max=65535)] = 8090,
    status: Annotated[int, typer.Option(help="Status of every answer.", min=200, max=599)] = 202,
    delay: Annotated[float, typer.Option(help="Seconds to wait before answering.", min=0)] = 0.0,
    hang: Annotated[bool, typer.Option("--hang", help="Never answer.")] = False,
    fail_first: Annotated[int, typer.Option(help="Answer the first N requests with 503.", min=0, metavar="N")] = 0,
    reply: Annotated[str | None, typer.Option(help="Answer with an event of this type.", metavar="TYPE")] = None,
) -> None:
    """Run a sink for trying things: prints events; GET /events lists them."""
    from scaup.cli import sinkcommand
    from scaup.cli.sink import Behaviour

    sinkcommand.run(port, Behaviour(status, delay, hang, fail_first, reply))


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    _print(f"scaup {installed('scaup')}")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
