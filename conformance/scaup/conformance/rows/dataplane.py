"""The rows of Knative's data plane: how events are sent, received, answered and replied to."""

from __future__ import annotations

from typing import Final

from scaup.conformance.rows.row import MAY, MUST, MUST_NOT, RECOMMENDED, SHOULD, SHOULD_NOT, Chapter, Row

_PERMISSION: Final = "a permission: whatever a broker does, it does not go against it"

DATA_PLANE: Final = Chapter(
    "Knative: data plane",
    "knative/specs, specs/eventing/data-plane.md",
    (
        Row(
            "DP-1",
            MUST,
            "The CloudEvents HTTP binding 1.0 and HTTP/1.1 rule whatever the document leaves open",
            "Introduction",
        ),
        Row("DP-2", SHOULD, "Unknown negotiation, such as `Upgrade`, is ignored", "Content modes"),
        Row("DP-3", MUST, "CloudEvents 1.0 in binary and structured mode, as sender and as recipient", "Content modes"),
        Row("DP-4", MAY, "A sender that accepts no replies may implement one mode only", "Content modes", _PERMISSION),
        Row("DP-5", MUST, "Delivery is a POST, the sender chooses the mode", "Delivery"),
        Row(
            "DP-6",
            MUST,
            "A recipient that implements OPTIONS lists POST in `Allow` (a sender may probe)",
            "Feature discovery",
        ),
        Row("DP-7", SHOULD, "An error on OPTIONS does not stop the sender", "Feature discovery"),
        Row("DP-8", MUST, "The status code says whether the event was accepted", "Event acknowledgement"),
        Row(
            "DP-9",
            SHOULD_NOT,
            "Acknowledge before the event is processed or stably stored",
            "Event acknowledgement",
            "the broker's store would have to be stopped between the request and its answer",
        ),
        Row(
            "DP-10",
            MUST,
            "The sender acts on the code table: 2xx complete; 1xx, 3xx, 400, 401, 403 and other 4xx final; "
            "404, 408, 409, 429, 5xx retried",
            "Event acknowledgement and delivery retry",
        ),
        Row("DP-11", SHOULD, "Codes of no row are retriable", "Event acknowledgement and delivery retry"),
        Row("DP-12", MUST, "Duplicates are accepted", "Event acknowledgement and delivery retry"),
        Row(
            "DP-13",
            MUST,
            "If duplicates are detected, then by source and id",
            "Event acknowledgement and delivery retry",
        ),
        Row(
            "DP-14",
            MAY,
            "Attributes may be added or changed from attempt to attempt",
            "Event acknowledgement and delivery retry",
            _PERMISSION,
        ),
        Row("DP-15", SHOULD, "Retryable answers are retried", "Event acknowledgement and delivery retry"),
        Row("DP-16", RECOMMENDED, "Back off and throttle", "Event acknowledgement and delivery retry"),
        Row(
            "DP-17",
            MUST,
            "Brokers implement congestion control and retries",
            "Event acknowledgement and delivery retry",
        ),
        Row(
            "DP-18",
            SHOULD,
            "Delivery telemetry for users",
            "Observability",
            "how telemetry is read is every product's own",
        ),
        Row("DP-19", MUST, "The Broker sends `Prefer: reply` to `spec.subscriber`", "Derived (reply) events"),
        Row("DP-20", MAY, "A recipient replies with 200 and an event, in either mode", "Derived (reply) events"),
        Row("DP-21", MAY, "202 without a body: no reply", "Derived (reply) events"),
        Row("DP-22", MUST_NOT, "Treat the body of a 202 as a reply", "Derived (reply) events"),
        Row("DP-23", SHOULD, "A reply nobody asked for counts as acceptance of the event", "Derived (reply) events"),
        Row("DP-24", MUST, "Who processes replies sends `Prefer: reply`", "Derived (reply) events"),
    ),
)

DELIVERY: Final = Chapter(
    "Knative: beside the specification",
    "what knative/eventing documents and its end-to-end tests ask for",
    (
        Row("KE-1", SHOULD, "A dead letter names its destination: `knativeerrordest`", "Event delivery"),
        Row("KE-2", SHOULD, "A dead letter has the status it failed with: `knativeerrorcode`", "Event delivery"),
        Row(
            "KE-3",
            SHOULD,
            "A dead letter has the failure's body, in base64, 1,024 characters at most: `knativeerrordata`",
            "Event delivery",
        ),
        Row("KE-4", SHOULD, "`delivery.format` of a Trigger: `json` is structured, `binary` is binary", "Trigger"),
        Row("KE-5", SHOULD, "`delivery.timeout` is the time of each attempt; what takes longer has failed", "Delivery"),
        Row("KE-6", SHOULD, "With `retryAfterMax`, `Retry-After` of a 429 or 503 is waited for", "Delivery"),
        Row("KE-7", SHOULD, "`spec.filters` wins over `spec.filter`; an empty list does not", "Trigger filters"),
        Row("KE-8", SHOULD, "A malformed event in a response counts as failed delivery", "Test suite, Delivery"),
        Row(
            "KE-9",
            SHOULD,
            "`x-request-id`, `retry-after`, `knative-*` and `x-b3-*` headers travel with the event",
            "Broker",
        ),
        Row("KE-10", SHOULD_NOT, "`Authorization` of a producer reaches a sink", "Broker"),
        Row("KE-11", SHOULD, "A slash behind the Broker's address changes nothing", "Broker"),
        Row("KE-12", SHOULD, "Methods other than POST and OPTIONS are answered with 405", "Broker"),
        Row("KE-13", SHOULD, "The path `/` is answered with 404", "Broker"),
        Row("KE-14", SHOULD, "A Broker that does not exist is answered with 404", "Broker"),
        Row("KE-15", SHOULD, "A bad Trigger does not affect a good one", "Test suite, Trigger"),
        Row("KE-16", SHOULD, "A sink that does not answer delays nobody else's events, nor the producer", "Broker"),
        Row("KE-17", SHOULD, "A dead letter sink is not asked for replies", "Event delivery"),
        Row("KE-18", MAY, "Events of CloudEvents 0.3 are taken, and sent on as such", "Test suite, Broker ingress"),
        Row("KE-19", MAY, "Of 0.3, `schemaurl` may be relative and stays `schemaurl`", "CloudEvents 0.3, schemaurl"),
        Row("KE-20", MAY, "Of 0.3, `datacontentencoding` in JSON is that of the data", "CloudEvents 0.3, JSON format"),
        Row("KE-21", MAY, "Batches of 0.3 are taken", "CloudEvents 0.3, JSON batch format"),
        Row("KE-22", MAY, "Filters find `schemaurl` of events of 0.3", "Trigger filters"),
        Row("KE-23", MAY, "Replies and dead letters of 0.3 are of 0.3", "Test suite, Broker ingress"),
        Row("KE-24", SHOULD, "Deliveries say the Trigger's namespace: `Kn-Namespace`", "Test suite, Broker"),
        Row("KE-25", SHOULD, "The same headers of an answer travel with its reply", "Broker"),
        Row("KE-26", SHOULD_NOT, "Other headers of a producer, such as `Prefer` and cookies, reach a sink", "Broker"),
        Row("KE-27", SHOULD, "A header that travels keeps its bytes, and all values of its name", "RFC 9110, 5.3"),
        Row("KE-28", SHOULD, "OPTIONS is answered on any path, and takes no event", "Broker"),
    ),
)
