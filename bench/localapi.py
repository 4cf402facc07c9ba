"""How the local API does with a thousand objects and a hundred watchers.

`python -m bench.localapi`: 500 ConfigMaps, 250 Triggers and 250 Ponds (a kind of a CRD) are made, once by `kubectl
apply -f` of one file and once over HTTP with eight connections, while 100 watchers look on. Measured: the time, the CPU
seconds and the memory of the API's process and of its NATS; p50 and p99 of a write; how long after the last answer the
last watcher has seen it; and the CPU the API takes while nothing happens.

Responsible for: making these objects, starting these processes, and printing the table.
Must not: touch any process it did not start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import orjson
from bench.machine import Machine
from tests.support.natsserver import nats_server
from tests.support.openkinds import custom_kind
from tests.support.realkube import find_kubectl

from scaup.core.http.server import bind

_CONNECTIONS = 8
_LISTS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Trigger": "/apis/eventing.knative.dev/v1/namespaces/{}/triggers",
    "Pond": "/apis/pond.test/v1/namespaces/{}/ponds",
}
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{}"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: ""}}}}]
current-context: c
"""


@dataclass
class Watcher:
    """One watch of a kind in all namespaces, and how much it has seen of each."""

    path: str
    seen: dict[str, int] = field(default_factory=dict)
    last: float = 0.0

    async def follow(self, session: aiohttp.ClientSession, url: str) -> None:
        """Until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.get(f"{url}{self.path}?watch=true", timeout=timeout) as answer:
            async for line in answer.content:
                event = orjson.loads(line)
                if event["type"] != "ADDED":
                    continue
                namespace = event["object"]["metadata"]["namespace"]
                self.seen[namespace] = self.seen.get(namespace, 0) + 1
                self.last = monotonic()


@dataclass
class Bench:
    """What is measured with, and on what."""

    url: str
    session: aiohttp.ClientSession
    processes: dict[str, int]
    watchers: list[Watcher] = field(default_factory=list)

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far."""
        return {name: _cpu(pid) for name, pid in self.processes.items()}

    def used(self, before: dict[str, float], seconds: float) -> str:
        """CPU seconds since, the share of a core, and the memory, of each process."""
        now = self.cpu()
        parts = []
        for name, pid in self.processes.items():
            spent = now[name] - before[name]
            parts.append(f"{name} {spent:.2f} CPU s ({spent / seconds:.0%} of a core), {_rss(pid):.0f} MiB")
        return "; ".join(parts)

    async def until_all_saw(self, namespace: str, counts: dict[str, int]) -> float:
        """When the last watcher had seen all that was made in a namespace."""
        deadline = monotonic() + 30
        wanted = {_path(kind): count for kind, count in counts.items()}
        while any(one.seen.get(namespace, 0) < wanted[one.path] for one in self.watchers):
            if monotonic() > deadline:
                msg = "a watcher has not seen everything after 30 s"
                raise RuntimeError(msg)
            await asyncio.sleep(0.005)
        return max(one.last for one in self.watchers)

    async def post(self, objects: Iterable[dict[str, Any]]) -> list[float]:
        """Make them over eight connections; seconds of each write, sorted."""
        todo, took = iter(objects), []

        async def connection() -> None:
            for whole in todo:
                began = monotonic()
                path = _LISTS[whole["kind"]].format(whole["metadata"]["namespace"])
                async with self.session.post(self.url + path, json=whole) as answer:
                    text = await answer.text()
                    if answer.status != 201:
                        raise RuntimeError(text[:300])
                took.append(monotonic() - began)

        await asyncio.gather(*(connection() for _ in range(_CONNECTIONS)))
        return sorted(took)


def _path(kind: str) -> str:
    return _LISTS[kind].replace("/namespaces/{}", "")


