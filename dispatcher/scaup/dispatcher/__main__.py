"""``python -m scaup.dispatcher``: compose the dispatcher and run it."""

from __future__ import annotations

from scaup.core.http.outbound import Outbound
from scaup.core.runtime import lifecycle
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.plane import data_plane
from scaup.core.runtime.traces import tracing
from scaup.dispatcher.app import Dispatcher
from scaup.dispatcher.attempt import Attempts
from scaup.dispatcher.settings import DispatcherSettings


async def run(settings: DispatcherSettings, life: Life) -> None:
    """Deliver until it is time to stop; then finish what is under way and hand back the rest."""
    outbound = Outbound(settings.sink_deny)
    service = settings.service
    async with (
        tracing(settings.traces, "scaup-dispatcher", service.replica_name) as traces,
        data_plane("dispatcher", settings.bus, service, settings.metrics_listen, life) as plane,
    ):
        attempt_traces = None
        if traces is not None:
            from scaup.dispatcher.traces import AttemptTraces

            attempt_traces = AttemptTraces(traces, plane.definitions)
        dispatcher = Dispatcher(plane, Attempts(outbound, settings.max_answer_bytes), settings, attempt_traces)
        life.health.add("deliveries", dispatcher.why_not_ready)
        working = plane.watch(dispatcher.run(), "dispatcher")
        await plane.until_stopping()
        working.cancel()
        await dispatcher.drain(settings.service.drain_s * 0.6)
        await outbound.close()


def main() -> None:
    """Run the process."""
    lifecycle.main("dispatcher", DispatcherSettings, lambda settings: settings.service, run)


if __name__ == "__main__":
    main()
