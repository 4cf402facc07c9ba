"""The command ``scaup sources``, its options and help. What it does stands in ``sources``."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from scaup.cli.access import find_api
from scaup.cli.options import Context, Kubeconfig, Namespace, Output, OutputOption


def sources(
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Name of the Broker.")],
    namespace: Namespace = "default",
    output: OutputOption = Output.table,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the sources (objects with spec.sink) that point at a Broker, from all namespaces that may be seen."""
    from scaup.cli import sources as finding

    sys.stdout.write(asyncio.run(finding.run(find_api(kubeconfig, context), broker, namespace, output)) + "\n")
