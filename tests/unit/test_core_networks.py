"""Networks that nothing may be sent to: how they are written, and what is in them."""

from __future__ import annotations

import pytest

from scaup.core.http.networks import Networks
from scaup.core.model.errors import SettingsError
from scaup.core.runtime.settings import load
from scaup.dispatcher.settings import DispatcherSettings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.0.0.0/8 , fd00::/8 ", "10.0.0.0/8,fd00::/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("loopback", "127.0.0.0/8,::1/128,0.0.0.0/8,::/128"),
        ("Link-Local,192.0.2.0/24", "169.254.0.0/16,fe80::/10,192.0.2.0/24"),
        ("private", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7"),
    ],
)
def test_networks_addresses_and_words_are_read(text: str, shown: str) -> None:
    assert str(Networks.parse(text)) == shown


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "local",
        "example.com",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/",
        "10.0.0",
        "10.0.0.0-10.0.0.9",
        "fe80::1%eth0",
        "fd00::1/8",
        "010.0.0.0/8",
        "[::1]",
        "127.0.0.1:80",
        "1/8",
    ],
)
def test_what_is_no_network_is_refused_at_start_with_what_was_expected(entry: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(DispatcherSettings, {"SCAUP_SINK_DENY": f"loopback,{entry}"})
    said = str(caught.value)
    assert said.startswith(f"SCAUP_SINK_DENY = 'loopback,{entry}': {entry!r} is no network: expected a network such as")
    assert said.endswith("or one of loopback, private, link-local")


def test_nothing_is_denied_where_nothing_is_set() -> None:
    assert load(DispatcherSettings, {}).sink_deny is None
    assert Networks().holding("127.0.0.1") is None


@pytest.mark.parametrize(
    ("denied", "address", "by"),
    [
        ("127.0.0.0/8", "127.9.9.9", "127.0.0.0/8"),
        ("127.0.0.0/8", "128.0.0.1", None),
        ("fd00::/8", "fd12::1", "fd00::/8"),
        ("fd00::/8", "10.0.0.1", None),
        ("fe80::/10", "fe80::1%2", "fe80::/10"),
        ("::1", "::1%1", "::1/128"),
        # Ways of IPv6 to an IPv4 address.
        ("10.0.0.0/8", "::ffff:10.1.2.3", "10.0.0.0/8"),
        ("10.0.0.0/8", "::ffff:a01:203", "10.0.0.0/8"),
        ("10.0.0.0/8", "::10.1.2.3", "10.0.0.0/8"),
        ("10.0.0.0/8", "::ffff:0:10.1.2.3", "10.0.0.0/8"),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", "10.0.0.0/8"),
        ("10.0.0.0/8", "64:ff9b:1:7::10.1.2.3", "10.0.0.0/8"),
        ("10.0.0.0/8", "2002:a01:203::1", "10.0.0.0/8"),
        ("10.0.0.0/8", "2001:0:4136:e378:8000:63bf:f5fe:fdfc", "10.0.0.0/8"),
        ("10.0.0.0/8", "64:ff9b::11.1.2.3", None),
        ("10.0.0.0/8", "2001:db8::10.1.2.3", None),
        ("64:ff9b::/96", "64:ff9b::11.1.2.3", "64:ff9b::/96"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "10.0.0.0/8"),
        # A connection to 0.0.0.0 is one to the machine itself.
        ("127.0.0.1", "0.0.0.0", "127.0.0.1/32"),
        ("127.0.0.0/8", "::ffff:0.0.0.0", "127.0.0.0/8"),
        ("::1", "::", "::1/128"),
        ("loopback", "0.0.0.0", "0.0.0.0/8"),
        ("loopback", "::", "::/128"),
        ("link-local", "169.254.169.254", "169.254.0.0/16"),
        ("link-local", "::ffff:169.254.169.254", "169.254.0.0/16"),
        ("private", "172.31.0.1", "172.16.0.0/12"),
        ("private", "172.32.0.1", None),
        ("private", "fd00:ec2::254", "fc00::/7"),
        ("loopback,private,link-local", "93.184.216.34", None),
        ("loopback,private,link-local", "2606:2800:220:1::1", None),
    ],
)
def test_an_address_counts_as_everything_it_stands_for(denied: str, address: str, by: str | None) -> None:
    found = Networks.parse(denied).holding(address)
    assert (found and str(found)) == by
