"""The rows of what stands beside CloudEvents: the webhook, the NATS binding, filters of subscriptions, and CESQL."""

from __future__ import annotations

from typing import Final

from scaup.conformance.rows.row import MAY, MUST, MUST_NOT, SHOULD, SHOULD_NOT, Chapter, Row

_LOG: Final = "the event log is behind the broker; how it is written is not seen over HTTP"
_PERMISSION: Final = "a permission: whatever a broker does, it does not go against it"
_SENDER: Final = "asks something of senders that ask for leave; a broker need not be one"
_TLS: Final = "depends on how the broker is deployed"

WEBHOOK: Final = Chapter(
    "CloudEvents: webhook",
    "cloudevents/spec, cloudevents/http-webhook.md",
    (
        Row("WH-1", MUST, "Deliveries are POST", "2.1 Delivery request"),
        Row("WH-2", MUST, "Deliveries go over TLS", "2.1 Delivery request", _TLS),
        Row("WH-3", MUST, "A delivery with data says what they are: `Content-Type`", "2.1 Delivery request"),
        Row("WH-4", MUST, "What is accepted is answered with 200, 201, 202 or 204", "2.2 Delivery response"),
        Row("WH-5", MUST, "A 200 has a `Content-Type` where it has a body", "2.2 Delivery response"),
        Row("WH-6", SHOULD, "What is accepted and not yet processed is a 202", "2.2 Delivery response"),
        Row("WH-7", MUST_NOT, "A target answers with a redirect", "2.2 Delivery response"),
        Row("WH-8", MUST_NOT, "A sender follows a redirect", "2.2 Delivery response"),
        Row("WH-9", SHOULD, "After a 410 the event is not sent to that target again", "2.2 Delivery response"),
        Row("WH-10", MUST, "A 429 has `Retry-After`", "2.2 Delivery response", "would take an overload of the broker"),
        Row("WH-11", SHOULD, "A sender heeds `Retry-After` of a 429", "2.2 Delivery response"),
        Row(
            "WH-12",
            MUST,
            "A format that is not understood is refused: 415, or 400 as Knative has it",
            "2.2 Delivery response",
        ),
        Row("WH-13", SHOULD, "Targets answer the question for leave", "4. Abuse protection"),
        Row("WH-14", MUST, "The question is an OPTIONS to the target itself", "4.1 Validation request"),
        Row(
            "WH-15",
            MUST,
            "A target that grants names the origin, or `*`: `WebHook-Allowed-Origin`",
            "4.2.1 WebHook-Allowed-Origin",
        ),
        Row(
            "WH-16",
            MUST,
            "Where a rate was asked for, a grant has `WebHook-Allowed-Rate`",
            "4.2.2 WebHook-Allowed-Rate",
        ),
        Row("WH-17", MUST, "That rate is a positive whole number, or `*`", "4.2.2 WebHook-Allowed-Rate"),
        Row("WH-18", SHOULD, "A grant has `Allow`, and in it POST", "4.2 Validation response"),
        Row("WH-19", MUST, "A sender that asks has `WebHook-Request-Origin`", "4.1.2 WebHook-Request-Origin", _SENDER),
        Row("WH-20", MAY, "A sender gives a callback", "4.1.3 WebHook-Request-Callback", _PERMISSION),
        Row(
            "WH-21",
            MUST,
            "A target that does not grant says nothing of the kind",
            "4.2.1 WebHook-Allowed-Origin",
            _SENDER,
        ),
        Row(
            "WH-22",
            MUST,
            "A token in `Authorization` is a bearer token",
            "3.1 Authorization request header field",
            _TLS,
        ),
        Row("WH-23", SHOULD_NOT, "Tokens stand in the address", "3.2 URI query parameter", _TLS),
    ),
)

