"""Load balancers: the order that works, the races that do not, and what the hardware is told."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from appliance.lab.hardware import TargetHealth
from tests.lab.certificate import certificate_and_key
from tests.lab.rest import Rest
from tests.lab.served import LabApi
from tests.lab.serving import until

BALANCER = {"name": "b", "load_balancer_type": "lb11", "location": "fsn1"}
TCP = {"protocol": "tcp", "listen_port": 443, "destination_port": 8443}


@pytest.fixture
def rest(lab_api: LabApi) -> Rest:
    return Rest(lab_api)


def private(server: int) -> dict[str, Any]:
    return {"type": "server", "server": {"id": server}, "use_private_ip": True}


def balancer(rest: Rest, **more: Any) -> int:
    return int(rest.ok("POST", "/load_balancers", {**BALANCER, **more})["load_balancer"]["id"])


def test_the_documented_order_ends_with_a_healthy_target(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    server = rest.server(networks=[network])
    made = balancer(rest)
    at = f"/load_balancers/{made}/actions"
    rest.ok("POST", f"{at}/attach_to_network", {"network": network})
    rest.ok("POST", f"{at}/add_service", {**TCP, "proxyprotocol": True})
    rest.ok("POST", f"{at}/add_target", private(server["id"]))
    spec = lab_api.hardware.balancers[made]
    assert spec.targets == ((f"server-{server['id']}", "10.0.1.1"),)
    [wire] = spec.private
    assert wire.ip == "10.0.1.2"
    [service] = spec.services
    assert (service.listen_port, service.destination_port, service.proxyprotocol) == (443, 8443, True)
    check = service.health_check
    assert (check.protocol, check.port, check.interval, check.timeout, check.retries) == (
        "tcp",
        8443,
        15,
        10,
        3,
    )
    lab_api.hardware.health[made] = {(f"server-{server['id']}", 443): TargetHealth("healthy")}

    def healthy(shown: dict[str, Any]) -> bool:
        return bool(shown["targets"][0]["health_status"] == [{"listen_port": 443, "status": "healthy"}])

    rest.until(f"/load_balancers/{made}", "load_balancer", healthy)
    assert rest.ok("GET", f"/servers/{server['id']}")["server"]["load_balancers"] == [made]


def test_details_of_health_show_only_while_unhealthy(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server()["id"]
    made = balancer(rest, services=[TCP], targets=[{"type": "server", "server": {"id": server}}])

    def statuses() -> Any:
        shown = rest.ok("GET", f"/load_balancers/{made}")["load_balancer"]
        return shown["targets"][0]["health_status"]

    assert statuses() == [{"listen_port": 443, "status": "unknown"}]
    sick = TargetHealth("unhealthy", "unexpected_http_status", 503)
    lab_api.hardware.health[made] = {(f"server-{server}", 443): sick}
    until(lambda: statuses()[0]["status"] == "unhealthy")
    assert statuses()[0] == {
        "listen_port": 443,
        "status": "unhealthy",
        "detail": "unexpected_http_status",
        "http_status_code": 503,
    }


def test_targets_before_the_attachment_is_done_are_refused(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    server, made = rest.server(networks=[network])["id"], balancer(rest)
    at = f"/load_balancers/{made}/actions"
    early = rest.refused("POST", f"{at}/add_target", private(server))
    assert early == (422, "load_balancer_not_attached_to_network")
    gate = lab_api.hardware.gates["apply_balancer"] = threading.Event()
    action = rest("POST", f"{at}/attach_to_network", {"network": network}).json()["action"]
    assert rest.refused("POST", f"{at}/add_target", private(server)) == (423, "locked")
    gate.set()
    rest.finished(action["id"])
    rest.ok("POST", f"{at}/add_target", private(server))


def test_a_server_whose_wire_is_not_there_yet_is_no_private_target(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    server, made = rest.server()["id"], balancer(rest, network=network)
    at = f"/load_balancers/{made}/actions/add_target"
    assert rest.refused("POST", at, private(server)) == (422, "resolve_cloud_private_targets_error")
    gate = lab_api.hardware.gates["rewire"] = threading.Event()
    attach = {"network": network}
    action = rest("POST", f"/servers/{server}/actions/attach_to_network", attach).json()["action"]
    assert rest.refused("POST", at, private(server)) == (422, "resolve_cloud_private_targets_error")
    gate.set()
    rest.finished(action["id"])
    rest.ok("POST", at, private(server))


def test_refusals(rest: Rest) -> None:
    network = rest.network()
    server = rest.server(networks=[network])["id"]
    made = balancer(rest, services=[TCP])
    at = f"/load_balancers/{made}/actions"
    off = rest.refused("POST", f"{at}/disable_public_interface")
    assert off == (422, "load_balancer_not_attached_to_network")
    rest.ok("POST", f"{at}/attach_to_network", {"network": network})
    twice = rest.refused("POST", f"{at}/attach_to_network", {"network": network})
    assert twice == (422, "load_balancer_already_attached")
    assert rest.refused("POST", f"{at}/add_service", TCP) == (412, "source_port_already_used")
    foreign = {"type": "ip", "ip": {"ip": "192.0.2.1"}}
    assert rest.refused("POST", f"{at}/add_target", foreign) == (422, "ip_not_owned")
    inside = {"type": "ip", "ip": {"ip": "10.0.1.200"}}
    assert rest.refused("POST", f"{at}/add_target", inside) == (422, "network_has_no_vswitch_subnet")
    public = {"type": "server", "server": {"id": server}}
    rest.ok("POST", f"{at}/add_target", public)
    assert rest.refused("POST", f"{at}/add_target", private(server)) == (422, "target_already_defined")
    blocked = rest.refused("POST", f"{at}/disable_public_interface")
    assert blocked == (422, "targets_without_use_private_ip")
    rest.ok("POST", f"{at}/remove_target", public)
    rest.ok("POST", f"{at}/disable_public_interface")
    disabled = rest.refused("POST", f"{at}/add_target", public)
    assert disabled == (422, "load_balancer_public_interface_disabled")


def test_a_server_keeps_the_address_that_a_balancer_uses(rest: Rest) -> None:
    server = rest.server()
    balancer(rest, targets=[{"type": "server", "server": {"id": server["id"]}}])
    rest.ok("POST", f"/servers/{server['id']}/actions/poweroff")
    own = server["public_net"]["ipv4"]["id"]
    kept = rest.refused("POST", f"/primary_ips/{own}/actions/unassign")
    assert kept == (422, "server_is_load_balancer_target")


def test_a_deleted_network_lets_go_of_its_balancer(lab_api: LabApi, rest: Rest) -> None:
    network = rest.network()
    made = balancer(rest, network=network)
    rest.ok("DELETE", f"/networks/{network}")
    until(lambda: lab_api.hardware.networks == {})
    assert lab_api.hardware.balancers[made].private == ()
    assert rest.ok("GET", f"/load_balancers/{made}")["load_balancer"]["private_net"] == []


def test_an_lb11_has_five_services(rest: Rest) -> None:
    services = [{**TCP, "listen_port": port} for port in range(1, 7)]
    made = balancer(rest, services=services[:5])
    full = rest.refused("POST", f"/load_balancers/{made}/actions/add_service", services[5])
    assert full == (403, "resource_limit_exceeded")
    rest.ok("POST", f"/load_balancers/{made}/actions/change_type", {"load_balancer_type": "lb21"})
    rest.ok("POST", f"/load_balancers/{made}/actions/add_service", services[5])
    smaller = {"load_balancer_type": "lb11"}
    back = rest.refused("POST", f"/load_balancers/{made}/actions/change_type", smaller)
    assert back == (422, "invalid_load_balancer_type")


def test_https_needs_a_certificate_which_is_then_in_use(lab_api: LabApi, rest: Rest) -> None:
    made = balancer(rest)
    at = f"/load_balancers/{made}/actions/add_service"
    assert rest.refused("POST", at, {"protocol": "https"}) == (422, "invalid_input")
    chain, key = certificate_and_key("lb.example.org")
    wrong = {"name": "c", "certificate": chain, "private_key": certificate_and_key("x")[1]}
    assert rest.refused("POST", "/certificates", wrong) == (422, "invalid_input")
    body = {"name": "c", "certificate": chain, "private_key": key}
    uploaded = rest.ok("POST", "/certificates", body)["certificate"]
    assert uploaded["domain_names"] == ["lb.example.org"]
    rest.ok("POST", at, {"protocol": "https", "http": {"certificates": [uploaded["id"]]}})
    [service] = lab_api.hardware.balancers[made].services
    [pem] = service.certificates
    assert chain.strip() in pem
    assert key.strip() in pem
    assert rest("DELETE", f"/certificates/{uploaded['id']}").json()["error"]["code"] == "resource_in_use"


def test_an_update_of_a_service_keeps_what_it_does_not_name(rest: Rest) -> None:
    check = {"protocol": "http", "port": 8790, "interval": 3, "timeout": 2, "retries": 2}
    check = {**check, "http": {"path": "/healthz"}}
    made = balancer(rest, services=[{**TCP, "health_check": check}])
    change = {"listen_port": 443, "health_check": {"retries": 5}}
    rest.ok("POST", f"/load_balancers/{made}/actions/update_service", change)
    [service] = rest.ok("GET", f"/load_balancers/{made}")["load_balancer"]["services"]
    assert service["health_check"]["retries"] == 5
    assert service["health_check"]["interval"] == 3
    assert service["health_check"]["http"]["path"] == "/healthz"
    assert service["destination_port"] == 8443


def test_a_selector_follows_labels_and_deleted_servers_leave(lab_api: LabApi, rest: Rest) -> None:
    one, other = rest.server("one", labels={"role": "web"})["id"], rest.server("other")["id"]
    by_label = {"type": "label_selector", "label_selector": {"selector": "role=web"}}
    made = balancer(rest, services=[TCP], targets=[by_label])

    def targets() -> set[str]:
        return {key for key, _ in lab_api.hardware.balancers[made].targets}

    assert targets() == {f"server-{one}"}
    rest.ok("PUT", f"/servers/{other}", {"labels": {"role": "web"}})
    until(lambda: targets() == {f"server-{one}", f"server-{other}"})
    rest.ok("DELETE", f"/servers/{one}")
    until(lambda: targets() == {f"server-{other}"})


def test_a_deleted_balancer_is_gone_when_its_action_is_done(lab_api: LabApi, rest: Rest) -> None:
    made = balancer(rest, services=[TCP])
    rest.ok("DELETE", f"/load_balancers/{made}")
    assert rest.refused("GET", f"/load_balancers/{made}") == (404, "not_found")
    assert lab_api.hardware.balancers == {}


def test_a_balancer_that_cannot_be_made_is_not_left_behind(lab_api: LabApi, rest: Rest) -> None:
    lab_api.hardware.broken["apply_balancer"] = "no haproxy"
    made = rest("POST", "/load_balancers", BALANCER).json()
    assert rest.finished(made["action"]["id"])["error"]["message"] == "no haproxy"
    assert rest.ok("GET", "/load_balancers")["load_balancers"] == []
