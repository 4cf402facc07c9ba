"""``python -m scaup.filter``: compose the filter and run it."""

from __future__ import annotations

from scaup.core.model.names import MATCH_SUBJECTS
from scaup.core.runtime import lifecycle
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.plane import data_plane
from scaup.filter.settings import FilterSettings
from scaup.filter.worker import Matcher

QUEUE_GROUP = "filter"


async def run(settings: FilterSettings, life: Life) -> None:
    """Answer questions once the definitions are loaded, until it is time to stop."""
    async with data_plane("filter", settings.bus, settings.service, settings.metrics_listen, life) as plane:
        matcher = Matcher(plane.bus, plane.definitions)
        plane.failing = matcher.failures.lately

        async def serve() -> None:
            await plane.definitions.loaded.wait()
            end = await plane.bus.subscribe(MATCH_SUBJECTS, matcher.answer, queue=QUEUE_GROUP)
            try:
                await life.stopping.wait()
            finally:
                await end()

        serving = plane.serve(serve(), "serving")
        await plane.until_stopping()
        await serving


def main() -> None:
    """Run the process."""
    lifecycle.main("filter", FilterSettings, lambda settings: settings.service, run)


if __name__ == "__main__":
    main()
