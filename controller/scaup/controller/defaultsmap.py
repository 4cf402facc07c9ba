"""Follows the one ConfigMap that has the defaults of Brokers. What it says is read by ``defaults``.

It is listed and watched by its name alone, so that a right for that one object is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import structlog

from scaup.controller.defaults import NO_DEFAULTS, NOT_KNOWN, Defaults, read_defaults
from scaup.controller.observe import Collection
from scaup.controller.settings import named_object

log = structlog.get_logger()

_CONFIG_MAP: Final = ("v1", "ConfigMap")


class DefaultsMap(Collection):
    """The defaults as the ConfigMap has them now, or had them when they could last be used."""

    def __init__(self, where: str, changed: Callable[[], None]) -> None:
        """``where`` is ``namespace/name``; empty: there is no ConfigMap, and there are no defaults."""
        super().__init__(_CONFIG_MAP, changed)
        self._where = where
        self._defaults = NOT_KNOWN if where else NO_DEFAULTS
        self._read: tuple[Any, str] | None = None
        if where:
            hint = "name it as in scaup-system/config-br-defaults"
            namespace, self._name = named_object("SCAUP_CONTROLLER_DEFAULTS", where, of=" of a ConfigMap", hint=hint)
            self._whole = True
            self._path = f"/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name%3D{quote(self._name)}"

    @property
    def is_named(self) -> bool:
        """Whether there is a ConfigMap to follow."""
        return bool(self._where)

    @property
    def is_settled(self) -> bool:
        """Whether it is known what the defaults are, or that they cannot be seen; before that Brokers must wait."""
        return not self._where or self.was_listed or self.state in {"forbidden", "absent"}

    def now(self) -> Defaults:
        """The defaults that hold."""
        if not self._where:
            return self._defaults
        data = next((value["data"] for key, value in self.objects.items() if key[1] == self._name), None)
        seen = (data, "" if self.was_listed else self.problem)
        if self._read is None or self._read != seen:
            self._read = seen
            self._defaults = self._judge(*seen)
            if self._defaults.problem:
                log.warning("controller.defaults_unusable", config_map=self._where, why=self._defaults.problem)
        return self._defaults

    def _judge(self, data: Any, problem: str) -> Defaults:
        before = self._defaults
        if problem:
            return before.bad(f"ConfigMap {self._where}: {problem}")
        if data is None:
            return NO_DEFAULTS  # it was deleted, or never made: whoever did it means it
        found = read_defaults(data, before)
        return found.bad(f"ConfigMap {self._where}: {found.problem}") if found.problem else found

    def _resource(self) -> str:
        return "configmaps"

    def _reduced(self, value: dict[str, Any]) -> dict[str, Any]:
        return {"metadata": {"uid": value["metadata"].get("uid")}, "data": value.get("data") or {}}
