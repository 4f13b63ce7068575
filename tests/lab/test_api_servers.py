"""What the stock client does with servers, and what has become of the machines."""

from __future__ import annotations

import threading

import pytest
from hcloud import APIException, Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType

from tests.lab.rest import Rest, public_key
from tests.lab.served import LabApi
from tests.lab.serving import until


@pytest.fixture
def client(lab_api: LabApi) -> Client:
    return Client(lab_api.token, api_endpoint=lab_api.endpoint, poll_interval=0.02)


@pytest.fixture
def rest(lab_api: LabApi) -> Rest:
    return Rest(lab_api)


def test_the_stock_client_makes_uses_and_deletes_a_server(lab_api: LabApi, client: Client) -> None:
    key = client.ssh_keys.create("desk", public_key())
    made = client.servers.create(
        name="node-1",
        server_type=ServerType(name="cx23"),
        image=Image(name="debian-13"),
        location=Location(name="fsn1"),
        ssh_keys=[key],
        user_data="#cloud-config\n",
        labels={"appliance": "a"},
    )
    made.action.wait_until_finished()
    for action in made.next_actions:
        action.wait_until_finished()
    [server] = client.servers.get_all(label_selector="appliance=a")
    assert server.status == "running"
    assert made.root_password is None
    [machine] = lab_api.hardware.machines.values()
    assert machine.on
    assert machine.spec.user_data == "#cloud-config\n"
    assert machine.spec.ssh_keys == (key.public_key,)

    image = server.create_image(description="mine", labels={"k": "v"})
    image.action.wait_until_finished()
    [snapshot] = client.images.get_all(type=["snapshot"])
    assert (snapshot.status, snapshot.description, snapshot.labels) == ("available", "mine", {"k": "v"})
    client.servers.delete(server).wait_until_finished()
    assert client.servers.get_all() == []
    assert client.primary_ips.get_all() == []
    assert lab_api.hardware.machines == {}
    client.images.delete(snapshot)
    until(lambda: lab_api.hardware.layers == {"debian-13"})


def test_the_stock_client_reads_refusals(client: Client) -> None:
    with pytest.raises(APIException) as refusal:
        client.servers.create("n", ServerType(name="no-such"), Image(name="debian-13"))
    assert refusal.value.code == "invalid_input"
    assert refusal.value.details["fields"][0]["name"] == "server_type"


def test_a_server_without_key_gets_a_password_that_works(lab_api: LabApi, rest: Rest) -> None:
    made = rest.ok("POST", "/servers", {"name": "n", "server_type": "cx23", "image": "debian-13"})
    assert lab_api.hardware.machines[made["server"]["id"]].password == made["root_password"]
    assert made["root_password"]


