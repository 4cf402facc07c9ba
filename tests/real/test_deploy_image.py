"""The image's file system, made as the Containerfile makes it, and every service run from it as a container would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support import rawhttp
from tests.support.controlplane import EVENTING, condition_of
from tests.support.deployed import ROOT
from tests.support.natsserver import NatsServer
from tests.support.ports import Port
from tests.support.realtools import need
from tests.support.sinks import sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

CONTAINERFILE: Final = ROOT / "deploy" / "Containerfile"
USER: Final = "65532"
MOST_MB: Final = 220
"""What Scaup adds to the Python that it stands on; 165 when this was written."""
CONFINED: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/python /mnt/image /mnt/given
mount --bind "$1" /mnt/python
mount --bind "$2" /mnt/image
mount --bind "$3" /mnt/given
for one in /mnt/python /mnt/image /mnt/given /mnt; do mount -o remount,bind,ro "$one"; done
for one in / /tmp /var/tmp /dev/shm; do
    if mountpoint -q "$one"; then mount -o remount,bind,ro "$one"; fi
done
shift 3
if [ "$(id -u)" = 0 ] && [ -z "$(grep -v 4294967295 /proc/self/uid_map)" ]; then
    exec setpriv --reuid USER --regid USER --clear-groups --no-new-privs --bounding-set=-all -- "$@"
fi
exec "$@"  # whoever runs the tests without being root
""".replace("USER", USER)
"""As the manifests have it: nothing can be written, the user is nobody, and has no capabilities."""


@dataclass(frozen=True)
class Image:
    """The file system that the Containerfile makes beside its base."""

    root: Path
    python: Path
    environ: dict[str, str]


