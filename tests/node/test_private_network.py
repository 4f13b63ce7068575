"""Private NICs are found by MAC, get a /32, and reach their network through its gateway."""

from __future__ import annotations

import pytest

from appliance.contract.trouble import NodeTrouble
from appliance.node.private_network import commands, parse

# As https://docs.hetzner.cloud, "Server Metadata", shows it.
METADATA = """
- ip: 10.0.0.2
  alias_ips: [10.0.0.3, 10.0.0.4]
  interface_num: 2
  mac_address: 86:00:00:2A:7D:E1
  network_id: 1234
  network_name: nw-test1
  network: 10.0.0.0/8
  subnet: 10.0.0.0/24
  gateway: 10.0.0.1
"""


def test_a_nic_of_any_name_is_configured_as_the_metadata_says() -> None:
    made = [
        " ".join(c)
        for c in commands(parse(METADATA), {"86:00:00:2a:7d:e1": "enp7s0", "96:00:00:00:00:01": "eth0"})
    ]
    assert made == [
        "ip link set dev enp7s0 mtu 1450 up",
        "ip address replace 10.0.0.2/32 dev enp7s0",
        "ip address replace 10.0.0.3/32 dev enp7s0",
        "ip address replace 10.0.0.4/32 dev enp7s0",
        "ip route replace 10.0.0.1/32 dev enp7s0 scope link",
        "ip route replace 10.0.0.0/8 via 10.0.0.1 dev enp7s0 onlink src 10.0.0.2",
    ]


def test_a_nic_that_has_not_come_up_yet_is_left_for_the_next_look() -> None:
    assert commands(parse(METADATA), {"96:00:00:00:00:01": "eth0"}) == []


@pytest.mark.parametrize("empty", ["", "[]", "\n"])
def test_no_private_network_is_nothing_to_do(empty: str) -> None:
    assert parse(empty) == []


@pytest.mark.parametrize(
    "wrong", ["not found", "{a: 1}", "- ip: 10.0.0.2", "- {", METADATA.replace("10.0.0.1", "x")]
)
def test_what_is_no_such_list_is_refused(wrong: str) -> None:
    with pytest.raises(NodeTrouble, match="no list"):
        parse(wrong)


def test_a_value_cannot_become_an_option_or_a_shell_word() -> None:
    with pytest.raises(NodeTrouble, match="no list"):
        parse(METADATA.replace("10.0.0.0/8", "default; reboot"))
