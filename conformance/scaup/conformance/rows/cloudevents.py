"""The rows of CloudEvents 1.0: the core document, the JSON format with its batches, and the HTTP binding."""

from __future__ import annotations

from typing import Final

from scaup.conformance.rows.row import MAY, MUST, MUST_NOT, RECOMMENDED, SHOULD, SHOULD_NOT, Chapter, Row

_DEFINER: Final = "asks something of whoever defines an extension, not of a broker"
_PERMISSION: Final = "a permission: whatever a broker does, it does not go against it"
_PRODUCER: Final = "asks something of producers; a broker cannot see whether they did it"

CORE: Final = Chapter(
    "CloudEvents: core",
    "cloudevents/spec, cloudevents/spec.md",
    (
        Row("CE-1", MUST, "`id` is there and not empty", "REQUIRED attributes, id"),
        Row("CE-2", MUST, "`source` is there and not empty", "REQUIRED attributes, source"),
        Row("CE-3", MUST, "`specversion` is there and not empty", "REQUIRED attributes, specversion"),
        Row("CE-4", MUST, "An event of this version has `specversion` 1.0", "REQUIRED attributes, specversion"),
        Row("CE-5", MUST, "`type` is there and not empty", "REQUIRED attributes, type"),
        Row("CE-6", MUST, "`source` is a URI-reference, relative or absolute", "REQUIRED attributes, source"),
        Row(
            "CE-7",
            MUST,
            "`source` and `id` together are unique for each distinct event",
            "REQUIRED attributes, id",
            _PRODUCER,
        ),
        Row(
            "CE-8", MAY, "Consumers take equal `source` and `id` for duplicates", "REQUIRED attributes, id", _PERMISSION
        ),
        Row(
            "CE-9",
            MUST,
            "`datacontenttype`, where there, is a media type of RFC 2046",
            "OPTIONAL attributes, datacontenttype",
        ),
        Row("CE-10", MUST, "`datacontenttype` may be there without data", "OPTIONAL attributes, datacontenttype"),
        Row(
            "CE-11", MUST, "`dataschema`, where there, is an absolute URI, not empty", "OPTIONAL attributes, dataschema"
        ),
        Row("CE-12", MUST, "`subject`, where there, is a string that is not empty", "OPTIONAL attributes, subject"),
        Row("CE-13", MUST, "`time`, where there, is a timestamp of RFC 3339", "OPTIONAL attributes, time"),
        Row("CE-14", MUST, "Names of attributes are lower-case letters and digits of ASCII", "Naming conventions"),
        Row(
            "CE-15", SHOULD, "Names begin with a letter and have at most 20 characters", "Naming conventions", _DEFINER
        ),
        Row("CE-16", MUST_NOT, "An attribute has the name `data`", "Naming conventions"),
        Row("CE-17", MUST_NOT, "An attribute appears more than once in an event", "Context attributes"),
        Row("CE-18", MAY, "Events have any number of extension attributes", "Extension context attributes"),
        Row(
            "CE-19",
            SHOULD,
            "Intermediaries forward extension attributes they do not know",
            "Extension context attributes",
        ),
        Row("CE-20", MUST, "Strings hold no control characters (U+0000-U+001F, U+007F-U+009F)", "Type system, String"),
        Row("CE-21", MUST, "Strings hold no unpaired surrogates and no noncharacters", "Type system, String"),
        Row("CE-22", MUST, "Strings hold every other character of Unicode", "Type system, String"),
        Row("CE-23", MUST, "Integers are whole and signed, within 32 bits", "Type system, Integer"),
        Row("CE-24", MUST, "The canonical text of an Integer is decimal", "Type system, Integer"),
        Row("CE-25", MUST, "The canonical text of a Boolean is `true` or `false`", "Type system, Boolean"),
        Row("CE-26", MUST, "Data is optional: an event without is an event", "Event data"),
        Row(
            "CE-27",
            MUST,
            "Data is of any kind and is carried on as it is",
            "Event data",
        ),
        Row("CE-28", MUST, "Intermediaries forward events of up to 64 KiB", "Size limits"),
        Row("CE-29", SHOULD, "Consumers take events of at least 64 KiB", "Size limits"),
        Row("CE-30", SHOULD, "Producers keep events small", "Size limits", _PRODUCER),
        Row("CE-31", SHOULD, "Intermediaries forward attributes that are optional", "Context attributes"),
        Row("CE-32", SHOULD_NOT, "Attributes carry what is sensitive", "Privacy and security", _PRODUCER),
        Row("CE-33", MUST, "Every value has a canonical text that can be carried on and read", "Type system"),
        Row(
            "CE-34",
            MUST_NOT,
            "Middleware changes `recordedtime`; none removes `expirytime`",
            "extensions/recorded-time.md, expiry-time.md",
        ),
        Row(
            "CE-35",
            SHOULD,
            "`traceparent` of an event stays that of its producer",
            "extensions/distributed-tracing.md",
        ),
        Row("CE-36", MUST, "All events of a batch have the same `specversion`", "Terminology, Message"),
    ),
)

