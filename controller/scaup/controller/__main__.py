"""``python -m scaup.controller``: compose the controller and run it."""

from __future__ import annotations

import asyncio

from scaup.controller import kube
from scaup.controller.app import Controller, Mandate
from scaup.controller.metrics import LEADER
from scaup.controller.settings import ControllerSettings
from scaup.controller.sinkbindings import SinkBindings
from scaup.core.bus.connection import connect
from scaup.core.http.server import HttpServer, bind
from scaup.core.runtime import lifecycle
from scaup.core.runtime.lifecycle import Life
from scaup.core.runtime.observe import metrics_app, watch_bus


async def run(settings: ControllerSettings, life: Life) -> None:
    """Control until it is time to stop. Nothing is under way then that the next controller would not do again."""
    listen = settings.metrics_listen
    observing = HttpServer(metrics_app(life.health), bind(listen.host, listen.port))
    async with asyncio.TaskGroup() as tasks:
        observed = tasks.create_task(observing.run(), name="observing")
        work = tasks.create_task(_control(settings, life), name="control")
        try:
            await life.until_stopping(work)
        finally:
            work.cancel()
            observing.stop()
        await observed


async def _control(settings: ControllerSettings, life: Life) -> None:
    life.health.add("bus", lambda: "not connected to NATS yet")
    async with kube.connect(settings.kubeconfig) as api, connect(settings.bus.access(), "scaup-controller") as bus:
        watch_bus(bus, life.health)
        mandate = Mandate(
            public_url=settings.public_url,
            keep_dead_letters_s=settings.keep_dead_letters_s,
            name=settings.service.replica_name,
            defaults=settings.defaults,
            replicas=settings.default_replicas,
            take_over=settings.take_over,
            lease=settings.lease,
        )
        controller = Controller(bus, api, mandate)
        if not settings.lease:
            LEADER.set(1)
        life.health.add("controller", controller.why_not_ready)
        life.health.note("controller", controller.standing_by)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bus.until_closed(), name="bus")
            tasks.create_task(controller.run(), name="controller")
            if settings.sinkbinding:
                bindings = SinkBindings(api, lambda: controller.standing_by() is None)
                tasks.create_task(bindings.run(), name="sinkbindings")


def main() -> None:
    """Run the process."""
    lifecycle.main("controller", ControllerSettings, lambda settings: settings.service, run)


if __name__ == "__main__":
    main()
