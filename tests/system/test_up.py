"""``scaup up`` as a person uses it: the printed line, the events, Ctrl-C, and everything that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.natsserver import NatsServer
from tests.support.scaupup import HOMES, Up, free_offset, is_alive, scaup, scaup_up
from tests.support.waiting import eventually

HELLO = Path(__file__).parents[2] / "examples" / "hello"
TRIGGERS = "/apis/eventing.knative.dev/v1/namespaces/default/triggers"


def send_line(line: str, **headers: str) -> int:
    """Do what a curl line says; the status."""
    words = shlex.split(line)
    given = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    url = next(word for word in words if word.startswith("http://"))
    data = words[words.index("-d") + 1].encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, data, given | named), timeout=10) as answer:
        return int(answer.status)


def curl_line(up: Up) -> str:
    return next(line for line in up.text.splitlines() if line.startswith("curl "))


def ids(up: Up, port: int) -> list[str]:
    return [event["id"] for event in up.get(port, "/events") or []]


async def test_the_first_minute(tmp_path: Path) -> None:
    data, offset = tmp_path / "data", free_offset()
    with scaup_up(data, offset, "-f", str(HELLO)) as up:
        up.wait_until_up()
        assert send_line(curl_line(up)) == 202
        await eventually(lambda: ids(up, 8088) == ["1"] and ids(up, 8089) == ["1"], "the event is at both sinks")
        assert up.get(8089, "/events")[0]["data"] == {"hello": "world"}
        up.wait_for('everything  com.example.hello  /me  #1  {"hello":"world"}')
        sent = scaup(
            "send", "default", "--type", "other", "--id", "2", cwd=tmp_path, kubeconfig=data / "kubeconfig", anew=True
        )
        assert (sent.stdout, sent.returncode) == ("2 202\n", 0)
        await eventually(lambda: ids(up, 8088) == ["1", "2"], "the other event is at one sink")
        assert ids(up, 8089) == ["1"]
        assert stat_mode(data / "nats-token") == 0o600
        pids = [up.process.pid, *up.children().values()]
        assert len(pids) == 7
        assert up.stop(signal.SIGINT) < 10
        assert up.process.returncode == 0
        assert not any(is_alive(pid) for pid in pids)
        assert "Traceback" not in up.text
        assert up.text.endswith("Stopping.\nStopped. The data stays in " + str(data) + ".\n")
    with scaup_up(data, offset) as again:  # the same data, without the files
        again.wait_until_up()
        assert send_line(curl_line(again), ce_id="3") == 202
        await eventually(lambda: ids(again, 8088) == ["3"], "the event is there, and no other is repeated")
        assert again.stop(signal.SIGTERM) < 10
        assert again.process.returncode == 0


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_every_child_that_is_killed_comes_back_and_events_go_on(tmp_path: Path) -> None:
    with scaup_up(tmp_path / "data", free_offset(), "-f", str(HELLO)) as up:
        up.wait_until_up()
        for number, name in enumerate((*HOMES, "nats-server")):
            os.kill(up.children()[name], signal.SIGKILL)
            up.wait_for(f"{name} was ended by SIGKILL; starting it again now.")
            up.wait_for(f"{name} is ready again")
            await eventually(partial(is_taken, up, str(number)), f"an event after {name}")
        wanted = {str(number) for number in range(6)}
        await eventually(lambda: wanted <= set(ids(up, 8088)), "every accepted event is there")


def is_taken(up: Up, event_id: str) -> bool:
    try:
        return send_line(curl_line(up), ce_id=event_id) == 202
    except OSError:
        return False


async def test_when_the_parent_is_killed_everything_is_gone_soon(tmp_path: Path) -> None:
    data, offset = tmp_path / "data", free_offset()
    with scaup_up(data, offset, "-f", str(HELLO)) as up:
        up.wait_until_up()
        children = up.children()
        assert len(children) == 6
        os.kill(up.process.pid, signal.SIGKILL)
        up.process.wait()
        with scaup_up(data, offset, "-f", str(HELLO)) as again:  # at once: it waits for what is left
            await eventually(lambda: not any(is_alive(pid) for pid in children.values()), "all are gone", within_s=15)
            again.wait_until_up()
            assert send_line(curl_line(again)) == 202


async def test_a_later_signal_stops_at_once_and_an_early_repeat_does_not(tmp_path: Path) -> None:
    with scaup_up(tmp_path / "data", free_offset(), "-f", str(HELLO)) as up:
        up.wait_until_up()
        children = up.children()
        for name in ("ingress", "dispatcher"):  # they will not obey
            os.kill(children[name], signal.SIGSTOP)
        os.kill(up.process.pid, signal.SIGTERM)
        os.kill(up.process.pid, signal.SIGINT)
        await eventually(lambda: not is_alive(children["ingress"]), "the ingress is killed at its deadline")
        assert "at once" not in up.text
        assert is_alive(children["dispatcher"])
        await eventually(lambda: try_signal(up) or "Stopping at once." in up.text, "it stops at once")
        up.process.wait(2)
        assert not any(is_alive(pid) for pid in children.values())


def try_signal(up: Up) -> bool:
    if up.process.poll() is None:
        os.kill(up.process.pid, signal.SIGTERM)
    return False


async def test_files_are_followed_and_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    files = tmp_path / "definitions"
    shutil.copytree(HELLO, files)
    with scaup_up(tmp_path / "data", free_offset(), "-f", str(files)) as up:
        up.wait_until_up()
        path = files / "hello.yaml"
        good = path.read_text()
        path.write_text(good.replace("type: com.example.hello", "type: other"))
        up.wait_for("Trigger default/by-type changed")
        path.write_text(good + "\n---\nkind: [\n")
        up.wait_for("definitions/hello.yaml:")
        up.wait_for("(its last good state stays)")
        assert up.get(8081, f"{TRIGGERS}/by-type")["spec"]["filter"]["attributes"] == {"type": "other"}
        path.write_text(good.rpartition("---")[0])
        up.wait_for("Trigger default/by-type deleted")
        (files / "more.yaml").write_text(good.rpartition("---")[2])
        up.wait_for("Trigger default/by-type created")
        (files / "more.yaml").unlink()
        await eventually(lambda: up.text.count("Trigger default/by-type deleted") == 2, "a removed file's are deleted")
        command = ("up", "--data", str(up.data), "--port-offset", str(free_offset()))
        second = await asyncio.to_thread(partial(scaup, *command, cwd=tmp_path, anew=True))
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert f"is in use by another `scaup up` (process {up.process.pid})" in second.stderr


@pytest.mark.long
async def test_a_thousand_triggers_in_one_file_are_ready_soon_after_the_start(tmp_path: Path) -> None:
    broker = (HELLO / "hello.yaml").read_text().partition("---")[0]
    path = tmp_path / "many.yaml"
    path.write_text(broker + "".join(f"---\n{json.dumps(trigger(number))}\n" for number in range(1000)))
    with scaup_up(tmp_path / "data", free_offset(), "-f", str(path)) as up:
        up.wait_until_up()
        seconds = float(up.text.partition("Scaup is up (")[2].partition(" s)")[0])
        items = up.get(8081, TRIGGERS)["items"]
        assert len([item for item in items if is_ready(item)]) == 1000
        assert seconds < 20  # 10 on a machine that does nothing else


def trigger(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": f"trigger-{number}"},
        "spec": {
            "broker": "default",
            "filter": {"attributes": {"type": f"type-{number}"}},
            "subscriber": {"uri": "http://127.0.0.1:9/"},
        },
    }


def is_ready(item: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in item.get("status", {}).get("conditions", []))


async def test_an_existing_nats_is_used_and_nothing_else_is_started(tmp_path: Path, nats: NatsServer) -> None:
    with scaup_up(tmp_path / "data", free_offset(), "-f", str(HELLO), "--nats-url", nats.url) as up:
        up.wait_until_up()
        assert "nats-server" not in up.children()
        assert send_line(curl_line(up)) == 202
        await eventually(lambda: ids(up, 8088) == ["1"], "the event is there")
        assert up.stop() < 10


def test_taken_ports_are_all_named_with_the_line_that_helps(tmp_path: Path) -> None:
    offset = free_offset()
    with socket.create_server(("127.0.0.1", 8080 + offset)), socket.create_server(("127.0.0.1", 8088 + offset)):
        refused = scaup("up", "-f", str(HELLO), "--port-offset", str(offset), cwd=tmp_path, anew=True)
    assert refused.returncode == 1
    assert f"{8080 + offset} (ingress), {8088 + offset} (LocalSink everything)" in refused.stderr
    assert f"make up ARGS='--port-offset {offset + 10000}'" in refused.stderr
    assert not (tmp_path / ".scaup" / "nats.pid").exists()


def test_a_newer_data_format_is_refused(tmp_path: Path) -> None:
    data = tmp_path / ".scaup"
    data.mkdir()
    (data / "format").write_text("2\n")
    refused = scaup("up", "--port-offset", str(free_offset()), cwd=tmp_path, anew=True)
    assert refused.returncode == 1
    assert "has format 2, written by a newer Scaup; this one knows 1; update Scaup" in refused.stderr


def test_a_service_that_refuses_its_settings_ends_the_start_with_its_words(tmp_path: Path) -> None:
    with scaup_up(tmp_path / "data", free_offset(), environ={"SCAUP_INGRES_X": "1"}) as up:
        up.process.wait(30)
        assert up.process.returncode == 1
        assert "SCAUP_INGRES_X is no setting" in up.text
        assert "Traceback" not in up.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_stops_what_was_started(tmp_path: Path, number: int) -> None:
    with scaup_up(tmp_path / "data", free_offset()) as up:
        end = time.monotonic() + 20
        while "nats-server" not in (children := up.children()) and time.monotonic() < end:
            time.sleep(0.02)
        assert up.stop(number) < 10
        assert up.process.returncode == 0
        assert not any(is_alive(pid) for pid in children.values())
        assert "Traceback" not in up.text