NATS: Final = Chapter(
    "CloudEvents: NATS binding",
    "cloudevents/spec, cloudevents/bindings/nats-protocol-binding.md, for the event log",
    (
        Row("NB-1", MUST, "Binary mode: each attribute is a header `ce-` and its name", "3.1.2 Metadata headers", _LOG),
        Row("NB-2", MUST, "Binary mode: `datacontenttype` is a header `ce-` too", "3.1.2 Metadata headers", _LOG),
        Row("NB-3", MUST, "Values of headers are percent-encoded", "3.1.3.2 NATS header values", _LOG),
        Row(
            "NB-4",
            MUST,
            "Values of headers are percent-decoded, no UTF-8 is refused",
            "3.1.3.2 NATS header values",
            _LOG,
        ),
        Row("NB-5", MUST, "The data is the content, byte for byte", "3.1.1 Event data encoding", _LOG),
        Row("NB-6", MUST, "Structured mode has its media type in `Content-Type`", "3.2 Structured content mode", _LOG),
        Row("NB-7", MUST_NOT, "Batches are stored as one", "1.3 Content modes", _LOG),
        Row("NB-8", MUST, "Without that header the mode is binary", "3. NATS message mapping", _LOG),
    ),
)

FILTERS: Final = Chapter(
    "CloudEvents: filters of subscriptions",
    "cloudevents/spec, subscriptions/spec.md; in a Trigger they are `spec.filters`",
    (
        Row("SF-1", MUST, "All filters of the list have to match", "3.2.4 Filters"),
        Row("SF-2", MUST, "Without filters, or with an empty list, every event matches", "3.2.4 Filters"),
        Row("SF-3", MUST, "`exact`: every attribute named is there and equal", "3.2.4.1 Filter dialects, exact"),
        Row("SF-4", MUST, "`prefix`: every attribute named begins so", "3.2.4.1 Filter dialects, prefix"),
        Row("SF-5", MUST, "`suffix`: every attribute named ends so", "3.2.4.1 Filter dialects, suffix"),
        Row("SF-6", MUST, "`exact`, `prefix` and `suffix` heed case", "3.2.4.1 Filter dialects"),
        Row("SF-7", MUST, "An attribute that is not there does not match", "3.2.4.1 Filter dialects"),
        Row("SF-8", MUST, "`all`: every nested filter has to match", "3.2.4.1 Filter dialects, all"),
        Row("SF-9", MUST, "`any`: at least one nested filter has to match", "3.2.4.1 Filter dialects, any"),
        Row("SF-10", MUST, "`not`: the nested filter must not match", "3.2.4.1 Filter dialects, not"),
        Row("SF-11", MUST, "`all`, `any` and `not` nest to any sensible depth", "3.2.4.1 Filter dialects"),
        Row("SF-12", MUST, "`sql` (in Triggers `cesql`): the expression is true", "3.2.4.1 Filter dialects, sql"),
        Row("SF-13", MUST_NOT, "An expression that errs, or is no Boolean, matches", "3.2.4.1 Filter dialects, sql"),
        Row("SF-14", SHOULD, "An expression that does not parse is refused", "3.2.4.1 Filter dialects, sql"),
        Row("SF-15", MUST, "Values are compared as text: Integers and Booleans too", "3.2.4.1 Filter dialects"),
        Row("SF-16", MUST, "Filters see decoded values, in whatever mode the event came", "3.2.4.1 Filter dialects"),
        Row("SF-17", SHOULD, "A filter with two dialects in one object is refused", "3.2.4.1 Filter dialects"),
        Row("SF-18", MUST_NOT, "What is not understood matches everything", "3.2.4.1 Filter dialects"),
    ),
)

