"""How the controller does with thousands of Triggers on a genuine Kubernetes API server.

`python -m bench.controller`: 50 Brokers with 5,000 Triggers are there; then the controller and the data plane start,
all as processes. Measured: from that start until the last Trigger says it is Ready; the controller's memory and CPU;
the requests that the API server gets until then, and while nothing changes; from a change of a Trigger to the first
delivery by the new one.

Responsible for: making these objects, starting these processes, and printing the table.
Must not: touch any process it did not start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import ssl
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import orjson
from bench.machine import Machine
from tests.support import rawhttp
from tests.support.clusterkinds import broker, install, trigger
from tests.support.natsserver import nats_server
from tests.support.realkube import Kube, kube
from tests.support.services import Service, service
from tests.support.sinks import Sink, sink

_EVENTING = "/apis/eventing.knative.dev/v1"
_AT_ONCE = 24
_NAMESPACE = "bench"
_KINDS = {"Broker": "brokers", "Trigger": "triggers"}
_GROUPS = ("eventing.knative.dev", "coordination.k8s.io")
_SERIES = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)


@dataclass
class Bench:
    """What is measured with, and on what."""

    cluster: Kube
    session: aiohttp.ClientSession
    triggers: int
    brokers: int
    ready_at: dict[str, float] = field(default_factory=dict)

    async def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> bytes:
        """The answer of the API server, as its administrator."""
        data = None if body is None else orjson.dumps(body)
        async with self.session.request(
            method, self.cluster.server + path, data=data, headers={"Content-Type": kind}
        ) as answer:
            text = await answer.read()
            if answer.status >= 300:
                raise RuntimeError(text.decode()[:300])
            return text

    async def make(self, where: str) -> float:
        """All objects; the Triggers of one Broker differ in the type they take. Gives back how long it took."""
        began = monotonic()
        objects = [broker(f"b{n}", _NAMESPACE) for n in range(self.brokers)]
        for number in range(self.triggers):
            wants = {"attributes": {"type": f"bench.{number // self.brokers}"}}
            objects.append(
                trigger(
                    f"t{number}",
                    _NAMESPACE,
                    {"uri": f"{where}/{number}"},
                    broker=f"b{number % self.brokers}",
                    filter=wants,
                )
            )
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(value: dict[str, Any]) -> None:
            async with gate:
                await self.request("POST", f"{_EVENTING}/namespaces/{_NAMESPACE}/{_KINDS[value['kind']]}", value)

        await asyncio.gather(*map(one, objects))
        return monotonic() - began

    async def watch(self) -> None:
        """Note when each Trigger is first seen to be Ready."""
        listed = orjson.loads(await self.request("GET", f"{_EVENTING}/triggers?limit=1"))
        query = f"watch=true&resourceVersion={listed['metadata']['resourceVersion']}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(f"{self.cluster.server}{_EVENTING}/triggers?{query}", timeout=timeout) as answer:
            async for line in answer.content:
                value = orjson.loads(line)["object"]
                conditions = (value.get("status") or {}).get("conditions") or []
                if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                    self.ready_at.setdefault(value["metadata"]["name"], monotonic())

    async def until_all_ready(self, began: float, within_s: float) -> float:
        """How long after ``began`` the last one was Ready."""
        while len(self.ready_at) < self.triggers:
            await asyncio.sleep(0.2)
            if monotonic() - began > within_s:
                msg = f"only {len(self.ready_at)} of {self.triggers} Triggers are Ready after {within_s:.0f} s"
                raise RuntimeError(msg)
        return max(self.ready_at.values()) - began

    async def requests(self) -> Counter[str]:
        """How many requests it has answered so far about our kinds and the Leases in our namespace's API group."""
        found: Counter[str] = Counter()
        for labels, number in _SERIES.findall((await self.request("GET", "/metrics")).decode()):
            known = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if known["group"] in _GROUPS:
                found[f"{known['verb']} {known['resource']}"] += int(float(number))
        return found

    async def steady(self, seconds: float) -> Counter[str]:
        """What is asked of it in so many seconds in which nothing changes."""
        before = await self.requests()
        await asyncio.sleep(seconds)
        return await self.requests() - before

    async def change(self, port: int, there: Sink, number: int) -> float:
        """Seconds from the answer to a change of a Trigger's subscriber to the first delivery at the new one."""
        path = f"{_EVENTING}/namespaces/{_NAMESPACE}/triggers/t{number}"
        to = f"{there.url}/changed/{number}/{random.randrange(10**9)}"
        sending = asyncio.create_task(_keep_sending(port, number, self.brokers))
        try:
            patch = {"spec": {"subscriber": {"uri": to}}}
            await self.request("PATCH", path, patch, "application/merge-patch+json")
            began = monotonic()
            while not any(to.endswith(request.path) for request in reversed(there.requests)):
                await asyncio.sleep(0.002)
                if monotonic() - began > 30:
                    msg = f"nothing came to {to} in 30 s"
                    raise RuntimeError(msg)
            return monotonic() - began
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _keep_sending(port: int, number: int, brokers: int) -> None:
    sent = 0
    while True:
        sent += 1
        with suppress(OSError, EOFError):
            await rawhttp.post(
                port,
                f"/{_NAMESPACE}/b{number % brokers}",
                b"{}",
                ce_id=f"{number}-{sent}",
                ce_type=f"bench.{number // brokers}",
            )
        await asyncio.sleep(0.02)


