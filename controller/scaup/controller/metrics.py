"""The controller's metrics. Names are public API."""

from __future__ import annotations

from scaup.controller.readiness import Fleet
from scaup.core.runtime.metrics import gauge, histogram

DEFINITIONS = gauge(
    "scaup_controller_definitions",
    "Definitions in the snapshot, by kind: broker, trigger, address.",
    ["kind"],
    when_bad="Fewer than there should be: `scaup get brokers -A` and `scaup get triggers -A` say why.",
)
NOT_READY = gauge(
    "scaup_controller_not_ready",
    "Brokers and Triggers that are not Ready, by kind: broker, trigger; 0 where this controller stands by.",
    ["kind"],
    when_bad="Above 0 for minutes: `scaup doctor`, or the conditions in `scaup get triggers -A`, say what is wrong.",
)
LEADER = gauge(
    "scaup_controller_leader",
    "1 while this controller leads, or there is no election; 0 while it stands by.",
    when_bad="0 everywhere for a minute: nobody makes definitions into what the data plane runs by. See in the logs "
    "why none can hold the Lease (`SCAUP_CONTROLLER_LEASE`).",
)
RECONCILE = histogram(
    "scaup_controller_reconcile_seconds",
    "Seconds from observed to written, for everything at once.",
    when_bad="Above a second: the API or NATS is slow; changes take that long to have effect. Deliveries do not wait.",
)
REVISION = gauge(
    "scaup_controller_snapshot_revision",
    "Revision of the last complete snapshot that is stored.",
    when_bad="Compare it with `scaup_definitions_revision` of the others.",
)
REPLICAS = gauge(
    "scaup_controller_replicas",
    "Live replicas by role: ingress, filter, dispatcher; by their own reports.",
    ["role"],
    when_bad="0: nobody accepts, matches, or delivers events. Start one, or see in its log why it does not run. Events "
    "that were accepted wait.",
)
BEHIND = gauge(
    "scaup_controller_replicas_behind",
    "Live replicas, by role, that have not applied the last snapshot.",
    ["role"],
    when_bad="Above 0 for a minute: that replica works with old definitions; `scaup_definitions_revision` tells which. "
    "Restart it.",
)


def show_fleet(fleet: Fleet, revision: int) -> None:
    """How many there are, and how many of them are behind."""
    REVISION.set(revision)
    for role in fleet.roles:
        REPLICAS.labels(role.name).set(len(role.replicas))
        BEHIND.labels(role.name).set(sum(replica.revision < revision for replica in role.replicas))
