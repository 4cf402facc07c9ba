"""Settings: read once from the environment, and strictly."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from scaup.controller.settings import ControllerSettings
from scaup.core.model.errors import SettingsError
from scaup.core.runtime.settings import BusSettings, Listen, Secret, ServiceSettings, describe, load, setting
from scaup.filter.settings import FilterSettings
from scaup.ingress.settings import IngressSettings


@dataclass(frozen=True, slots=True)
class Some:
    bus: BusSettings = field(default_factory=BusSettings)
    flag: bool = setting("SCAUP_SOME_FLAG", False, "A switch.")


def test_without_an_environment_everything_has_its_default() -> None:
    assert load(IngressSettings, {"PATH": "/bin"}) == IngressSettings()
    assert IngressSettings().listen == Listen("127.0.0.1", 8080)


def test_values_are_read_into_groups_and_types() -> None:
    settings = load(
        IngressSettings,
        {
            "SCAUP_NATS_URL": "nats://a:1,nats://b:2",
            "SCAUP_LISTEN": ":80",
            "SCAUP_INGRESS_MAX_BODY_BYTES": "1000",
            "SCAUP_INGRESS_BODY_TIMEOUT_SECONDS": "0.5",
            "SCAUP_REPLICA": "one",
            "SCAUP_NATS_CREDS": "",
        },
    )
    assert settings.bus.access().url == "nats://a:1,nats://b:2"
    assert settings.bus.creds is None
    assert settings.listen == Listen("0.0.0.0", 80)
    assert (settings.max_body_bytes, settings.body_timeout_s) == (1000, 0.5)
    assert settings.service.replica_name == "one"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SCAUP_LISTN", "SCAUP_LISTEN"),
        ("SCAUP_INGRESS_MAX_BODY_BITES", "SCAUP_INGRESS_MAX_BODY_BYTES"),
        ("SCAUP_NATS_URI", "SCAUP_NATS_URL"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is no setting: did you mean {nearest}"):
        load(IngressSettings, {name: "1"})


def test_a_setting_like_no_other_is_refused_with_all_names() -> None:
    with pytest.raises(SettingsError, match=r"known are: SCAUP_LISTEN|known are: .*SCAUP_REPLICA"):
        load(FilterSettings, {"SCAUP_QQQQQQQQ": "1"})


def test_settings_of_other_homes_and_shared_ones_are_passed_over() -> None:
    environ = {"SCAUP_INGRESS_MAX_BODY_BYTES": "x", "SCAUP_LISTEN": "x", "SCAUP_UP_PARENT_FD": "3", "OTHER": "1"}
    assert load(FilterSettings, environ) == FilterSettings()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SCAUP_INGRESS_MAX_BODY_BYTES", "1MiB", "expected a whole number"),
        ("SCAUP_INGRESS_MAX_BODY_BYTES", "1.5", "expected a whole number"),
        ("SCAUP_INGRESS_MAX_BODY_BYTES", "-1", "not below 0"),
        ("SCAUP_DRAIN_SECONDS", "soon", "expected a number"),
        ("SCAUP_DRAIN_SECONDS", "nan", "not below 0"),
        ("SCAUP_DRAIN_SECONDS", "inf", "not below 0"),
        ("SCAUP_LISTEN", "8080", "host:port"),
        ("SCAUP_LISTEN", "a:99999", "host:port"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_was_expected(name: str, value: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} = '{value}': .*{why}"):
        load(IngressSettings, {name: value})


def test_a_switch_is_true_or_false() -> None:
    assert load(Some, {"SCAUP_SOME_FLAG": "True"}).flag is True
    with pytest.raises(SettingsError, match="expected true or false"):
        load(Some, {"SCAUP_SOME_FLAG": "1"})


def test_a_secret_does_not_show_itself() -> None:
    settings = load(Some, {"SCAUP_NATS_TOKEN": "hush"})
    assert settings.bus.access().token == "hush"
    assert "hush" not in repr(settings) + repr(settings.bus.access()) + f"{[settings.bus.token]}"
    assert isinstance(settings.bus.token, Secret)


@pytest.mark.parametrize(
    ("text", "shown"), [("127.0.0.1:8080", "127.0.0.1:8080"), ("[::1]:0", "[::1]:0"), (":9", "0.0.0.0:9")]
)
def test_an_address_to_listen_on_is_read_and_shown(text: str, shown: str) -> None:
    assert str(Listen.parse(text)) == shown


@pytest.mark.parametrize("kind", [IngressSettings, FilterSettings])
def test_every_setting_says_its_name_default_and_meaning(kind: type) -> None:
    described = list(describe(kind))
    assert len({variable for variable, _, _ in described}) == len(described)
    assert all(variable.startswith("SCAUP_") and meaning.endswith(".") for variable, _, meaning in described)


def test_a_process_without_a_name_makes_one_up() -> None:
    assert ServiceSettings().replica_name == ServiceSettings().replica_name != ""


def test_a_number_of_servers_that_survives_no_more_than_a_smaller_one_is_refused() -> None:
    assert load(ControllerSettings, {"SCAUP_CONTROLLER_DEFAULT_REPLICAS": "3"}).default_replicas == 3
    with pytest.raises(SettingsError, match="SCAUP_CONTROLLER_DEFAULT_REPLICAS = '2': expected 1, 3 or 5"):
        load(ControllerSettings, {"SCAUP_CONTROLLER_DEFAULT_REPLICAS": "2"})
