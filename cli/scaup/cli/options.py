"""The options that several commands have, each with one spelling and one help text. Nothing is imported for them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How to print."""

    table = "table"
    yaml = "yaml"
    json = "json"


class Brief(StrEnum):
    """How to print what is no definition."""

    table = "table"
    json = "json"


class Explanation(StrEnum):
    """How to print why a filter matches."""

    tree = "tree"
    json = "json"


Files = Annotated[
    list[Path], typer.Option("-f", "--filename", help="A file or directory of definitions; - is standard input.")
]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="The namespace.")]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        help="Which API: a kubeconfig. Else $SCAUP_KUBECONFIG, ./.scaup/kubeconfig, $KUBECONFIG, ~/.kube/config.",
        metavar="FILE",
    ),
]
Context = Annotated[str | None, typer.Option("--context", help="The context in the kubeconfig.")]
NatsUrl = Annotated[
    str | None, typer.Option(envvar="SCAUP_NATS_URL", help="Which NATS; else that of `scaup up`.", metavar="URL")
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]
Word = Annotated[str, typer.Argument(metavar="KIND", help="brokers, triggers, or any other kind the API knows.")]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one.")]

EventFile = Annotated[
    Path | None,
    typer.Option("--event", help="File with an event in the CloudEvents JSON format; - is standard input."),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attr", help="An attribute; beside an event it takes the place of its own.", metavar="NAME=VALUE"),
]
