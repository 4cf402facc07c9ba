"""NATS as the manifests configure it, run by the real server: one for a laptop, three with token and TLS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaup.cli.up.natsserver import MAX_PAYLOAD
from scaup.core.bus import topology
from scaup.core.bus.check import problems
from scaup.core.bus.connection import BusAccess, connect
from scaup.core.model import names
from scaup.core.model.errors import BusError
from tests.support.deployed import OVERLAYS, container, environment, kustomization, named, rendered
from tests.support.events import BROKER, a_broker
from tests.support.ports import Port
from tests.support.realtools import need
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

BINARY = str(Path(sys.executable).with_name("nats-server"))
TOKEN = "nats-0123456789abcdef"
LOCAL = "127.0.0.1"


@dataclass
class Server:
    """One server of an installation, on loopback, with its volumes under ``home``."""

    home: Path
    client: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"nats://{LOCAL}:{self.client}"


@contextmanager
def running(target: Path, directory: Path, certificates: Path | None = None) -> Iterator[list[Server]]:
    """The servers of an installation: its files as they are, but for addresses and directories, which are a pod's."""
    objects = rendered(target)
    workload = named(objects, "StatefulSet", "scaup-nats")
    files = named(objects, "ConfigMap", "scaup-nats")["data"]
    count = workload["spec"]["replicas"]
    ports = {port: [Port() for _ in range(count)] for port in ("4222", "8222", "6222")}
    with ExitStack() as stack:
        servers = []
        for n in range(count):
            home = directory / f"scaup-nats-{n}"
            for name in ("config", "run", "data"):
                (home / name).mkdir(parents=True)
            for name, text in files.items():
                here = text.replace('"/data"', f'"{home / "data"}"').replace("/run/nats/", f"{home / 'run'}/")
                here = here.replace("/etc/nats-tls", str(certificates))
                for port, local in ports.items():
                    here = here.replace(f"0.0.0.0:{port}", f"{LOCAL}:{local[n]}")
                    for other in range(count):
                        address = f"scaup-nats-{other}.scaup-nats-servers:{port}"
                        here = here.replace(address, f"{LOCAL}:{local[other]}")
                (home / "config" / name).write_text(here)
            env = environment(workload, objects) | {"POD_NAME": home.name, "NATS_TOKEN": TOKEN}
            command = [BINARY, *container(workload)["command"][1:-1], str(home / "config" / "nats.conf")]
            out = stack.enter_context((home / "log").open("wb"))
            process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
            stack.callback(_end, process)
            servers.append(Server(home, ports["4222"][n], process))
        yield servers


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def until_well(access: BusAccess, servers: list[Server]) -> None:
    """Until Scaup finds nothing wrong with it."""
    found: list[str] = []

    async def is_well() -> bool:
        found[:] = await problems(access)
        return not found

    try:
        _: bool = await eventually(is_well, "nothing keeps it from carrying Scaup", within_s=30)
    except AssertionError as error:
        logs = [(server.home / "log").read_text()[-1500:] for server in servers]
        raise AssertionError("\n".join([str(error), *found, *logs])) from None


def leave(server: Server) -> None:
    """What a pod does before it is stopped."""
    command = container(named(rendered(OVERLAYS / "production"), "StatefulSet", "scaup-nats"))["lifecycle"]["preStop"]
    words = command["exec"]["command"][1:]
    words[-1] = words[-1].replace("/run/nats", str(server.home / "run"))
    done = subprocess.run([BINARY, *words], check=False, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def certificates(directory: Path) -> Path:
    """What the Secret of the component ``nats-tls`` holds, for servers on loopback."""
    directory.mkdir()
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names_ = ["-subj", "/CN=scaup-nats", "-addext", f"subjectAltName=IP:{LOCAL}"]
    out = ["-keyout", str(directory / "tls.key"), "-out", str(directory / "tls.crt")]
    subprocess.run([str(need("openssl")), *command, *names_, *out], check=True, capture_output=True)
    (directory / "ca.crt").write_bytes((directory / "tls.crt").read_bytes())
    return directory


async def test_the_laptops_server_carries_scaup_and_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    with running(OVERLAYS / "laptop", tmp_path) as servers:
        access = BusAccess(servers[0].url)
        await until_well(access, servers)
        async with connect(access, "test") as bus:
            assert bus.max_payload == MAX_PAYLOAD
            await topology.ensure_broker(bus, a_broker(BROKER))
    assert list((tmp_path / "scaup-nats-0" / "data").rglob("*.blk"))


@pytest.mark.parametrize("has_tls", [False, True], ids=["with a token", "with a token and TLS"])
async def test_the_three_servers_are_one_and_keep_a_broker_on_each_and_let_nobody_in_without_the_token(
    tmp_path: Path, has_tls: bool
) -> None:
    made = certificates(tmp_path / "tls") if has_tls else None
    target = kustomization(tmp_path / "own", "production", *(["nats-tls"] if has_tls else []))
    ca = str(made / "ca.crt") if made else None
    with running(target, tmp_path, made) as servers:
        urls = ",".join(server.url for server in servers)
        access = BusAccess(urls, ca=ca, token=TOKEN)
        await until_well(access, servers)
        assert "authorization" in " ".join(await problems(BusAccess(servers[0].url, ca=ca))).lower()
        if has_tls:  # a client that does not know who signed the certificates
            assert await problems(BusAccess(servers[0].url, token=TOKEN))
        async with connect(access, "test") as bus:
            await topology.ensure_broker(bus, a_broker(BROKER, replicas=3))
            info = await bus.api(f"STREAM.INFO.{names.log_stream(BROKER)}")
            peers = {info["cluster"]["leader"], *(peer["name"] for peer in info["cluster"]["replicas"])}
            assert peers == {"scaup-nats-0", "scaup-nats-1", "scaup-nats-2"}
            # Clients are told of no address of a pod, for those change.
            assert len(bus.client.discovered_servers) == 0

            before = servers[0].process
            leave(servers[0])
            log = servers[0].home / "log"
            await eventually(lambda: "lame duck" in log.read_text().lower(), "it is about to leave")
            os.kill(before.pid, signal.SIGTERM)
            await eventually(lambda: before.poll() is not None, "it has left")
            assert before.returncode == 0

            async def is_led() -> bool:
                with suppress(BusError):  # the client may be on its way to another server just now
                    cluster = (await bus.api(f"STREAM.INFO.{names.log_stream(BROKER)}"))["cluster"]
                    return cluster.get("leader") in {"scaup-nats-1", "scaup-nats-2"}
                return False

            _: bool = await eventually(is_led, "another leads")
