"""What of other libraries a process leaves out when it loads them, because nothing here uses it.

A service has to be there soon after it was started, and a command at once; half of that time went into packages which
others load for features of theirs: ``structlog`` loads ``rich`` for tracebacks that we do not show, ``nats`` loads
``aiohttp`` for WebSockets, ``uvicorn`` a watcher of source files. Each of them does without where that is not
installed, and so it is told. Must not know anything of Scaup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from importlib.abc import Loader  # which loads a good deal itself

LEFT_OUT: Final = {
    "structlog": ("rich", "better_exceptions"),
    "nats": ("aiohttp", "multidict"),
    "uvicorn": ("watchfiles",),
}
"""What a library finds missing while it is loaded. Whoever else wants it has it all the same."""


class _Lean:
    """Loads a package as its own loader does, less what it is to do without."""

    def __init__(self, name: str, loader: Loader) -> None:
        self._name = name
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As ever."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the package's ``__init__``."""
        with _missing(LEFT_OUT[self._name]):
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:  # the files and sources of a package are asked of its loader
        return getattr(self._loader, name)


class _Finder:
    """Finds the packages of the table above, where they would have been found without it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package, with our loader around its own."""
        if fullname not in LEFT_OUT:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Lean(fullname, spec.loader))
        return spec


@contextmanager
def _missing(names: Sequence[str]) -> Iterator[None]:
    """These packages cannot be imported meanwhile, unless they are there already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def arrange() -> None:
    """Load what is imported from now on that way. Saying it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
