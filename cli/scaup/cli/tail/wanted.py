"""``--filter``: which events are shown. The check is the controller's own, as for ``scaup filter try``.

A filter is one of three: a filter object (or a list of them) as ``spec.filters`` has it, a file with one Trigger, or a
CESQL expression.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from scaup.cli.filters import trying, verdicts
from scaup.cli.problems import UsageError
from scaup.core.filters.compiled import ALWAYS, Compiled, compile_tree
from scaup.core.filters.tree import Every, Tree

_FILES: Final = (".yaml", ".yml", ".json")


def read_filters(texts: Sequence[str]) -> Compiled:
    """What an event has to match: all of them. Raises UsageError naming what is wrong with which."""
    trees: list[Tree] = []
    for text in texts:
        tree, problem = verdicts.check(_trigger(text))
        if tree is None:
            msg = f"--filter {text[:80]!a}: {problem}"
            raise UsageError(msg, hint="it is a filter object, a file with a Trigger, or a CESQL expression")
        trees.append(tree)
    return compile_tree(Every(tuple(trees))) if trees else ALWAYS


def _trigger(text: str) -> dict[str, Any]:
    """A Trigger, as far as it says so."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            msg = f"--filter {text[:80]!a} is neither JSON nor YAML: {' '.join(str(error).split())}"
            raise UsageError(msg) from error
        return {"spec": {"filters": value if isinstance(value, list) else [value]}}
    if text.endswith(_FILES) or (os.sep in text and Path(text).is_file()):
        return _of_file(Path(text))
    return {"spec": {"filters": [{"cesql": text}]}}


def _of_file(path: Path) -> dict[str, Any]:
    documents = trying.triggers((path,))
    if len(documents) != 1:
        msg = f"--filter {path}: expected one Trigger in it, found {len(documents)}"
        raise UsageError(msg)
    content = documents[0].content
    spec = content.get("spec") or {}
    filters = {name: spec[name] for name in ("filter", "filters") if name in spec}
    return {"metadata": content["metadata"], "spec": filters}