def test_the_machine_is_wired_as_its_records_say(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    rule = {"direction": "in", "protocol": "tcp", "port": "443", "source_ips": ["198.51.100.0/24"]}
    firewall = rest.ok("POST", "/firewalls", {"name": "f", "rules": [rule]})["firewall"]["id"]
    server = rest.server(networks=[network], firewalls=[{"firewall": firewall}])
    spec = lab_api.hardware.machines[server["id"]].spec
    assert spec.public.ipv4 == server["public_net"]["ipv4"]["ip"]
    [wire] = spec.private
    assert (wire.ip, wire.gateway, wire.ip_range) == ("10.0.1.1", "10.0.0.1", "10.0.0.0/16")
    assert spec.firewall is not None
    [seen] = spec.firewall
    assert (seen.port, seen.peers) == ("443", ("198.51.100.0/24",))
    on = [{"type": "server", "server": {"id": server["id"]}}]
    rest.ok("POST", f"/firewalls/{firewall}/actions/remove_from_resources", {"remove_from": on})
    assert lab_api.hardware.machines[server["id"]].spec.firewall is None


def test_a_firewall_follows_the_labels_of_its_selector(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server()["id"]
    on = [{"type": "label_selector", "label_selector": {"selector": "role=web"}}]
    rest.ok("POST", "/firewalls", {"name": "f", "apply_to": on})
    assert lab_api.hardware.machines[server].spec.firewall is None
    rest.ok("PUT", f"/servers/{server}", {"labels": {"role": "web"}})
    until(lambda: lab_api.hardware.machines[server].spec.firewall == ())


def test_a_primary_ip_of_ones_own_outlives_its_server(rest: Rest) -> None:
    wanted = {"name": "p", "type": "ipv4", "location": "fsn1"}
    ip = rest.ok("POST", "/primary_ips", wanted)["primary_ip"]
    server = rest.server(public_net={"ipv4": ip["id"], "enable_ipv6": False})
    assert server["public_net"]["ipv4"]["ip"] == ip["ip"]
    rest.ok("DELETE", f"/servers/{server['id']}")
    left = rest.ok("GET", "/primary_ips")["primary_ips"]
    assert [(p["id"], p["assignee_id"], p["assignee_type"]) for p in left] == [(ip["id"], None, "unassigned")]


def test_a_freed_address_is_not_given_out_again_at_once(rest: Rest) -> None:
    first = rest.server("a")
    rest.ok("DELETE", f"/servers/{first['id']}")
    second = rest.server("b")
    assert first["public_net"]["ipv4"]["ip"] != second["public_net"]["ipv4"]["ip"]


def test_a_shutdown_is_done_when_the_button_was_pressed_and_off_comes_later(
    lab_api: LabApi, rest: Rest
) -> None:
    server = rest.server()["id"]
    lab_api.hardware.shutdown_works = False
    rest.ok("POST", f"/servers/{server}/actions/shutdown")
    assert rest.ok("GET", f"/servers/{server}")["server"]["status"] == "running"
    lab_api.hardware.shutdown_works = True
    rest.ok("POST", f"/servers/{server}/actions/shutdown")
    rest.until(f"/servers/{server}", "server", lambda s: s["status"] == "off")


def test_a_rebuild_keeps_the_old_user_data_unless_new_is_given(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server(user_data="old")["id"]
    rest.ok("POST", f"/servers/{server}/actions/rebuild", {"image": "debian-13"})
    assert lab_api.hardware.machines[server].spec.user_data == "old"
    rest.ok("POST", f"/servers/{server}/actions/rebuild", {"image": "debian-13", "user_data": "new"})
    assert lab_api.hardware.machines[server].spec.user_data == "new"


def test_backups_go_with_disable_backup_and_snapshots_stay(rest: Rest) -> None:
    server = rest.server()["id"]
    rest.ok("POST", f"/servers/{server}/actions/enable_backup")
    rest.ok("POST", f"/servers/{server}/actions/create_image", {"type": "backup"})
    rest.ok("POST", f"/servers/{server}/actions/create_image", {"type": "snapshot"})
    rest.ok("POST", f"/servers/{server}/actions/disable_backup")
    images = rest.ok("GET", "/images?type=backup&type=snapshot")["images"]
    assert [i["type"] for i in images] == ["snapshot"]


def test_only_seven_backups_are_kept(rest: Rest) -> None:
    server = rest.server()["id"]
    rest.ok("POST", f"/servers/{server}/actions/enable_backup")
    made = [
        rest.ok("POST", f"/servers/{server}/actions/create_image", {"type": "backup"})["image"]["id"]
        for _ in range(8)
    ]
    images = rest.ok("GET", "/images?type=backup&sort=id")["images"]
    assert [i["id"] for i in images] == made[1:]


def test_a_busy_server_is_locked_and_says_so(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server()["id"]
    gate = lab_api.hardware.gates["power_off"] = threading.Event()
    action = rest("POST", f"/servers/{server}/actions/poweroff").json()["action"]
    assert action["status"] == "running"
    assert rest.ok("GET", f"/servers/{server}")["server"]["locked"]
    assert rest.refused("POST", f"/servers/{server}/actions/poweron") == (423, "locked")
    assert rest.refused("DELETE", f"/servers/{server}") == (423, "locked")
    gate.set()
    assert rest.finished(action["id"])["status"] == "success"
    assert not rest.ok("GET", f"/servers/{server}")["server"]["locked"]


def test_a_failing_machine_fails_its_action_with_the_reason(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server()["id"]
    lab_api.hardware.broken["power_off"] = "the plug is stuck"
    action = rest("POST", f"/servers/{server}/actions/poweroff").json()["action"]
    assert rest.finished(action["id"])["error"] == {"code": "action_failed", "message": "the plug is stuck"}
    assert rest.ok("GET", f"/servers/{server}")["server"]["status"] == "running"


def test_a_server_that_cannot_be_made_is_not_left_behind(lab_api: LabApi, rest: Rest) -> None:
    lab_api.hardware.broken["create"] = "no disk"
    made = rest("POST", "/servers", {"name": "n", "server_type": "cx23", "image": "debian-13"}).json()
    assert rest.finished(made["action"]["id"])["error"]["message"] == "no disk"
    assert rest.finished(made["next_actions"][-1]["id"])["status"] == "error"
    assert rest.ok("GET", "/servers")["servers"] == []
    assert rest.ok("GET", "/primary_ips")["primary_ips"] == []


def test_a_failed_snapshot_leaves_no_image(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server()["id"]
    lab_api.hardware.broken["snapshot"] = "disk full"
    made = rest("POST", f"/servers/{server}/actions/create_image").json()
    assert rest.finished(made["action"]["id"])["status"] == "error"
    assert rest.ok("GET", "/images?type=snapshot")["images"] == []


def test_private_addresses_show_only_once_the_wire_is_there(lab_api: LabApi, rest: Rest) -> None:
    network, server = rest.network(), rest.server()["id"]
    gate = lab_api.hardware.gates["rewire"] = threading.Event()
    attach = {"network": network}
    action = rest("POST", f"/servers/{server}/actions/attach_to_network", attach).json()["action"]
    assert rest.ok("GET", f"/servers/{server}")["server"]["private_net"] == []
    [member] = rest.ok("GET", f"/networks/{network}/members")["members"]
    assert member["status"] == "attaching"
    gate.set()
    rest.finished(action["id"])
    [nic] = rest.ok("GET", f"/servers/{server}")["server"]["private_net"]
    [member] = rest.ok("GET", f"/networks/{network}/members")["members"]
    assert (member["status"], member["ip"], member["subnet"]) == ("ok", nic["ip"], "10.0.1.0/24")


def test_a_deleted_network_lets_go_of_its_servers(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    server = rest.server(networks=[network])["id"]
    rest.ok("DELETE", f"/networks/{network}")
    until(lambda: lab_api.hardware.networks == {})
    assert lab_api.hardware.machines[server].spec.private == ()


def test_a_floating_ip_moves_between_running_servers(lab_api: LabApi, rest: Rest) -> None:
    one, other = rest.server("one")["id"], rest.server("other")["id"]
    made = rest.ok("POST", "/floating_ips", {"type": "ipv4", "server": one})["floating_ip"]
    machines = lab_api.hardware.machines
    assert machines[one].spec.public.floating == (made["ip"],)
    rest.ok("POST", f"/floating_ips/{made['id']}/actions/assign", {"server": other})
    assert machines[one].spec.public.floating == ()
    assert machines[other].spec.public.floating == (made["ip"],)
