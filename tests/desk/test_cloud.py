"""The desk's calls against the lab's API on a good day."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from appliance.contract.trouble import CloudTrouble
from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.cloud.errors import NameTaken
from appliance.desk.model import FirewallRule, Label, Observed, Role
from tests.desk.at_lab import bake_server, cloud_at, verified_snapshot, wanted
from tests.lab.served import LabApi

RANGE, SUBNET = IPv4Network("10.60.0.0/16"), IPv4Network("10.60.1.0/24")
HTTPS = FirewallRule("tcp", "443", ("0.0.0.0/0", "::/0"))
SSH = FirewallRule("tcp", "22", ("198.51.100.7/32",))
PING = FirewallRule("icmp", None, ("0.0.0.0/0",))


@pytest.fixture
def cloud(lab_api: LabApi) -> Cloud:
    return cloud_at(lab_api)


def test_a_server_runs_when_its_creation_returns_and_is_found_by_name(cloud: Cloud) -> None:
    server = bake_server(cloud)
    assert server.status == "running"
    assert server.labels == {Label.APPLIANCE: "office", Label.ROLE: "bake"}
    assert cloud.server("office-bake") == server
    assert cloud.server("office-other") is None


def test_creating_a_server_twice_leaves_one(cloud: Cloud, lab_api: LabApi) -> None:
    assert bake_server(cloud).id == bake_server(cloud).id
    assert len(lab_api.hardware.machines) == 1


def test_a_node_stands_in_all_its_surroundings_from_its_creation_on(cloud: Cloud, lab_api: LabApi) -> None:
    network = cloud.ensure_network("office", RANGE, SUBNET, "fsn1")
    group = cloud.ensure_placement_group("office")
    firewall = cloud.ensure_firewall("office", [HTTPS, SSH, PING])
    address = cloud.ensure_primary_ip("office-1", "fsn1")
    key = cloud.ensure_ssh_key("office", hostkeys.make().public, Role.SSH_KEY)
    server = bake_server(
        cloud,
        name="office-1",
        role=Role.NODE,
        network_ids=(network.id,),
        placement_group_id=group.id,
        firewall_ids=(firewall.id,),
        primary_ip_id=address.id,
        ssh_key_ids=(key,),
    )
    assert server.placement_group_id == group.id
    assert server.firewall_ids == (firewall.id,)
    assert server.primary_ip_id == address.id
    assert server.public_ip == address.facts["ip"]
    assert server.private_ip is not None
    assert IPv4Network(f"{server.private_ip}/32").subnet_of(SUBNET)
    assert lab_api.hardware.machines[server.id].boots == 1


def test_every_part_is_found_again_and_not_made_twice(cloud: Cloud) -> None:
    public = hostkeys.make().public

    def all_parts() -> list[int]:
        return [
            cloud.ensure_network("office", RANGE, SUBNET, "fsn1").id,
            cloud.ensure_placement_group("office").id,
            cloud.ensure_firewall("office", [HTTPS]).id,
            cloud.ensure_primary_ip("office-1", "fsn1").id,
            cloud.ensure_ssh_key("office", public, Role.SSH_KEY),
        ]

    assert all_parts() == all_parts()
    assert len(cloud.observe().held) == 5


def test_firewall_rules_are_brought_to_what_is_wanted(cloud: Cloud) -> None:
    cloud.ensure_firewall("office", [HTTPS])
    cloud.ensure_firewall("office", [HTTPS, SSH, PING])
    (firewall,) = cloud.observe().held
    assert firewall.facts["rules"] == (PING, SSH, HTTPS)


def test_a_missing_subnet_is_added(cloud: Cloud) -> None:
    cloud.ensure_network("office", RANGE, SUBNET, "fsn1")
    cloud.ensure_network("office", RANGE, IPv4Network("10.60.2.0/24"), "fsn1")
    (network,) = cloud.observe().held
    assert network.facts["subnets"] == (("10.60.1.0/24", "eu-central"), ("10.60.2.0/24", "eu-central"))


def test_an_unknown_location_says_which_there_are(cloud: Cloud) -> None:
    with pytest.raises(CloudTrouble) as caught:
        cloud.ensure_network("office", RANGE, SUBNET, "mars1")
    assert "fsn1" in caught.value.fix


def test_an_ssh_key_that_someone_else_put_there_is_used_and_stays_theirs(
    cloud: Cloud, lab_api: LabApi
) -> None:
    public = hostkeys.make().public
    theirs = cloud_at(lab_api, "garage").ensure_ssh_key("laptop", public, Role.SSH_KEY)
    assert cloud.ensure_ssh_key("office", f"{public} me@desk", Role.SSH_KEY) == theirs
    assert cloud.observe().held == ()
    (seen,) = cloud.observe(public).held
    assert (seen.id, seen.labels[Label.APPLIANCE]) == (theirs, "garage")


def test_another_ssh_key_takes_the_place_of_ours(cloud: Cloud) -> None:
    cloud.ensure_ssh_key("office", hostkeys.make().public, Role.SSH_KEY)
    new = hostkeys.make().public
    number = cloud.ensure_ssh_key("office", new, Role.SSH_KEY)
    (held,) = cloud.observe().held
    assert (held.id, held.facts["public_key"]) == (number, new)


def test_what_has_our_name_but_not_our_label_is_never_adopted(cloud: Cloud, lab_api: LabApi) -> None:
    other = cloud_at(lab_api, "garage")
    other.ensure_network("office", RANGE, SUBNET, "fsn1")
    bake_server(other, name="office-1", role=Role.NODE)
    with pytest.raises(NameTaken, match="network named office"):
        cloud.ensure_network("office", RANGE, SUBNET, "fsn1")
    with pytest.raises(NameTaken, match="server named office-1"):
        bake_server(cloud, name="office-1", role=Role.NODE)
    assert cloud.server("office-1") is None
    assert cloud.observe() == Observed()


def test_a_bake_server_is_no_node(cloud: Cloud) -> None:
    bake_server(cloud, name="office-1", role=Role.BAKE)
    with pytest.raises(NameTaken):
        bake_server(cloud, name="office-1", role=Role.NODE)


def test_a_snapshot_is_available_when_its_creation_returns_and_found_by_labels(cloud: Cloud) -> None:
    made = verified_snapshot(cloud)
    assert made.status == "available"
    assert cloud.snapshots({Label.VERIFIED: "yes"}) == (made,)
    assert cloud.snapshots({Label.VERIFIED: "no"}) == ()
    cloud.delete_image(made.id)
    assert cloud.snapshots({}) == ()


def test_the_same_snapshot_asked_for_twice_is_made_once(cloud: Cloud) -> None:
    server = bake_server(cloud)
    labels = {Label.ROLE: Role.SNAPSHOT}
    first = cloud.create_snapshot(server.id, "appliance office", labels)
    assert cloud.create_snapshot(server.id, "appliance office", labels).id == first.id
    other = bake_server(cloud, name="office-other")
    assert cloud.create_snapshot(other.id, "appliance office", labels).id != first.id


def test_a_machine_that_ignores_its_power_button_is_switched_off(cloud: Cloud, lab_api: LabApi) -> None:
    server = bake_server(cloud)
    lab_api.hardware.shutdown_works = False
    cloud.shut_down(server.id, 0.2)
    assert not lab_api.hardware.running(server.id)
    cloud.shut_down(server.id, 0.2)  # off already
    assert cloud.power_on(server.id).status == "running"


def test_deleting_what_is_gone_is_fine(cloud: Cloud) -> None:
    server = bake_server(cloud)
    group = cloud.ensure_placement_group("office")
    for _ in range(2):
        cloud.delete_server(server.id)
        cloud.delete(group)
    assert cloud.observe() == Observed()


def test_labels_are_replaced_but_ours_stays(cloud: Cloud) -> None:
    server = bake_server(cloud)
    cloud.label_server(server.id, {Label.ROLE: "node", "x": "y"})
    (seen,) = cloud.servers({"x": "y"})
    assert seen.labels == {Label.APPLIANCE: "office", Label.ROLE: "node", "x": "y"}


def test_more_than_a_page_of_things_is_read_whole(cloud: Cloud) -> None:
    for number in range(53):
        cloud.ensure_placement_group(f"office-{number}")
    assert len(cloud.observe().held) == 53


def test_facts_of_the_cloud_are_read(cloud: Cloud) -> None:
    types = {kind.name: kind for kind in cloud.server_types()}
    assert types["cx23"].architecture == "x86"
    assert "fsn1" in [place.name for place in types["cx23"].locations]
    assert {place.network_zone for place in cloud.locations()} >= {"eu-central"}
    assert cloud.pricing()["currency"] == "EUR"
    with pytest.raises(CloudTrouble, match="no image plan-9"):
        cloud.base_image("plan-9", "x86")


def test_every_request_is_counted(cloud: Cloud) -> None:
    assert cloud.calls == 0
    cloud.pricing()
    cloud.observe()
    assert cloud.calls == 8


def test_user_data_does_not_show_in_a_repr(cloud: Cloud) -> None:
    image = cloud.base_image("debian-13", "x86")
    assert "cloud-config" not in repr(wanted(image))
