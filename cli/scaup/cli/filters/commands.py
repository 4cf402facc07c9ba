"""The command line of ``scaup filter``: commands, options and help. What a command does stands in a module beside."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from scaup.cli.access import find_api, find_nats
from scaup.cli.options import (
    Attributes,
    Brief,
    Context,
    EventFile,
    Explanation,
    Files,
    Kubeconfig,
    Namespace,
    NatsUrl,
)

filter_app = typer.Typer(help="Try what Triggers filter by.", no_args_is_help=True)


@filter_app.command("try")
def try_(  # noqa: PLR0913, PLR0917 - one parameter an option
    files: Files,
    event: EventFile = None,
    attr: Attributes = None,
    trigger: Annotated[
        str | None, typer.Option(help="Only this Trigger of the files.", metavar="[NAMESPACE/]NAME")
    ] = None,
    from_broker: Annotated[
        str | None, typer.Option(help="Take a stored event of this Broker.", metavar="BROKER")
    ] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="The stored event's id.")] = None,
    source: Annotated[
        str | None, typer.Option(help="The stored event's source; else the newest of that id.", metavar="S")
    ] = None,
    namespace: Namespace = "default",
    output: Annotated[Explanation, typer.Option("-o", "--output", help="How to print.")] = Explanation.tree,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Say whether Triggers in files match an event, and why. Exit 0 match, 1 no match, 2 error."""
    from scaup.cli.filters import trying
    from scaup.cli.filters.event import Given, Stored
    from scaup.cli.problems import UsageError

    if (from_broker is None) != (event_id is None):
        raise UsageError("--from-broker and --id go together: which event of which Broker")
    if source is not None and from_broker is None:
        raise UsageError("--source goes with --from-broker and --id")
    stored = None
    if from_broker is not None and event_id is not None:
        api = find_api(kubeconfig, context)
        stored = Stored(api, find_nats(nats_url, api.data), namespace, from_broker, event_id, source)
    given = Given(event, tuple(attr or ()), stored)
    return trying.run(trying.Wanted(tuple(files), trigger, namespace), given, output)


@filter_app.command("eval", context_settings={"help_option_names": ["--help"], "ignore_unknown_options": True})
def eval_(
    expression: Annotated[str | None, typer.Argument(metavar="EXPR", help="The expression.")] = None,
    cesql: Annotated[bool, typer.Option("--cesql", help="It is CESQL.")] = False,
    cel: Annotated[bool, typer.Option("--cel", help="It is CEL.")] = False,
    event: EventFile = None,
    attr: Attributes = None,
    lines: Annotated[
        bool, typer.Option("--lines", help='Read lines {"expression": …, "event": …} and answer each with a line.')
    ] = False,
) -> int:
    """Evaluate an expression; the answer is a line of JSON: value and error. Exit 0 without error, 1 with one."""
    # An expression may begin with a minus: what is no option is the expression, and -h would be in -HOUR.
    from scaup.cli.filters import evaluating
    from scaup.cli.filters.event import Given

    return evaluating.run(evaluating.dialect(cesql=cesql, cel=cel), expression, Given(event, tuple(attr or ())), lines)


@filter_app.command()
def lint(files: Files) -> int:
    """Check the filters of the Triggers in files, offline, as the controller would. Exit 0 all fine, 1 problems."""
    from scaup.cli.filters import linting

    return linting.run(files)


@filter_app.command()
def explain(  # noqa: PLR0913, PLR0917 - one parameter an option
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Name of the Broker.")],
    event: EventFile = None,
    attr: Attributes = None,
    namespace: Namespace = "default",
    output: Annotated[Brief, typer.Option("-o", "--output", help="How to print.")] = Brief.table,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Say which Triggers of a Broker would get an event, and why the others would not."""
    from scaup.cli.filters import explaining
    from scaup.cli.filters.event import Given

    given = Given(event, tuple(attr or ()))
    answer = asyncio.run(explaining.run(find_api(kubeconfig, context), namespace, broker, given, output))
    sys.stdout.write(answer + "\n")
