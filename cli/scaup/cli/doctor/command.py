"""The command ``scaup doctor``, its options and help. What it does stands in ``story``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scaup.cli.options import Brief, Context, Kubeconfig, NatsUrl
from scaup.cli.trace.command import where


def doctor(  # noqa: PLR0913, PLR0917 - one parameter an option
    patience: Annotated[
        float, typer.Option(help="Seconds that events may wait before that is a finding.", min=0, metavar="S")
    ] = 30.0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    connect: Annotated[bool, typer.Option(help="Try to connect to sinks from here.")] = True,
    output: Annotated[Brief, typer.Option("-o", "--output", help="How to print.")] = Brief.table,
    nats_url: NatsUrl = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> int:
    """Look for what is wrong, and say what to do about it. Exit 0 nothing, 1 something, 3 NATS cannot be reached."""
    from scaup.cli.doctor import story

    access, nats = where(nats_url, kubeconfig, context)
    text, status = story.run(access, nats, story.Asked(patience, strict, connect), output)
    sys.stdout.write(text + "\n")
    return status
