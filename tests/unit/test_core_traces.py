"""The settings of traces, and the queue of spans: bounded, and never waited for."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from scaup.core.model.errors import SettingsError
from scaup.core.runtime.settings import load
from scaup.core.runtime.spans import Sending
from scaup.core.runtime.traces import TraceSettings
from scaup.filter.settings import FilterSettings
from tests.support.dataplane import metric


class Stuck:
    """Takes a first batch and never comes back, until it is told to."""

    def __init__(self) -> None:
        self.is_asked, self.may_go = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult:
        self.is_asked.set()
        self.may_go.wait(10)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.may_go.set()


def dropped() -> float:
    return metric("scaup_trace_spans_total", result="dropped")


def test_spans_that_do_not_fit_are_dropped_and_counted() -> None:
    stuck, before = Stuck(), dropped()
    sending = Sending(stuck, most=4)
    sending.add(ReadableSpan("first"))
    assert stuck.is_asked.wait(5)
    for number in range(10):
        sending.add(ReadableSpan(str(number)))

    assert dropped() - before == 6
    failed = metric("scaup_trace_spans_total", result="failed")
    stuck.may_go.set()
    sending.close()
    assert metric("scaup_trace_spans_total", result="failed") - failed == 5


def test_nothing_is_traced_by_default() -> None:
    assert load(TraceSettings, {}) == load(TraceSettings, {"SCAUP_OTLP_ENDPOINT": ""}) == TraceSettings()
    assert not TraceSettings().endpoint


def test_a_service_that_traces_nothing_knows_the_settings_all_the_same() -> None:
    load(FilterSettings, {"SCAUP_OTLP_ENDPOINT": "http://x", "SCAUP_TRACE_SAMPLE": "1"})


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://there/v1/traces", "https://there/v1/traces"),
        ("https://there/otlp/x", "https://there/otlp/x"),
    ],
)
def test_the_path_for_traces_is_added_where_none_is_given(given: str, endpoint: str) -> None:
    assert load(TraceSettings, {"SCAUP_OTLP_ENDPOINT": given}).endpoint == endpoint


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCAUP_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("SCAUP_OTLP_ENDPOINT", "grpc://there:4317"),
        ("SCAUP_OTLP_ENDPOINT", "http://"),
        ("SCAUP_TRACE_SAMPLE", "2"),
        ("SCAUP_TRACE_SAMPLE", "-0.1"),
        ("SCAUP_TRACE_SAMPLE", "1 %"),
        ("SCAUP_TRACE_SAMPLE", "nan"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load(TraceSettings, {variable: value})
