"""``scaup conformance``: its commands, their options and help. What they do stands in ``conformancerun``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scaup.cli.options import Context, Namespace

conformance_app = typer.Typer(
    help="What the specifications ask of a broker, shown on any of them.", no_args_is_help=True
)


@conformance_app.command("run")
def conformance_run(  # noqa: PLR0913, PLR0917 - one parameter an option
    broker: Annotated[
        str | None,
        typer.Option(
            help="Address of a ready-made broker: what needs no Trigger is shown on it. With --kubeconfig: where the "
            "addresses of the Brokers that are made are reached from here.",
            metavar="URL",
        ),
    ] = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Make Brokers and Triggers through this API.", metavar="FILE")
    ] = None,
    context: Context = None,
    namespace: Namespace = "default",
    broker_class: Annotated[
        str | None, typer.Option(help="Class of the Brokers that are made; else the API's default.", metavar="CLASS")
    ] = None,
    sink_host: Annotated[
        str | None, typer.Option(help="How the broker reaches this machine's sinks; else loopback.", metavar="HOST")
    ] = None,
    sink_port: Annotated[int, typer.Option(help="Port of the sinks; 0 for a free one.", min=0, max=65535)] = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these rows, by id or its beginning (DP, CP-31).", metavar="ROW")
    ] = None,
    parallel: Annotated[int, typer.Option(help="So many checks at a time.", min=1)] = 12,
    settle: Annotated[float, typer.Option(help="Seconds in which nothing must come where nothing should.")] = 1.5,
    patience: Annotated[float, typer.Option(help="Seconds in which must come what should.")] = 20.0,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit's XML.", metavar="FILE")] = None,
    json: Annotated[Path | None, typer.Option(help="Write JSON.", metavar="FILE")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page of HTML.", metavar="FILE")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress, and of the rows only the failed.")] = False,
) -> int:
    """Show every row on a broker: Scaup (started for it), one with a Kubernetes API, or just an address.

    Exit code 0: no MUST failed; 1: one did.
    """
    from scaup.cli import conformancerun
    from scaup.conformance.app import Options

    options = Options(
        only=tuple(only or ()),
        parallel=parallel,
        settle_s=settle,
        within_s=patience,
        sink_host=sink_host or "127.0.0.1",
        sink_listen="0.0.0.0" if sink_host else "127.0.0.1",  # noqa: S104 - a broker elsewhere has to reach it
        sink_port=sink_port,
    )
    where = conformancerun.Where(broker, kubeconfig, context, namespace, broker_class)
    return conformancerun.run(where, options, conformancerun.Files(junit, json, html), quiet=quiet)


@conformance_app.command("rows")
def conformance_rows() -> None:
    """List the rows: id, level, and what is asked."""
    from scaup.conformance.rows import ROWS

    sys.stdout.write("".join(f"{row.id:<6} {row.level:<11} {row.asks}\n" for row in ROWS.values()))