def _usage(one: Service) -> tuple[float, float, float]:
    """Resident MiB now and at most, and CPU seconds."""
    text = Path(f"/proc/{one.process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines())
    now, most = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most, _cpu(one.process.pid)


def _cpu(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def _measure(bench: Bench, stack: ExitStack, directory: Path, nats_url: str, args: argparse.Namespace) -> None:
    async with sink() as there:
        print(f"{bench.brokers} Brokers and {bench.triggers} Triggers made in {await bench.make(there.url):.1f} s")
        watching = asyncio.create_task(bench.watch())
        await asyncio.sleep(1)
        before = await bench.requests()
        began = monotonic()
        config = {
            "SCAUP_KUBECONFIG": bench.cluster.kubeconfig,
            "SCAUP_CONTROLLER_LEASE": "default/scaup-controller" if args.lease else "",
        }
        controller = stack.enter_context(service("controller", directory, nats_url, **config))
        plane = [
            stack.enter_context(service(home, directory, nats_url)) for home in ("ingress", "filter", "dispatcher")
        ]
        served = _cpu(bench.cluster.process.pid)
        took = await bench.until_all_ready(began, args.within)
        now, most, cpu = _usage(controller)
        print(
            f"all Ready {took:.1f} s after the start; controller: {now:.0f} MiB, {most:.0f} at most, {cpu:.1f} CPU s;"
        )
        served = _cpu(bench.cluster.process.pid) - served
        others = ", ".join(f"{one.home} {_usage(one)[2]:.1f}" for one in plane)
        print(f"of others, until then: API server {served:.1f} CPU s, {others}; load average {os.getloadavg()[0]:.1f}")
        print(f"requests until then: {json.dumps(await bench.requests() - before)}")
        for one in plane:
            await one.until_ready(60)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.sleep(5)
        used = _usage(controller)[2]
        asked = await bench.steady(args.steady)
        cpu = (_usage(controller)[2] - used) / args.steady
        print(f"requests in {args.steady:.0f} s without a change: {json.dumps(asked) if asked else 'none'};", end=" ")
        print(f"controller: {_usage(controller)[0]:.0f} MiB, {cpu:.1%} of a core")
        if lost := controller.log.read_text().count("election.lost"):
            print(f"the Lease was lost {lost} times: the controller did not get the CPU time to renew it")
        times = sorted([await bench.change(plane[0].port, there, 37 * n) for n in range(args.changes)])
        print(
            f"a changed Trigger in effect after {times[len(times) // 2]:.3f} s (median of {len(times)}; "
            f"{times[0]:.3f} to {times[-1]:.3f})"
        )


async def _run(args: argparse.Namespace) -> None:
    print(Machine.here().sentence())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scaup-bench")))
        cluster = stack.enter_context(kube())
        install(cluster)
        cluster.kubectl("create", "namespace", _NAMESPACE)
        server = stack.enter_context(nats_server(directory / "nats"))
        trusted = ssl.create_default_context(cafile=cluster.ca)
        headers = {"Authorization": f"Bearer {cluster.token}"}
        connector = aiohttp.TCPConnector(ssl=trusted, limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=2**22) as session:
            bench = Bench(cluster, session, args.triggers, args.brokers)
            await _measure(bench, stack, directory, server.url, args)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=int, default=5_000)
    parser.add_argument("--brokers", type=int, default=50)
    parser.add_argument("--steady", type=float, default=30.0, help="seconds without a change")
    parser.add_argument("--changes", type=int, default=11)
    parser.add_argument("--within", type=float, default=300.0, help="seconds in which all must be Ready")
    parser.add_argument("--no-lease", dest="lease", action="store_false", help="no leader election")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
