"""``scaup filter lint``: the filters in files, checked offline, with the words of the Triggers' status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from scaup.cli import manifests
from scaup.cli.filters import verdicts
from scaup.cli.filters.trying import is_trigger
from scaup.cli.problems import DONE, FAILED, UsageError
from scaup.core.model.errors import DefinitionError


def run(given: list[Path]) -> int:
    """Print ``file:trigger: ok`` or the problem for every Trigger; a file that cannot be read is a problem too.

    Raises UsageError where a file is not there, or where there is nothing to check.
    """
    manifests.require(given)
    problems = checked = 0
    for where, problem in _findings(given):
        sys.stdout.write(f"{where}: {' '.join(problem.split()) or 'ok'}\n")
        checked += 1
        problems += bool(problem)
    if not checked:
        raise UsageError(f"there are no Triggers in {', '.join(str(path) for path in given)}")
    return FAILED if problems else DONE


def _findings(given: list[Path]) -> Iterator[tuple[str, str]]:
    for path in manifests.files(given):
        name = "standard input" if path == manifests.STDIN else str(path)
        try:
            documents = manifests.read(path)
        except DefinitionError as error:
            yield error.path, str(error).removeprefix(f"{error.path}: ")
            continue
        for document in filter(is_trigger, documents):
            metadata = document.content["metadata"]
            trigger = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
            yield f"{name}:{trigger}", verdicts.check(document.content)[1]
