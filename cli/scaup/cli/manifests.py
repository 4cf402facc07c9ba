"""Files of definitions as objects: YAML with several documents, JSON, Lists, whole directories.

Responsible for saying exactly where something cannot be read. Must not talk to any API.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from scaup.cli.problems import UsageError
from scaup.core.model.errors import DefinitionError

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
STDIN: Final = Path("-")

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads 1,000 Triggers in 0.1 s, Python in 2


class _Loader(_Base):  # type: ignore[misc]
    """YAML as Kubernetes reads it: no timestamps, no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            if isinstance(key.value, str) and key.value != "<<":
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in _Base.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes an object this one and no other."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it stands. ``line`` counts from 1."""

    path: Path
    line: int
    content: dict[str, Any]

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{'standard input' if self.path == STDIN else self.path}:{self.line}"

    def identity(self, default_namespace: str) -> Identity:
        """Who this is; ``default_namespace`` where the document names none."""
        metadata = self.content["metadata"]
        return Identity(
            self.content["apiVersion"],
            self.content["kind"],
            metadata.get("namespace") or default_namespace,
            metadata["name"],
        )


def files(given: Iterable[Path]) -> Iterator[Path]:
    """The files that ``-f`` means: itself, or all of a directory with its subdirectories, in order of their names.

    Names that begin with a dot are passed over (editors keep their half-written files there).
    """
    for path in given:
        if path == STDIN or not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.suffix.lower() in SUFFIXES and not hidden and found.is_file():
                yield found


def require(given: Iterable[Path]) -> None:
    """Raise UsageError where a file or directory is not there."""
    for path in given:
        if path != STDIN and not path.exists():
            msg = f"{path} does not exist"
            raise UsageError(msg, hint="name a file or directory of definitions with -f")


def read(path: Path) -> list[Document]:
    """The objects in a file; DefinitionError with file and line where it cannot be read."""
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DefinitionError(str(path), f"cannot be read: {reason}") from error
    return parse(text, path)


def parse(text: str, path: Path) -> list[Document]:
    """The objects in a text; JSON is YAML. Empty documents are passed over, Lists are taken apart."""
    documents: list[Document] = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                content = loader.construct_document(node)
                if content is not None:
                    documents += _objects(content, path, node.start_mark.line + 1)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise DefinitionError(where, f"this is not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DefinitionError(str(path), f"this is not YAML: {' '.join(str(error).split())}") from error
    return documents


def _objects(content: Any, path: Path, line: int) -> Iterator[Document]:
    where = f"{path}:{line}"
    if not isinstance(content, dict):
        raise DefinitionError(where, "expected an object with apiVersion, kind and metadata")
    kind, items = content.get("kind"), content.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for item in items:
            yield from _objects(item, path, line)
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(content.get(field), str) or not content[field]:
            raise DefinitionError(where, f"{field} is missing")
    metadata = content.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise DefinitionError(where, f"metadata.name of the {kind} is missing")
    if not isinstance(metadata.get("namespace", ""), str | None):
        raise DefinitionError(where, f"metadata.namespace of the {kind} is no text")
    yield Document(path, line, content)
