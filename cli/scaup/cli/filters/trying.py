"""``scaup filter try``: do the Triggers in these files match this event, and why."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scaup.cli import manifests, showing
from scaup.cli.filters import verdicts
from scaup.cli.filters.event import Given, read
from scaup.cli.filters.verdicts import Verdict
from scaup.cli.lines import clean
from scaup.cli.manifests import Document
from scaup.cli.problems import NotReachableError, UndecidedError, UsageError
from scaup.core.model.errors import BusUnavailableError, ScaupError

MATCH: Final = 0
NO_MATCH: Final = 1
ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which Triggers: those in ``files``, or the one that is ``name`` or ``namespace/name`` of them."""

    files: tuple[Path, ...]
    name: str | None = None
    namespace: str = "default"


def run(wanted: Wanted, given: Given, output: str) -> int:
    """Try each Trigger and print. 0: one or more match, 1: none does, 2: one could not be decided.

    Raises UndecidedError (exit code 2) for everything that stands in the way but what is not reachable: 1 would be
    taken for "no match".
    """
    try:
        tried = _tried(wanted, given)
    except (UsageError, NotReachableError, BusUnavailableError):
        raise
    except ScaupError as error:
        raise UndecidedError(str(error), hint=error.hint) from error
    except Exception as error:
        raise UndecidedError(f"unexpected {type(error).__name__}: {error}") from error
    _print(tried, output, wanted)
    results = {verdict.result for _, verdict in tried}
    return ERROR if None in results else MATCH if True in results else NO_MATCH


def triggers(files: tuple[Path, ...]) -> list[Document]:
    """The Triggers in files. Raises UsageError where a file is not there, DefinitionError where it cannot be read."""
    manifests.require(files)
    documents = [document for path in manifests.files(files) for document in manifests.read(path)]
    return [document for document in documents if is_trigger(document)]


def is_trigger(document: Document) -> bool:
    """Whether it is a Trigger as we know it; other groups have Triggers of their own."""
    group = document.content["apiVersion"].partition("/")[0]
    return bool(document.content["kind"] == "Trigger" and group == "eventing.knative.dev")


def _tried(wanted: Wanted, given: Given) -> list[tuple[Document, Verdict]]:
    if manifests.STDIN in wanted.files and given.file == manifests.STDIN:
        raise UsageError("-f - and --event - exclude each other: there is one standard input")
    documents = found = triggers(wanted.files)
    if wanted.name is not None:
        documents = [document for document in found if wanted.name in _names(document, wanted.namespace)]
    if not documents:
        where = ", ".join(str(path) for path in wanted.files)
        what = "Trigger" if wanted.name is None else f"Trigger {wanted.name}"
        there = ", ".join(str(document.content["metadata"]["name"]) for document in found[:8])
        raise UsageError(f"there is no {what} in {where}", hint=f"there are {there}" if there else "")
    subject = read(given)
    return [(document, verdicts.judge(document.content, subject)) for document in documents]


def _names(document: Document, namespace: str) -> tuple[str, str]:
    identity = document.identity(namespace)
    return identity.name, f"{identity.namespace}/{identity.name}"


def _print(tried: list[tuple[Document, Verdict]], output: str, wanted: Wanted) -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # a terminal that lacks a character must not turn a match into an error
        reconfigure(errors="replace")
    for document, verdict in tried:
        if verdict.explained is None:
            where = f"{document.where}: {document.identity(wanted.namespace)}"
            sys.stderr.write(f"scaup filter: {where}: {clean(' '.join(verdict.error.split()), 2000)}\n")
    if output == "json":
        values = [_json(document, verdict, wanted.namespace) for document, verdict in tried]
        sys.stdout.write(showing.as_json(values if len(values) > 1 else values[0]) + "\n")
        return
    is_terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    mark = verdicts.coloured_mark if is_terminal else verdicts.plain_mark
    for document, verdict in tried:
        if verdict.explained is not None:
            head = f"{mark(verdict.result)} {document.identity(wanted.namespace)}: {verdicts.WORDS[verdict.result]}"
            sys.stdout.write("\n".join((head, *verdicts.tree_lines(verdict.explained, mark))) + "\n")


def _json(document: Document, verdict: Verdict, namespace: str) -> dict[str, Any]:
    identity = document.identity(namespace)
    return {"trigger": {"namespace": identity.namespace, "name": identity.name}} | verdict.to_json()
