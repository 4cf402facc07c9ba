"""``scaup conformance`` as it is typed: which broker, which rows, reports, exit codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from scaup.cli.__main__ import run
from tests.support.brokenbroker import broken_broker, kubeconfig
from tests.support.scaupup import scaup

QUICK = ("--settle", "0.2", "--patience", "5", "--parallel", "40")


async def typed(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    done = await asyncio.to_thread(scaup, "conformance", *arguments, cwd=tmp_path)
    return done.returncode, done.stdout, done.stderr


async def test_brokers_are_made_through_a_kubeconfig_and_reports_are_written(tmp_path: Path) -> None:
    async with broken_broker("asks_for_no_replies") as broker:
        (tmp_path / "kubeconfig").write_text(kubeconfig(broker.api.url))
        reports = ("--json", "r.json", "--junit", "r.xml", "--html", "r.html")
        only = ("--only", "DP-19", "--only", "dp-5")
        status, output, errors = await typed(tmp_path, "run", "--kubeconfig", "kubeconfig", *QUICK, *reports, *only)
        left = [name for kind in broker.api.objects.values() for name in kind]
    assert status == 1, errors
    assert "FAIL DP-19  MUST        The Broker sends `Prefer: reply` to `spec.subscriber`" in output
    assert "MUST and MUST NOT: 1 pass, 1 fail, 0 not shown" in output
    assert "[  2/2]" in errors
    value = json.loads((tmp_path / "r.json").read_text())
    assert {row["id"]: row["verdict"] for row in value["rows"]} == {"DP-5": "pass", "DP-19": "fail"}
    assert "POST /" in "".join(value["rows"][1]["checks"][0]["evidence"])
    assert 'failures="1"' in (tmp_path / "r.xml").read_text()
    assert 'id="DP-19"' in (tmp_path / "r.html").read_text()
    assert left == []


async def test_an_address_alone_is_enough_for_what_a_producer_sees(tmp_path: Path) -> None:
    async with broken_broker() as broker:
        spec = {"metadata": {"name": "there", "annotations": {}}, "spec": {}}
        await broker.api.request("POST", "/apis/eventing.knative.dev/v1/namespaces/default/brokers", spec)
        url = f"{broker.api.url}/default/there"
        status, output, errors = await typed(tmp_path, "run", "--broker", url, *QUICK, "--quiet", "--only", "HB-15")
    assert (status, errors) == (0, "")
    assert "1 pass, 0 fail" in output


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--only", "XX"), 2, "no row is called 'XX'"),
        (("--broker", "nowhere"), 2, "'nowhere' is no http or https address"),
        (("--broker", "http://127.0.0.1:9/a/b"), 3, "cannot connect to 127.0.0.1:9"),
        (("--kubeconfig", "none"), 2, "there is no kubeconfig none"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, says: str
) -> None:
    code = run(["conformance", "run", *arguments])
    output, errors = capfd.readouterr()
    assert (code, output, errors.count("\n")) == (status, "", 1)
    assert says in errors


def test_the_rows_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["conformance", "rows"]) == 0
    assert "DP-22  MUST NOT    Treat the body of a 202 as a reply\n" in capfd.readouterr().out


@pytest.mark.long
async def test_without_a_broker_one_is_started_and_gone_at_the_end(tmp_path: Path) -> None:
    status, output, errors = await typed(tmp_path, "run", "--only", "CP-11", "--only", "DP-19", "--settle", "0.5")
    assert status == 0, output + errors
    assert "starting Scaup\n" in errors
    assert "MUST and MUST NOT: 2 pass, 0 fail, 0 not shown" in output
    assert "Scaup: conforms, as far as it was shown" in output
    assert not any(path.exists() for path in (tmp_path / ".scaup", tmp_path / "data"))