def instructions() -> list[str]:
    """The lines of the Containerfile, those that go on joined."""
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def last_stage() -> list[str]:
    lines = instructions()
    return lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Made by the commands of the Containerfile out of the files that it copies, with a Python of the same version."""
    directory = tmp_path_factory.mktemp("image")
    source, root = directory / "src", directory / "opt"
    venv.create(directory / "builder", with_pip=True)
    for line in instructions():
        match line.split():
            case ["COPY", *what, _] if not what[0].startswith("--"):
                for name in what:
                    _copy(ROOT / name, source / name)
            case ["RUN", "sh", "deploy/image.sh", step, target]:
                env = os.environ | {"PYTHON": str(directory / "builder" / "bin" / "python")}
                command = ["sh", "deploy/image.sh", step, target.replace("/opt", str(root), 1)]
                done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            case _:
                pass
    shutil.rmtree(directory / "builder")
    (env_line,) = [line for line in last_stage() if line.startswith("ENV ")]
    environ = dict(pair.split("=", 1) for pair in env_line.split()[1:])
    return Image(root / "scaup", Path(sys.base_prefix), environ)


def _copy(found: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if found.is_dir():
        shutil.copytree(found, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(found, target)


def test_the_image_is_small_compiled_and_holds_no_tools(image: Image) -> None:
    files = [path for path in image.root.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{size:.0f} MB")
    assert size < MOST_MB
    assert not [path for path in files if path.name in {"nats-server", "pip", "gcc"}]
    compiled = {path.name.partition(".")[0] for path in files if path.suffix == ".pyc" and "scaup" in path.parts}
    own = list((image.root / "program" / "scaup").rglob("*.py"))
    assert own
    assert {path.stem for path in own} <= compiled


def test_the_last_stage_has_a_numeric_user_no_installation_and_what_the_first_one_made() -> None:
    lines = last_stage()
    assert not [line for line in lines if line.startswith(("RUN ", "ADD "))]
    assert f"USER {USER}:{USER}" in lines
    assert 'ENTRYPOINT ["python", "-m"]' in lines
    copied = [line.split()[-1] for line in lines if line.startswith("COPY --from=build ")]
    made = [line.split()[-1] for line in instructions() if "image.sh" in line and line.startswith("RUN ")]
    assert copied == made
    assert re.search(r"^FROM python:\$\{PYTHON\}$", lines[0])
    assert f"ARG PYTHON={sys.version_info.major}.{sys.version_info.minor}-slim-bookworm" in instructions()


@contextmanager
def run_in(image: Image, given: Path, *args: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m ARGS`` out of the image and nothing else, confined; it can read ``given``, its log is beside."""
    environ = {name: text.replace("/opt/scaup", "/mnt/image") for name, text in image.environ.items()}
    environ |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"}
    environ |= {"LD_LIBRARY_PATH": "/mnt/python/lib"} | settings  # of the Python, which is not where it was installed
    python = ["/mnt/python/bin/" + Path(os.path.realpath(sys.executable)).name, "-S", "-m", *args]
    confined = ["sh", "-c", CONFINED, "sh", str(image.python), str(image.root), str(given)]
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    log = given.parent / f"{args[0]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(need("unshare")), *user, "--mount", *confined, *python], env=environ, stdout=out, stderr=out, cwd="/"
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_every_service_runs_from_it_read_only_as_a_user_without_rights_and_an_event_is_delivered(
    image: Image, nats: NatsServer, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    given.chmod(0o755)
    api, door = Port(), Port()
    config = {
        "clusters": [{"name": "t", "cluster": {"server": f"http://127.0.0.1:{api}"}}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
        "users": [{"name": "t", "user": {}}],
        "current-context": "t",
    }
    (given / "kubeconfig").write_text(json.dumps(config))
    with ExitStack() as stack:
        observed: dict[str, int] = {}
        processes: list[subprocess.Popen[bytes]] = []

        def start(home: str, **settings: str) -> None:
            observed[home] = Port()
            shared = {"SCAUP_NATS_URL": nats.url, "SCAUP_METRICS_LISTEN": f"127.0.0.1:{observed[home]}"}
            processes.append(stack.enter_context(run_in(image, given, f"scaup.{home}", **shared, **settings)))

        def logs() -> str:
            return "\n".join(path.read_text()[-1500:] for path in sorted(tmp_path.glob("scaup.*.log")))

        async def ready() -> bool:
            for port in observed.values():
                try:
                    if (await rawhttp.send(port, "GET", "/readyz")).status != 200:
                        return False
                except (OSError, EOFError):
                    return False
            return True

        stack.enter_context(
            run_in(image, given, "scaup.apiserver", SCAUP_NATS_URL=nats.url, SCAUP_LISTEN=f"127.0.0.1:{api}")
        )
        start("ingress", SCAUP_LISTEN=f"127.0.0.1:{door}")
        start("filter")
        start("dispatcher")
        start("controller", SCAUP_KUBECONFIG="/mnt/given/kubeconfig", SCAUP_PUBLIC_URL=f"http://127.0.0.1:{door}")
        try:
            _: bool = await eventually(ready, "all are ready", within_s=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{logs()}") from None
        async with sink() as target:
            trigger = {"broker": "one", "filters": [{"cel": "ce.type == 'com.example.test'"}]}
            await create(api, "brokers", "one", {})
            await create(api, "triggers", "all", trigger | {"subscriber": {"uri": target.url}})

            async def is_ready() -> bool:
                found = await rawhttp.send(api, "GET", f"{EVENTING}/namespaces/default/triggers/all", HERE)
                return condition_of(found.json(), "Ready").get("status") == "True"

            _ready: bool = await eventually(is_ready, "the Trigger is Ready", within_s=30)
            assert (await rawhttp.post(door, ce_id="from-the-image", body=b"{}")).status == 202
            await eventually(lambda: target.ids == ["from-the-image"], "the event is delivered")
        assert "Traceback" not in logs()
        if os.geteuid() == 0:
            assert {rights(process.pid) for process in processes} == {(USER, 0)}


def rights(pid: int) -> tuple[str, int]:
    """The user of a process, and its capabilities."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return lines["Uid"].split()[1], int(lines["CapEff"], 16)


HERE: Final = {"host": "127.0.0.1", "content-type": "application/json"}


async def create(port: int, plural: str, name: str, spec: dict[str, object]) -> None:
    value = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": plural.capitalize().removesuffix("s"),
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"eventing.knative.dev/broker.class": "Scaup"} if plural == "brokers" else {},
        },
        "spec": spec,
    }
    path = f"{EVENTING}/namespaces/default/{plural}"
    answer = await rawhttp.send(port, "POST", path, HERE, json.dumps(value).encode())
    assert answer.status == 201, answer.body


def test_without_a_service_it_is_the_command_line(image: Image, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    with run_in(image, given, "scaup.cli", "--help") as process:
        assert process.wait(60) == 0, (tmp_path / "scaup.cli.log").read_text()
    said = (tmp_path / "scaup.cli.log").read_text()
    assert "deadletters" in said


def test_nothing_can_be_written(image: Image, tmp_path: Path) -> None:
    """Or the tests above would show less than they seem to."""
    given = tmp_path / "given"
    given.mkdir()
    for place in ("/tmp", "/mnt", "/mnt/image", "/var/tmp"):
        with run_in(image, given, "zipfile", "-c", f"{place}/written-by-{os.getpid()}", "/mnt/given") as process:
            assert process.wait(60) != 0
        assert "Read-only file system" in (tmp_path / "zipfile.log").read_text()
