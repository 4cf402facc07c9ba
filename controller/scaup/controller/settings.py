"""The controller's settings. Read once at start; nothing here has a meaning of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaup.core.model.errors import SettingsError
from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings, setting


class Replicas(int):
    """On how many servers of NATS something is kept: 1, 3 or 5."""

    @classmethod
    def parse(cls, text: str) -> Replicas:
        """Raises ValueError for every other number: an even one survives no more than the one below it."""
        if text not in {"1", "3", "5"}:
            msg = "expected 1, 3 or 5"
            raise ValueError(msg)
        return cls(text)


def named_object(variable: str, text: str, *, of: str = "", hint: str) -> tuple[str, str]:
    """Namespace and name of the object that a setting names. Raises SettingsError where it names none."""
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        msg = f"{variable} = {text!r}: expected namespace/name{of}"
        raise SettingsError(msg, hint=hint)
    return namespace, name


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What a controller needs to know before it starts."""

    kubeconfig: str | None = setting(
        "SCAUP_KUBECONFIG",
        None,
        "File that says where the Kubernetes API is. Where not set: the cluster this runs in, else ~/.kube/config.",
    )
    default_replicas: Replicas = setting(
        "SCAUP_CONTROLLER_DEFAULT_REPLICAS",
        Replicas(1),
        "On how many servers of NATS a Broker is kept that has no annotation scaup.dev/replicas: 1, 3 or 5.",
    )
    public_url: str = setting(
        "SCAUP_PUBLIC_URL",
        "http://127.0.0.1:8080",
        "Where producers reach the ingress; a Broker's status.address.url is this, its namespace and its name.",
    )
    defaults: str = setting(
        "SCAUP_CONTROLLER_DEFAULTS",
        "",
        "The ConfigMap with the defaults of Brokers, as namespace/name; empty: none. Its shape is Knative's "
        "(config-br-defaults).",
    )
    keep_dead_letters_s: float = setting(
        "SCAUP_CONTROLLER_KEEP_DEAD_LETTERS_SECONDS",
        604_800.0,
        "How long dead letters are kept after their Trigger or Broker was deleted, in seconds.",
    )
    lease: str = setting(
        "SCAUP_CONTROLLER_LEASE",
        "",
        "Lease, as namespace/name, that the one controller holds which works; others stand by. Empty: no election.",
    )
    take_over: str = setting(
        "SCAUP_CONTROLLER_TAKE_OVER",
        "",
        "Uid of a Kubernetes API (that of its namespace kube-system) which the bus shall follow from now on, though its"
        " definitions were made from another. They are replaced; Brokers that are not there are removed.",
    )
    metrics_listen: Listen = setting(
        "SCAUP_METRICS_LISTEN", Listen("127.0.0.1", 9094), "Address of /metrics, /healthz and /readyz."
    )
    sinkbinding: bool = setting(
        "SCAUP_CONTROLLER_SINKBINDING",
        False,
        "Whether SinkBindings are kept. They need wider rights: see docs/how-to/sinkbinding.md.",
    )
    bus: BusSettings = field(default_factory=BusSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