JSON: Final = Chapter(
    "CloudEvents: JSON format and batches",
    "cloudevents/spec, cloudevents/formats/json-format.md",
    (
        Row("JF-1", MUST, "Attributes are members of the object, by their names", "2. Attributes"),
        Row("JF-2", MUST, "A member that is `null` is read as not there", "2.2 Type system mapping"),
        Row("JF-3", MUST, "A Boolean is `true` or `false`", "2.2 Type system mapping"),
        Row("JF-4", MUST, "An Integer is a number without fraction and exponent", "2.2 Type system mapping"),
        Row("JF-5", MUST, "All other types are strings", "2.2 Type system mapping"),
        Row("JF-6", MUST_NOT, "An object or an array is an attribute's value", "2.2 Type system mapping"),
        Row("JF-7", MUST, "Extensions are members beside the others", "2. Attributes"),
        Row("JF-8", MUST_NOT, "`data` and `data_base64` are there together", "3.1 Handling of data"),
        Row("JF-9", MUST, "`data_base64` is the bytes in base64", "3.1 Handling of data"),
        Row("JF-10", MUST, "`data_base64` that is no base64 is refused", "3.1 Handling of data"),
        Row("JF-11", MUST, "With a JSON type, or none, `data` is any JSON value", "3.1 Handling of data"),
        Row(
            "JF-12", MUST, "A JSON type is `*/json` and `*/*+json`, with or without parameters", "3.1 Handling of data"
        ),
        Row("JF-13", MUST_NOT, "A JSON string in `data` is read a second time", "3.1 Handling of data"),
        Row("JF-14", MUST, "With another type, a string in `data` is the content itself", "3.1 Handling of data"),
        Row("JF-15", MUST, "`data` that is `null` is data, and not the absence of it", "3.1 Handling of data"),
        Row(
            "JF-16",
            SHOULD,
            "Without `datacontenttype`, data of the JSON member is written as `application/json` in another mode",
            "3.1 Handling of data",
        ),
        Row("JF-17", MUST_NOT, "A content type is made up for `data_base64` without one", "3.1 Handling of data"),
        Row("JF-18", MUST, "Data that is no text is in `data_base64` when sent on", "3.1 Handling of data"),
        Row("JF-19", MUST, "JSON data is in `data` as JSON when sent on", "3.1 Handling of data"),
        Row("JF-20", MUST, "What is sent is JSON of RFC 8259, in UTF-8", "1. Introduction"),
        Row("JF-21", MUST, "What is no JSON is refused", "1. Introduction"),
        Row("JF-22", MUST, "The media type of an event is `application/cloudevents+json`", "3. Envelope"),
        Row("JF-23", MUST, "`data_base64` and `data` of no JSON type may be empty", "3.1 Handling of data"),
        Row("BA-1", MAY, "Batches are taken", "4. JSON batch format", "a permission; what follows from it is below"),
        Row("BA-2", MUST, "A batch, where taken, is a JSON array of events", "4.1 Mapping CloudEvents"),
        Row("BA-3", MUST, "A batch, where taken, may be empty", "4.1 Mapping CloudEvents"),
        Row("BA-4", MUST, "Every event of a batch that is taken is an event of its own", "4.1 Mapping CloudEvents"),
        Row("BA-5", MUST, "Every event of a batch has to be valid", "4.1 Mapping CloudEvents"),
        Row(
            "BA-6",
            MUST_NOT,
            "A sender uses batches unasked: sinks get single events",
            "HTTP binding, 3. HTTP message mapping",
        ),
        Row("BA-7", SHOULD, "A batch that is refused is refused whole", "one answer has one status"),
        Row("BA-8", MUST, "The media type of a batch is `application/cloudevents-batch+json`", "4.2 Envelope"),
    ),
)