def _objects(namespace: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    groups = {"ConfigMap": "v1", "Trigger": "eventing.knative.dev/v1", "Pond": "pond.test/v1"}
    found = []
    for kind, count in counts.items():
        for number in range(count):
            metadata = {"name": f"o{number}", "namespace": namespace}
            whole: dict[str, Any] = {"apiVersion": groups[kind], "kind": kind, "metadata": metadata}
            match kind:
                case "ConfigMap":
                    whole["data"] = {"key": "x" * 200}
                case "Trigger":
                    whole["spec"] = {"broker": "default", "subscriber": {"uri": f"http://127.0.0.1:9/{number}"}}
                case _:
                    whole["spec"] = {"depth": number}
            found.append(whole)
    return found


def _cpu(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


async def _kubectl(directory: Path, *args: str) -> None:
    command = [str(find_kubectl()), "--kubeconfig", str(directory / "kubeconfig"), *args]
    env = {**os.environ, "HOME": str(directory)}
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=quiet)
    if await asyncio.wait_for(process.wait(), 100):
        msg = f"kubectl {args[0]} failed"
        raise RuntimeError(msg)


async def _until_ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def _measure(bench: Bench, directory: Path, counts: dict[str, int], steady: float) -> None:
    total = sum(counts.values())
    file = directory / "objects.json"
    listed = {"apiVersion": "v1", "kind": "List", "items": _objects("by-kubectl", counts)}
    file.write_text(json.dumps(listed))
    before, began = bench.cpu(), monotonic()
    await _kubectl(directory, "apply", "-f", str(file))
    done = monotonic()
    last = await bench.until_all_saw("by-kubectl", counts)
    print(f"kubectl apply of {total} objects: {done - began:.1f} s; the last watcher {max(last - done, 0):.3f} s later")
    print(f"  {bench.used(before, done - began)}")
    before, began = bench.cpu(), monotonic()
    took = await bench.post(_objects("by-http", counts))
    done = monotonic()
    last = await bench.until_all_saw("by-http", counts)
    p50, p99 = took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000
    print(
        f"{total} objects over {_CONNECTIONS} connections: {done - began:.1f} s ({total / (done - began):.0f}/s); "
        f"a write p50 {p50:.1f} ms, p99 {p99:.1f} ms; the last watcher {max(last - done, 0):.3f} s later"
    )
    print(f"  {bench.used(before, done - began)}")
    await asyncio.sleep(2)
    before = bench.cpu()
    await asyncio.sleep(steady)
    print(f"nothing happens for {steady:.0f} s, {len(bench.watchers)} watchers:\n  {bench.used(before, steady)}")


async def _run(args: argparse.Namespace) -> None:
    print(Machine.here().sentence())
    counts = {"ConfigMap": args.objects // 2, "Trigger": args.objects // 4, "Pond": args.objects // 4}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scaup-bench")))
        nats = stack.enter_context(nats_server(directory / "nats"))
        with bind("127.0.0.1", 0) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        (directory / "kubeconfig").write_text(_KUBECONFIG.format(url))
        log = stack.enter_context((directory / "api.log").open("wb"))
        env = {**os.environ, "SCAUP_NATS_URL": nats.url, "SCAUP_LISTEN": f"127.0.0.1:{port}"}
        api = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scaup.apiserver", env=env, stdout=log, stderr=log
        )
        async with AsyncExitStack() as later:
            later.push_async_callback(api.wait)
            later.callback(api.terminate)
            session = await later.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            await _until_ready(session, url)
            (directory / "kind.json").write_text(json.dumps(custom_kind("pond.test", "Pond", "ponds")))
            await _kubectl(directory, "apply", "-f", str(directory / "kind.json"))
            assert nats.process is not None
            bench = Bench(url, session, {"API": api.pid, "NATS": nats.process.pid})
            memory = ", ".join(f"{name} {_rss(pid):.0f} MiB" for name, pid in bench.processes.items())
            print(f"before: {memory}; load average {os.getloadavg()[0]:.1f}")
            bench.watchers = [Watcher(_path(list(counts)[n % 3])) for n in range(args.watchers)]
            following = [asyncio.create_task(one.follow(session, url)) for one in bench.watchers]
            try:
                await _measure(bench, directory, counts, args.steady)
            finally:
                for one in following:
                    one.cancel()
                await asyncio.gather(*following, return_exceptions=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000, help="a multiple of four")
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--steady", type=float, default=20.0, help="seconds in which nothing happens")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
