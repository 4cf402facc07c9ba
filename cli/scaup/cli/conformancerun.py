"""What ``scaup conformance run`` does: a broker is found or started, looked at, and reported on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scaup.cli.access import find_api
from scaup.cli.kube import Api, open_api
from scaup.cli.problems import DONE, FAILED, FailedError, NotReachableError, RefusedError, UsageError
from scaup.cli.up.layout import Options as UpOptions
from scaup.cli.up.layout import ports
from scaup.cli.up.probes import require_free
from scaup.conformance import app, page, report
from scaup.conformance.place import UnmetError
from scaup.conformance.results import CheckResult, Outcome, wanted
from scaup.conformance.wire import Address, WireError

_UP_WITHIN_S: Final = 60.0
_UP_SAYS: Final = "Ctrl-C"


@dataclass(frozen=True, slots=True)
class Where:
    """Which broker; all empty: one of our own is started."""

    broker: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str = "default"
    broker_class: str | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """Where reports are written."""

    junit: Path | None = None
    json: Path | None = None
    html: Path | None = None

    def write(self, outcome: Outcome) -> None:
        """Write those that are wanted; FailedError where one cannot be."""
        for path, text in ((self.junit, report.as_junit), (self.json, report.as_json), (self.html, page.as_html)):
            if path is not None:
                try:
                    path.write_text(text(outcome), encoding="utf-8")
                except OSError as error:
                    msg = f"the report {path} cannot be written: {error.strerror}"
                    raise FailedError(msg) from error


class _Objects:
    """The API as the suite wants it: a refusal is a status, not an error."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        try:
            return 200, await self._api.request(method, path, body, content_type)
        except RefusedError as error:
            return error.status, {"reason": error.reason, "message": str(error)}
        except NotReachableError as error:
            raise OSError(str(error)) from error


def run(where: Where, options: app.Options, files: Files, *, quiet: bool) -> int:
    """Look, report, and say with the exit code whether it conforms."""
    try:
        wanted(options.only)
        if where.broker:
            Address.of(where.broker)
    except ValueError as error:
        raise UsageError(str(error)) from error
    outcome = asyncio.run(_run(where, options, quiet=quiet))
    files.write(outcome)
    sys.stdout.write(report.table(outcome, every=not quiet) + "\n")
    return DONE if outcome.conforms else FAILED


async def _run(where: Where, options: app.Options, *, quiet: bool) -> Outcome:
    def show(result: CheckResult, done: int, of: int) -> None:
        if not quiet:
            sys.stderr.write(report.progress(result, done, of) + "\n")

    async with AsyncExitStack() as stack:
        target = await _target(stack, where, quiet=quiet)
        try:
            return await app.run(target, options, show)
        except UnmetError as error:
            msg = f"there is no broker to look at: {error}"
            raise FailedError(msg, hint="look at its Broker's conditions") from error
        except (WireError, OSError) as error:
            raise NotReachableError(str(error), hint="is the broker there, and its API?") from error


async def _target(stack: AsyncExitStack, where: Where, *, quiet: bool) -> app.Target:
    if where.broker and not where.kubeconfig:
        return app.Target(where.broker, url=where.broker)
    if where.kubeconfig:
        api = await stack.enter_async_context(open_api(find_api(where.kubeconfig, where.context)))
        name = f"the {where.broker_class or 'Broker'} at {api.server}"
        return app.Target(name, where.broker, _Objects(api), where.namespace, where.broker_class)
    if not quiet:
        sys.stderr.write("starting Scaup\n")
    kubeconfig = await stack.enter_async_context(_own())
    api = await stack.enter_async_context(open_api(find_api(str(kubeconfig), None)))
    return app.Target("Scaup", None, _Objects(api), where.namespace, where.broker_class)


@asynccontextmanager
async def _own() -> AsyncIterator[Path]:
    """A Scaup of our own on free ports, which is gone with its data at the end; its kubeconfig."""
    with tempfile.TemporaryDirectory(prefix="scaup-conformance-") as folder:
        data, said = Path(folder) / "data", Path(folder) / "up.txt"
        command = [sys.executable, "-m", "scaup.cli", "up", "--data", str(data), "--port-offset", str(_free_offset())]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SCAUP_")}
        with said.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environ
            )
        try:
            await _until_up(process, said)
            yield data / "kubeconfig"
        finally:
            await _stop(process)


async def _until_up(process: asyncio.subprocess.Process, said: Path) -> None:
    """Wait for its last line; FailedError with what it said where there is none."""
    end = asyncio.get_running_loop().time() + _UP_WITHIN_S
    while _UP_SAYS not in (text := _text(said)):
        if process.returncode is not None or asyncio.get_running_loop().time() > end:
            raise FailedError("Scaup does not start", details=text.splitlines()[-10:])
        await asyncio.sleep(0.05)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(20):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_offset() -> int:
    """An offset at which every port of ``scaup up`` is free, below those that connections get."""
    for _ in range(200):
        offset = random.randrange(2_000, 22_000)  # noqa: S311 - no secret
        with suppress(FailedError):
            require_free(ports(UpOptions(port_offset=offset), {}), offset)
            return offset
    raise FailedError("there are no free ports for a Scaup")
