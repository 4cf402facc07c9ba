"""``scaup deadletters``: its commands, their options and help. What they do stands in modules of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaup.cli.access import find_api, find_nats
from scaup.cli.options import Context, Kubeconfig, Namespace, NatsUrl, Output, OutputOption

if TYPE_CHECKING:
    from scaup.cli.deadletterselect import Wanted

deadletters_app = typer.Typer(help="Events that were given up and kept.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="These, by the names that `list` shows.")]
OfBroker = Annotated[str | None, typer.Option("--broker", help="Only this Broker's.")]
OfTrigger = Annotated[str | None, typer.Option("--trigger", help="Only this Trigger's.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Only what was kept since: RFC 3339, or how long ago (2h, PT2H).", metavar="TIME"),
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="Only what was kept before: RFC 3339, or how long ago.", metavar="TIME"),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Only with this text in the reason.", metavar="TEXT")]
EventId = Annotated[str | None, typer.Option("--id", help="Only of the event with this id.")]
Source = Annotated[str | None, typer.Option("--source", help="Only of events with this source.")]
Everything = Annotated[bool, typer.Option("--all", help="All of the namespace, where nothing else is said.")]
OldestLimit = Annotated[int | None, typer.Option("--limit", help="At most so many, the oldest.", min=1)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@deadletters_app.command("list")
def deadletters_list(  # noqa: PLR0913, PLR0917 - one parameter an option
    names: Names = None,
    namespace: Namespace = "default",
    broker: OfBroker = None,
    trigger: OfTrigger = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    event_id: EventId = None,
    source: Source = None,
    limit: Annotated[int, typer.Option(help="At most so many of each Broker, the newest.", min=1)] = 1000,
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """List the dead letters that are kept."""
    from scaup.cli import deadletters

    wanted = _wanted(namespace, names, (broker, trigger, reason, event_id, source), (since, until), limit)
    access = find_api(kubeconfig, context)
    _print(deadletters.run(access, find_nats(nats_url, access.data), wanted, output))


@deadletters_app.command("show")
def deadletters_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `list` shows it.")],
    namespace: Namespace = "default",
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show everything known of one dead letter, and what to do next."""
    from scaup.cli import deadletters
    from scaup.cli.deadletterselect import Wanted

    access = find_api(kubeconfig, context)
    wanted = Wanted(namespace, names=(name,))
    _print(deadletters.show(access, find_nats(nats_url, access.data), wanted, output))


@deadletters_app.command("replay")
def deadletters_replay(  # noqa: PLR0913, PLR0917 - one parameter an option
    names: Names = None,
    namespace: Namespace = "default",
    broker: OfBroker = None,
    trigger: OfTrigger = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    event_id: EventId = None,
    source: Source = None,
    everything: Everything = False,
    limit: OldestLimit = None,
    rate: Annotated[float, typer.Option(help="Events a second, at most.", min=0.01, max=100_000)] = 200.0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until each has come to an end, and say which.")] = False,
    dry_run: DryRun = False,
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Send dead letters to the Trigger that failed again, and to no other."""
    from scaup.cli import deadletterreplay as replaying

    wanted = _wanted(namespace, names, (broker, trigger, reason, event_id, source), (since, until), limit)
    _check_all(wanted, everything, "replay")
    access = find_api(kubeconfig, context)
    how = replaying.How(rate, dry_run, wait)
    done = replaying.run(access, find_nats(nats_url, access.data), wanted, how)
    _print(_shown(output, replaying.as_object(done), replaying.in_words(done, namespace)))
    if done.is_stopped:
        return _INTERRUPTED
    return int(bool(done.ends and (done.ends["diedAgain"] or done.ends["stayed"])))


@deadletters_app.command("purge")
def deadletters_purge(  # noqa: PLR0913, PLR0917 - one parameter an option
    names: Names = None,
    namespace: Namespace = "default",
    broker: OfBroker = None,
    trigger: OfTrigger = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    event_id: EventId = None,
    source: Source = None,
    everything: Everything = False,
    limit: OldestLimit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    output: OutputOption = Output.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Remove dead letters for good."""
    from scaup.cli import deadletterpurge as purging

    wanted = _wanted(namespace, names, (broker, trigger, reason, event_id, source), (since, until), limit)
    _check_all(wanted, everything, "purge")
    access = find_api(kubeconfig, context)
    done = purging.run(access, find_nats(nats_url, access.data), wanted, is_dry=dry_run, is_sure=yes)
    if done is None:
        sys.stderr.write("Nothing was removed.\n")
        return 1
    _print(_shown(output, purging.as_object(done), purging.in_words(done, namespace)))
    return _INTERRUPTED if done.is_stopped else 0


_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


def _wanted(
    namespace: str,
    names: list[str] | None,
    words: tuple[str | None, str | None, str | None, str | None, str | None],
    times: tuple[str | None, str | None],
    limit: int | None,
) -> Wanted:
    """The selection that was typed. Raises UsageError where it is none."""
    from scaup.cli import deadletterselect as selecting

    broker, trigger, reason, event_id, source = words
    now = selecting.now()
    since, until = times
    for name in names or ():
        selecting.parse_name(name)
    return selecting.Wanted(
        namespace,
        broker,
        trigger,
        limit,
        selecting.moment(since, now, "--since") if since is not None else None,
        selecting.moment(until, now, "--until") if until is not None else None,
        reason,
        event_id,
        source,
        tuple(dict.fromkeys(names or ())),
    )


def _check_all(wanted: Wanted, everything: bool, what: str) -> None:
    from scaup.cli.problems import UsageError

    if wanted.is_everything and not everything:
        raise UsageError(f"nothing says what to {what}", hint="give names or options such as --trigger, or --all")
    if everything and not wanted.is_everything:
        raise UsageError("--all goes without names and without any selection", hint="leave one of them out")


def _shown(output: Output, value: Any, text: str) -> str:
    from scaup.cli import showing

    if output is Output.table:
        return text
    return showing.as_json(value) if output is Output.json else showing.as_yaml(value)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
