"""Which API and which NATS a command talks to: the order of the places that may say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaup.cli.access import ApiAccess, find_api, find_nats, plain_server
from scaup.cli.problems import NotReachableError, UsageError
from scaup.cli.up.datadir import DataDirectory


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kubeconfig(path: Path, server: str = "http://127.0.0.1:8081", user: str = "{}") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"current-context: c\nclusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n"
        f"contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nusers: [{{name: u, user: {user}}}]\n"
    )
    return str(path)


def test_the_option_goes_before_the_variable_before_the_directory_before_the_home(here: Path) -> None:
    home = kubeconfig(here / ".kube/config")
    environ = {"HOME": str(here)}
    assert find_api(None, None, environ) == ApiAccess(home, None, announce=True)
    theirs = kubeconfig(here / "theirs")
    environ["KUBECONFIG"] = f"{here}/none:{theirs}"
    assert find_api(None, None, environ) == ApiAccess(f"{here}/none:{theirs}", None, announce=True)
    kubeconfig(here / ".scaup/kubeconfig")
    assert find_api(None, "x", environ) == ApiAccess(".scaup/kubeconfig", "x")
    environ["SCAUP_KUBECONFIG"] = kubeconfig(here / "ours")
    assert find_api(None, None, environ) == ApiAccess(str(here / "ours"), None)
    assert find_api(theirs, None, environ) == ApiAccess(theirs, None)


def test_no_api_at_all_is_not_reachable_and_a_missing_file_is_usage(here: Path) -> None:
    with pytest.raises(NotReachableError, match="there is no API to talk to"):
        find_api(None, None, {"HOME": str(here)})
    with pytest.raises(UsageError, match=r"there is no kubeconfig none \(--kubeconfig\)"):
        find_api("none", None, {})
    with pytest.raises(UsageError, match=r"\(SCAUP_KUBECONFIG\)"):
        find_api(None, None, {"SCAUP_KUBECONFIG": "none"})


def test_only_plain_http_without_credentials_is_spoken_to_directly(here: Path) -> None:
    assert plain_server(ApiAccess(kubeconfig(here / "a"), None)) == "http://127.0.0.1:8081"
    assert plain_server(ApiAccess(kubeconfig(here / "b", "https://x"), None)) is None
    assert plain_server(ApiAccess(kubeconfig(here / "c", user="{token: t}"), None)) is None
    assert plain_server(ApiAccess(f"{here}/a:{here}/b", None)) is None


def test_a_context_or_file_that_cannot_be_used_is_usage(here: Path) -> None:
    with pytest.raises(UsageError, match="has no usable context 'other'"):
        plain_server(ApiAccess(kubeconfig(here / "a"), "other"))
    (here / "b").write_text("[")
    with pytest.raises(UsageError, match="cannot be read as a kubeconfig"):
        plain_server(ApiAccess(str(here / "b"), None))


def test_nats_is_the_option_or_the_variable_or_what_the_data_directory_noted(here: Path) -> None:
    with pytest.raises(NotReachableError, match="does not say where NATS is"):
        find_nats(None, here / "data", {})
    data = DataDirectory(here / "data")
    data.open()
    token = data.token()
    data.note(api="http://127.0.0.1:8081", nats="nats://127.0.0.1:4222", embedded=True)
    data.close()
    found = find_nats(None, here / "data", {})
    assert (found.url, found.token) == ("nats://127.0.0.1:4222", token)
    named = find_nats(None, here / "data", {"SCAUP_NATS_URL": "nats://n", "SCAUP_NATS_CREDS": "f"})
    assert (named.url, named.token, named.creds) == ("nats://n", None, "f")
    assert find_nats("nats://o", here / "data", {"SCAUP_NATS_URL": "nats://n"}).url == "nats://o"