CESQL: Final = Chapter(
    "CloudEvents SQL 1.0",
    "cloudevents/spec, cesql/spec.md",
    (
        Row("SQ-1", MUST, "Keywords are written in any case", "2. Language syntax"),
        Row("SQ-2", MUST, "Booleans are TRUE and FALSE", "2.2 Value identifiers and literals"),
        Row("SQ-3", MUST, "Integers are signed, within 32 bits", "2.2 Value identifiers and literals"),
        Row("SQ-4", MUST, "Strings stand in single or double quotes", "2.2 Value identifiers and literals"),
        Row(
            "SQ-5",
            MUST,
            "A backslash before the delimiter is part of the string's writing",
            "2.2 Value identifiers and literals",
        ),
        Row("SQ-6", MUST, "A name is the value of that attribute", "2.2 Value identifiers and literals"),
        Row(
            "SQ-7",
            MUST,
            "Boolean and Integer attributes have their types where the event says so",
            "3.2 CloudEvent context identifiers and types",
        ),
        Row(
            "SQ-8",
            MUST,
            "An attribute that is not there is an error, the value is the type's zero",
            "3.2 CloudEvent context identifiers and types",
        ),
        Row("SQ-9", MUST, "`=`, `!=` and `<>` compare Booleans, Integers and Strings", "3.4.2 Binary operators"),
        Row("SQ-10", MUST, "The left side is cast to the type of the right side", "3.4.2 Binary operators"),
        Row("SQ-11", MUST, "`<`, `<=`, `>` and `>=` compare Integers", "3.4.2 Binary operators"),
        Row("SQ-12", MUST, "`AND`, `OR`, `XOR`", "3.4.2 Binary operators"),
        Row("SQ-13", MUST, "`AND` and `OR` stop where the result is certain", "3.4.2 Binary operators"),
        Row("SQ-14", MUST, "`NOT` negates", "3.4.1 Unary operators"),
        Row("SQ-15", MUST, "Unary minus negates", "3.4.1 Unary operators"),
        Row("SQ-16", MUST, "`+`, `-` and `*` are those of Integers", "3.4.2 Binary operators"),
        Row("SQ-17", MUST, "`/` cuts towards zero, `%` has the dividend's sign", "3.4.2 Binary operators"),
        Row("SQ-18", MUST, "By zero is an error, and the value 0", "3.4.2 Binary operators"),
        Row("SQ-19", MUST, "`LIKE`: `%` is any text, `_` is one character", "3.4.3 Like operator"),
        Row("SQ-20", MUST, "`LIKE`: a backslash takes the meaning of `%` and `_`", "3.4.3 Like operator"),
        Row("SQ-21", MUST, "`LIKE` heeds case; `NOT LIKE` is the opposite", "3.4.3 Like operator"),
        Row("SQ-22", MUST, "`EXISTS` is whether an attribute is there, and never an error", "3.4.4 Exists operator"),
        Row("SQ-23", MUST, "`IN` is whether a value is one of a list; `NOT IN` the opposite", "3.4.5 In operator"),
        Row("SQ-24", MUST, "Elements of `IN` are cast to the type of the left side", "3.4.5 In operator"),
        Row(
            "SQ-25",
            MUST,
            "Multiplication before addition before comparison before logic",
            "3.6 Evaluation of the expression",
        ),
        Row("SQ-26", MUST, "Parentheses group", "2.1 Expression"),
        Row("SQ-27", MUST, "`LENGTH`, in characters", "3.5.1 Built-in String manipulation"),
        Row("SQ-28", MUST, "`CONCAT` and `CONCAT_WS`", "3.5.1 Built-in String manipulation"),
        Row("SQ-29", MUST, "`LOWER`, `UPPER` and `TRIM`", "3.5.1 Built-in String manipulation"),
        Row("SQ-30", MUST, "`LEFT` and `RIGHT`", "3.5.1 Built-in String manipulation"),
        Row(
            "SQ-31",
            MUST,
            "`SUBSTRING` counts from 1, and from the end where negative",
            "3.5.1 Built-in String manipulation",
        ),
        Row("SQ-32", MUST, "`ABS` is the distance from zero", "3.5.2 Built-in Math functions"),
        Row("SQ-33", MUST, "Names of functions are written in any case", "3.5 Functions"),
        Row("SQ-34", MUST, "A function that does not exist is an error", "3.5 Functions"),
        Row("SQ-35", MUST, "A text is cast to Integer or Boolean where it is one, else an error", "3.7 Type casting"),
        Row("SQ-36", MUST, "Integers and Booleans are cast to text by their canonical form", "3.7 Type casting"),
        Row("SQ-37", SHOULD, "The first error ends the evaluation", "4.1 Error handling"),
        Row("SQ-38", MUST, "What does not parse is an error of its own kind, found before any event", "3.3 Errors"),
        Row("SQ-39", MAY, "Users add functions", "3.5 Functions", _PERMISSION),
    ),
)
