"""The API fails on command, so that desks can be tested against bad days."""

from __future__ import annotations

import time

import pytest
import requests

from tests.lab.rest import Rest
from tests.lab.served import LabApi

GROUP = {"name": "g", "type": "spread"}


@pytest.fixture
def rest(lab_api: LabApi) -> Rest:
    return Rest(lab_api)


def test_an_answer_is_refused_as_often_as_asked_and_after_as_many_as_asked(
    lab_api: LabApi, rest: Rest
) -> None:
    effect = {"kind": "answer", "code": "unavailable", "message": "later"}
    lab_api.fault(effect, method="GET", path="/servers*", after=1, times=2)
    codes = [rest("GET", "/servers").status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    assert rest("GET", "/images").status_code == 200


def test_a_standing_fault_ends_when_it_is_cleared(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "answer", "status": 423, "code": "locked"}, method="POST", times=None)
    for _ in range(3):
        assert rest.refused("POST", "/placement_groups", GROUP) == (423, "locked")
    lab_api.clear_faults()
    rest.ok("POST", "/placement_groups", GROUP)


def test_a_lost_answer_was_a_deed(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "lose_answer"}, method="POST", path="/placement_groups")
    with pytest.raises(requests.ConnectionError):
        rest("POST", "/placement_groups", GROUP)
    assert [g["name"] for g in rest.ok("GET", "/placement_groups")["placement_groups"]] == ["g"]


def test_a_dropped_call_was_none(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "drop"}, method="POST", path="/placement_groups")
    with pytest.raises(requests.ConnectionError):
        rest("POST", "/placement_groups", GROUP)
    assert rest.ok("GET", "/placement_groups")["placement_groups"] == []


def test_a_hanging_call_runs_into_the_clients_own_bound(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "hang", "seconds": 30}, path="/servers")
    with pytest.raises(requests.ReadTimeout):
        rest.session.get(f"{lab_api.endpoint}/servers", timeout=0.2)


def test_a_slow_call_is_done_in_the_end(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "slow", "seconds": 0.2}, method="POST")
    begin = time.monotonic()
    rest.ok("POST", "/placement_groups", GROUP)
    assert time.monotonic() - begin >= 0.2


def test_a_type_is_sold_out_in_one_location_and_shows_so(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "sold_out", "server_type": "cx23", "location": "fsn1"})
    wanted = {"name": "n", "server_type": "cx23", "image": "debian-13", "location": "fsn1"}
    answer = rest("POST", "/servers", wanted)
    assert (answer.status_code, answer.json()["error"]["code"]) == (412, "resource_unavailable")
    [kind] = rest.ok("GET", "/server_types?name=cx23")["server_types"]
    available = {at["name"]: at["available"] for at in kind["locations"]}
    assert available == {"fsn1": False, "nbg1": True, "hel1": True}
    rest.ok("POST", "/servers", {**wanted, "location": "nbg1"})


def test_a_machine_without_wire_runs_and_is_never_reached(lab_api: LabApi, rest: Rest) -> None:
    lab_api.fault({"kind": "no_wire", "server": "*-bake"})
    deaf = rest.server("office-bake")
    assert deaf["status"] == "running"
    assert deaf["public_net"]["ipv4"]["ip"]
    assert lab_api.hardware.machines[deaf["id"]].spec.public.ipv4 is None
    other = rest.server("second-bake")
    assert lab_api.hardware.machines[other["id"]].spec.public.ipv4


def test_an_action_fails_with_the_code_asked_for(lab_api: LabApi, rest: Rest) -> None:
    server = rest.server()["id"]
    lab_api.fault({"kind": "fail_action", "command": "stop_server", "code": "timeout", "message": "m"})
    action = rest("POST", f"/servers/{server}/actions/poweroff").json()["action"]
    assert rest.finished(action["id"])["error"] == {"code": "timeout", "message": "m"}
    rest.ok("POST", f"/servers/{server}/actions/poweroff")


def test_faults_are_for_the_labs_owner_and_must_be_spelled_right(lab_api: LabApi) -> None:
    url = lab_api.endpoint.removesuffix("/v1") + "/_lab/faults"
    assert requests.put(url, json=[], timeout=5).status_code == 401
    headers = {"Authorization": f"Bearer {lab_api.token}"}
    answer = requests.put(url, json=[{"effect": {"kind": "explode"}}], headers=headers, timeout=5)
    assert answer.status_code == 422
