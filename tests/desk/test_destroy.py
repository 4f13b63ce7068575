"""Destroys at the lab's API: everything with the label, nothing else."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from appliance.contract.trouble import CloudTrouble
from appliance.desk import hostkeys
from appliance.desk.cloud import Cloud
from appliance.desk.destroy import DestroyResult, belongings, destroy, in_words
from appliance.desk.lock import hold
from appliance.desk.model import FirewallRule, Held, Label, Observed, Role
from tests.desk.at_lab import bake_server, cloud_at, verified_snapshot
from tests.desk.saying import Saying
from tests.lab.served import LabApi


def whole(cloud: Cloud) -> None:
    """One of each kind, all in use by a server."""
    name = cloud.name
    verified_snapshot(cloud)
    network = cloud.ensure_network(name, IPv4Network("10.60.0.0/16"), IPv4Network("10.60.1.0/24"), "fsn1")
    firewall = cloud.ensure_firewall(name, [FirewallRule("tcp", "443", ("0.0.0.0/0",))])
    bake_server(
        cloud,
        name=f"{name}-1",
        role=Role.NODE,
        network_ids=(network.id,),
        firewall_ids=(firewall.id,),
        placement_group_id=cloud.ensure_placement_group(name).id,
        primary_ip_id=cloud.ensure_primary_ip(f"{name}-1", "fsn1").id,
        ssh_key_ids=(cloud.ensure_ssh_key(name, hostkeys.make().public, Role.SSH_KEY),),
    )


def run(api: LabApi, said: Saying | None = None) -> DestroyResult:
    cloud, said = cloud_at(api), said or Saying()
    return destroy("office", cloud, lambda: hold(cloud, "office", said), said)


def test_everything_goes_that_is_ours_and_nothing_else(lab_api: LabApi) -> None:
    ours, theirs = cloud_at(lab_api), cloud_at(lab_api, "garage")
    whole(ours)
    whole(theirs)
    before = theirs.observe()
    said = Saying()
    result = run(lab_api, said)
    assert ours.observe() == Observed()
    assert theirs.observe() == before
    assert [text.rsplit(" ", 1)[0] for text in result.deleted[:6]] == [
        "server",
        "primary ip",
        "placement group",
        "firewall",
        "network",
        "ssh key",
    ]
    assert len(result.deleted) == 7
    assert all(step.title.startswith("Delete ") for step in said.steps)


def test_snapshots_can_be_kept_for_a_deploy_to_come(lab_api: LabApi) -> None:
    cloud = cloud_at(lab_api)
    whole(cloud)
    snapshots = cloud.observe().snapshots
    destroy("office", cloud, lambda: hold(cloud, "office", Saying()), Saying(), keep_snapshots=True)
    assert cloud.observe() == Observed(snapshots=snapshots)


def test_a_second_destroy_finds_nothing(lab_api: LabApi) -> None:
    whole(cloud_at(lab_api))
    run(lab_api)
    assert run(lab_api).deleted == ()


@pytest.mark.parametrize("call", range(7))
def test_broken_off_anywhere_and_run_again_it_converges(lab_api: LabApi, call: int) -> None:
    whole(cloud_at(lab_api))
    refusal = {"kind": "answer", "status": 403, "code": "forbidden"}
    lab_api.fault(refusal, method="DELETE", after=call)
    with pytest.raises(CloudTrouble):
        run(lab_api)
    run(lab_api)
    assert cloud_at(lab_api).observe() == Observed()


def test_delete_protection_is_said_and_not_lifted(lab_api: LabApi) -> None:
    cloud = cloud_at(lab_api)
    server = bake_server(cloud)
    path = f"/servers/{server.id}/actions/change_protection"
    cloud._wire.act("protect it", path, {"delete": True, "rebuild": True})
    with pytest.raises(CloudTrouble) as caught:
        run(lab_api)
    assert "protection" in caught.value.fix
    assert cloud.server(server.name) is not None


def test_neither_the_lock_nor_a_borrowed_ssh_key_belongs_to_it() -> None:
    lock = Held("placement_group", 1, "l", {Label.APPLIANCE: "office", Label.ROLE: Role.LOCK})
    borrowed = Held("ssh_key", 2, "laptop", {})
    ours = Held("network", 3, "office", {Label.APPLIANCE: "office", Label.ROLE: Role.NETWORK})
    what = belongings(Observed(held=(lock, borrowed, ours)), "office")
    assert in_words(what) == ("network office",)
