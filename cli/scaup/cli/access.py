"""Which API and which NATS a command talks to.

API: ``--kubeconfig``/``--context``, else ``SCAUP_KUBECONFIG``, else ``./.scaup/kubeconfig``, else ``KUBECONFIG`` or
``~/.kube/config``, and then the server is printed, for it may be one that matters. NATS: ``--nats-url``, else
``SCAUP_NATS_URL``, else what ``scaup up`` noted in its data directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaup.cli.problems import NotReachableError, UsageError

DATA = Path(".scaup")
_START = "start Scaup with `scaup up`, or name a cluster with --kubeconfig"


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """A kubeconfig (``KUBECONFIG`` may list several files), the context in it, and whether to name the server."""

    kubeconfig: str
    context: str | None
    announce: bool = False

    @property
    def data(self) -> Path:
        """The data directory of ``scaup up`` this kubeconfig would belong to."""
        return Path(self.kubeconfig).parent


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """Where NATS is and how to get in."""

    url: str
    token: str | None = None
    creds: str | None = None
    ca: str | None = None


def find_api(kubeconfig: str | None, context: str | None, environ: Mapping[str, str] | None = None) -> ApiAccess:
    """The API to talk to; UsageError where a named file is missing, NotReachableError where there is none at all."""
    environ = os.environ if environ is None else environ
    named = kubeconfig or environ.get("SCAUP_KUBECONFIG")
    if named:
        if not Path(named).is_file():
            where = "--kubeconfig" if kubeconfig else "SCAUP_KUBECONFIG"
            msg = f"there is no kubeconfig {named} ({where})"
            raise UsageError(msg, hint=_START)
        return ApiAccess(named, context)
    own = DATA / "kubeconfig"
    if own.is_file():
        return ApiAccess(str(own), context)
    theirs = environ.get("KUBECONFIG") or str(Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config")
    if any(Path(part).is_file() for part in theirs.split(os.pathsep)):
        return ApiAccess(theirs, context, announce=True)
    msg = "there is no API to talk to: neither .scaup/kubeconfig nor ~/.kube/config exists here"
    raise NotReachableError(msg, hint=_START)


def find_nats(url: str | None, data: Path, environ: Mapping[str, str] | None = None) -> NatsAccess:
    """The NATS to talk to; NotReachableError where nothing names one."""
    import orjson

    environ = os.environ if environ is None else environ
    named = url or environ.get("SCAUP_NATS_URL")
    if named:
        return NatsAccess(
            named,
            environ.get("SCAUP_NATS_TOKEN") or None,
            environ.get("SCAUP_NATS_CREDS") or None,
            environ.get("SCAUP_NATS_CA") or None,
        )
    try:
        noted: dict[str, Any] = orjson.loads((data / "endpoints.json").read_bytes())
        secret = data / "nats-token"
        token = secret.read_text(encoding="ascii").strip() if noted.get("embedded") else environ.get("SCAUP_NATS_TOKEN")
        return NatsAccess(noted["nats"], token, environ.get("SCAUP_NATS_CREDS"), environ.get("SCAUP_NATS_CA"))
    except (OSError, ValueError, KeyError) as error:
        msg = f"{data} does not say where NATS is"
        raise NotReachableError(msg, hint="start Scaup with `scaup up`, or use --nats-url") from error


def plain_server(access: ApiAccess) -> str | None:
    """The server's URL where it is plain HTTP without credentials, as `scaup up`'s is; None for any other.

    Only a kubeconfig of one file is looked at; UsageError where that cannot be read or lacks the context.
    """
    import yaml

    path = Path(access.kubeconfig)
    if not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = access.context or config.get("current-context")
        context = _named(config["contexts"], name)["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config.get("users") or [], context.get("user")).get("user") if context.get("user") else None
        server = str(cluster["server"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        what = f"has no usable context {access.context!r}" if access.context else "cannot be read as a kubeconfig"
        msg = f"{path} {what}"
        raise UsageError(msg, hint="look at its contexts, clusters and current-context") from error
    return server.rstrip("/") if server.startswith("http://") and not user else None


def _named(items: Any, name: Any) -> dict[str, Any]:
    for item in items:
        if item["name"] == name:
            return dict(item)
    raise KeyError(name)