HTTP: Final = Chapter(
    "CloudEvents: HTTP binding",
    "cloudevents/spec, cloudevents/bindings/http-protocol-binding.md",
    (
        Row("HB-1", MUST, "The content type decides the mode, and nothing else", "3. HTTP message mapping"),
        Row("HB-2", MUST, "`application/cloudevents` before the format is structured mode", "3. HTTP message mapping"),
        Row("HB-3", MUST, "`application/cloudevents-batch` is batched mode, or refused", "3. HTTP message mapping"),
        Row("HB-4", MUST, "Any other content type, or none, is binary mode", "3. HTTP message mapping"),
        Row("HB-5", MUST, "The media type is compared without regard to case", "3. HTTP message mapping"),
        Row(
            "HB-6",
            SHOULD,
            "A format that is not known may be passed on or refused, but not misread",
            "3. HTTP message mapping",
        ),
        Row(
            "HB-7",
            MUST,
            "In binary mode `Content-Type` is `datacontenttype`, with its parameters",
            "3.1.1 HTTP Content-Type",
        ),
        Row("HB-8", MUST_NOT, "`ce-datacontenttype` is sent in binary mode", "3.1.1 HTTP Content-Type"),
        Row("HB-9", MUST, "Every other attribute is a header `ce-` and its name", "3.1.3.1 HTTP header names"),
        Row("HB-10", MUST, "Names of headers are compared without regard to case", "3.1.3.1 HTTP header names"),
        Row("HB-11", MUST, "The body is the data, byte for byte", "3.1.2 Event data encoding"),
        Row("HB-12", MUST, "Values are percent-decoded, once", "3.1.3.2 HTTP header values"),
        Row("HB-13", MUST, "Hex digits of either case are decoded", "3.1.3.2 HTTP header values"),
        Row("HB-14", MUST, "What is encoded without need is decoded too", "3.1.3.2 HTTP header values"),
        Row("HB-15", MUST, "Percent-encoded bytes that are no UTF-8 are refused", "3.1.3.2 HTTP header values"),
        Row("HB-16", MUST, "A value in double quotes is unquoted, with its escapes", "3.1.3.2 HTTP header values"),
        Row("HB-17", MUST, "Space, double quote and percent are encoded when sent", "3.1.3.2 HTTP header values"),
        Row("HB-18", MUST, "What is not printable ASCII is encoded when sent, as UTF-8", "3.1.3.2 HTTP header values"),
        Row("HB-19", SHOULD_NOT, "Other characters are encoded when sent", "3.1.3.2 HTTP header values"),
        Row("HB-20", SHOULD, "Hex digits are upper-case when sent", "3.1.3.2 HTTP header values"),
        Row("HB-21", MUST, "In structured mode all attributes are read from the body", "3.2.3 Metadata headers"),
        Row("HB-22", MAY, "Headers repeat attributes in structured mode; the body counts", "3.2.3 Metadata headers"),
        Row("HB-23", MUST, "Structured events that are sent have the format's media type", "3.2.1 HTTP Content-Type"),
        Row("HB-24", MUST, "Who does structured mode does the JSON format", "1.4 Event formats"),
        Row("HB-25", MUST, "A chunked body is read as any other", "HTTP/1.1 (RFC 9112), 7.1"),
        Row("HB-26", MUST, "`Expect: 100-continue` is answered, so that the body comes", "RFC 9110, 10.1.1"),
        Row("HB-27", MUST, "Several requests go over one connection that is kept", "RFC 9112, 9.3"),
        Row("HB-28", MUST, "A body that ends before its announced length is no event", "RFC 9112, 8"),
        Row("HB-29", MUST, "Content-Length and Transfer-Encoding that contradict are not believed", "RFC 9112, 6.3"),
        Row("HB-30", SHOULD, "A request of HTTP/1.0 is understood", "RFC 9110, 2.5"),
        Row("HB-31", MUST, "A request of HTTP/1.1 without `Host` is a 400", "RFC 9112, 3.2"),
        Row("HB-32", MUST, "Whitespace around a header's value is no part of it", "RFC 9112, 5.1"),
        Row("HB-33", MUST, "What is sent has one `Host`, and a length or chunks", "RFC 9112, 3.2 and 6.3"),
        Row("HB-34", SHOULD, "A body that comes slowly, but comes, is taken", "RFC 9112"),
        Row("HB-35", MUST, "A broken request ends no other: the next one is answered", "RFC 9112, 9"),
        Row("HB-36", RECOMMENDED, "Raw spaces and stray percent signs of older senders are taken", "our reading"),
        Row("HB-37", MUST, "Pipelined requests are answered in their order", "RFC 9112, 9.3.2"),
    ),
)
