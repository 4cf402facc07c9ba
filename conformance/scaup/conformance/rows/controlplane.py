"""The rows of Knative's control plane and its error signalling: what Brokers and Triggers promise and report."""

from __future__ import annotations

from typing import Final

from scaup.conformance.rows.row import MAY, MUST, MUST_NOT, RECOMMENDED, SHOULD, Chapter, Row

_PERMISSION: Final = "a permission: whatever a broker does, it does not go against it"

CONTROL_PLANE: Final = Chapter(
    "Knative: control plane and error signalling",
    "knative/specs, specs/eventing/control-plane.md (to CP-37) and specs/common/error-signalling.md",
    (
        Row("CP-1", MUST, "A Broker has `status.address.url` when it can receive", "Broker lifecycle"),
        Row("CP-2", MUST, "A Trigger belongs to the Broker named in `spec.broker`", "Trigger lifecycle"),
        Row(
            "CP-3",
            MUST,
            "A Ready Broker accepts all valid events at its URL and tries to forward them to every Ready Trigger",
            "Broker lifecycle",
        ),
        Row("CP-4", MAY, "Forward to a Trigger that is not Ready yet, also older events", "Broker", _PERMISSION),
        Row(
            "CP-5",
            MUST,
            "`delivery.deadLetterSink` is in `status.deadLetterSinkUri` before the Broker is Ready",
            "Broker lifecycle",
        ),
        Row("CP-6", SHOULD, "The class annotation selects the implementation", "Broker lifecycle"),
        Row("CP-7", RECOMMENDED, "The class annotation is defaulted on creation", "Broker lifecycle"),
        Row("CP-8", MUST, "Class annotation and `spec.config` are immutable", "Broker lifecycle"),
        Row("CP-9", MAY, "A Trigger may be created before its Broker", "Trigger lifecycle"),
        Row(
            "CP-10",
            MUST,
            "Broker missing or not Ready: the Trigger's Ready is False, with a reason",
            "Trigger lifecycle",
        ),
        Row("CP-11", MUST, "`status.subscriberUri` is set before the Trigger is Ready", "Trigger lifecycle"),
        Row(
            "CP-12",
            MUST,
            "Subscriber unresolvable: Ready False, a condition says why, `subscriberUri` empty",
            "Trigger lifecycle",
        ),
        Row(
            "CP-13",
            MUST,
            "The Trigger's dead letter sink is in its status before it is Ready",
            "Trigger lifecycle",
        ),
        Row("CP-14", MUST_NOT, "Update `spec.broker`", "Trigger lifecycle"),
        Row("CP-15", SHOULD, "All other fields of a Trigger can be updated", "Trigger lifecycle"),
        Row(
            "CP-16",
            MUST,
            "A Trigger is Ready only once all future matching events will be sent",
            "Trigger lifecycle",
        ),
        Row("CP-17", MAY, "Some events before Ready, and after deletion", "Trigger lifecycle", _PERMISSION),
        Row(
            "CP-18",
            MUST,
            "A Destination is resolved by `status.address.url`; a v1 Service is `http://<svc>.<ns>.svc/`",
            "Destination resolution",
        ),
        Row("CP-19", MUST, "`ref` and `uri`: relative to the resolved ref", "Destination resolution"),
        Row("CP-20", MUST, "Unresolvable: Ready False; SHOULD name it in the reason", "Destination resolution"),
        Row("CP-21", MUST, "Durably enqueued before the acknowledgement", "Event ingress"),
        Row("CP-22", MUST, "Each event is evaluated exactly once against each Trigger", "Event delivery"),
        Row("CP-23", MUST, "One delivery for each matching Trigger, also to equal destinations", "Event delivery"),
        Row("CP-24", MUST_NOT, "Change event data (metadata MAY be added)", "Event delivery"),
        Row(
            "CP-25",
            MUST,
            "Replies are enqueued again with the same routing and persistence",
            "Event delivery",
        ),
        Row(
            "CP-26",
            MUST,
            "Replies are evaluated against all Triggers, the originating one included",
            "Event delivery",
        ),
        Row(
            "CP-27",
            MUST,
            "A reply that cannot be stored fails the whole delivery, which is retried",
            "Event delivery",
            "the broker's store would have to refuse the reply and nothing before it",
        ),
        Row(
            "CP-28",
            MAY,
            "Loop detection; documented (RECOMMENDED)",
            "Event delivery",
            "a permission, and a wish about documentation",
        ),
        Row("CP-29", MAY, "Replies may bypass HTTP internally", "Event delivery", _PERMISSION),
        Row("CP-30", MUST, "Delivery uses the URLs and options resolved in the status", "Event delivery"),
        Row(
            "CP-31",
            MUST,
            "Retryable failures are retried up to `retry` times with the given back-off",
            "Event delivery",
        ),
        Row(
            "CP-32",
            MUST,
            "What is undeliverable, event or reply, goes to the dead letter sink; without one it is dropped",
            "Event delivery",
        ),
        Row("CP-33", SHOULD, "The dead letter sink is retried with the same parameters", "Event delivery"),
        Row(
            "CP-34",
            MUST,
            "All fields of the document are in the API; no other may be required",
            "Detailed resources",
        ),
        Row("CP-35", MUST, "A Trigger with any delivery ignores the Broker's as a whole", "Detailed resources"),
        Row("CP-36", MUST, "Linear: the same delay each time; exponential: delay times 2^N", "DeliverySpec"),
        Row(
            "CP-37",
            MUST,
            'Filter: each key present, a non-empty value exact and case-sensitive, "" any value',
            "Trigger filtering",
        ),
        Row(
            "CP-38",
            MUST,
            "`observedGeneration` is updated together with the conditions",
            "Error conditions and reporting",
        ),
        Row(
            "CP-39",
            MUST,
            "`status.conditions` is a list of unique types with their fields",
            "Error conditions and reporting",
        ),
        Row("CP-40", MUST, "`Ready` sums up", "Error conditions and reporting"),
        Row(
            "CP-41",
            MUST,
            "A False condition makes Ready False, an Unknown one False or Unknown",
            "Error conditions and reporting",
        ),
        Row(
            "CP-42",
            MUST,
            "False has a reason; SHOULD: every condition that is not True has reason and message",
            "Error conditions and reporting",
        ),
        Row(
            "CP-43",
            SHOULD,
            "Positive names; transient conditions have severity Info",
            "Error conditions and reporting",
        ),
        Row("CP-44", MUST, "Malformed requests are refused by the service (400)", "Error signalling"),
    ),
)
