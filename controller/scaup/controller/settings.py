"""The controller's settings. Read once at start; nothing here has a meaning of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from scaup.core.runtime.settings import BusSettings, Listen, ServiceSettings, setting


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What a controller needs to know before it starts."""

    kubeconfig: str | None = setting(
        "SCAUP_KUBECONFIG",
        None,
        "File that says where the Kubernetes API is. Where not set: the cluster this runs in, else ~/.kube/config.",
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
    metrics_listen: Listen = setting(
        "SCAUP_METRICS_LISTEN", Listen("127.0.0.1", 9094), "Address of /metrics, /healthz and /readyz."
    )
    bus: BusSettings = field(default_factory=BusSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
