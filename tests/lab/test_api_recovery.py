"""A daemon that is killed at any moment leaves a lab that the next one carries on."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from appliance.contract.trouble import LabTrouble
from appliance.lab.records import Action
from appliance.lab.state import KEPT_ACTIONS, Store
from tests.lab.paper import PaperHardware
from tests.lab.rest import Rest
from tests.lab.served import served

SERVER = {"name": "n", "server_type": "cx23", "image": "debian-13"}


def test_what_was_answered_is_on_disk(tmp_path: Path) -> None:
    file, hardware = tmp_path / "state.json", PaperHardware()
    with served(hardware, file=file) as api:
        rest = Rest(api)
        server = rest.server(labels={"a": "b"}, networks=[rest.network()])
        key = rest.key()
    with served(hardware, file=file) as api:
        rest = Rest(api)
        assert rest.ok("GET", f"/servers/{server['id']}")["server"] == server
        new = rest.key("other")
    assert new > key


def test_only_root_reads_the_memory(tmp_path: Path) -> None:
    with served(file=tmp_path / "state.json") as api:
        Rest(api).server(user_data="private")
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_an_action_cut_off_by_a_killed_daemon_is_finished_by_the_next(tmp_path: Path) -> None:
    file, hardware = tmp_path / "state.json", PaperHardware()
    gate = hardware.gates["start"] = threading.Event()
    with served(hardware, file=file) as api:
        made = Rest(api)("POST", "/servers", SERVER).json()
        Rest(api).until(f"/servers/{made['server']['id']}", "server", lambda s: s["status"] == "starting")
        copy = file.read_bytes()  # as a kill would leave it
        gate.set()
    del hardware.gates["start"]
    hardware.machines[made["server"]["id"]].on = False
    file.write_bytes(copy)
    with served(hardware, file=file, recover=True) as api:
        rest = Rest(api)
        for action in (made["action"], *made["next_actions"]):
            assert rest.finished(action["id"])["status"] == "success"
        assert rest.ok("GET", f"/servers/{made['server']['id']}")["server"]["status"] == "running"
    assert hardware.machines[made["server"]["id"]].on


def test_a_delete_that_was_cut_off_is_carried_through(tmp_path: Path) -> None:
    file, hardware = tmp_path / "state.json", PaperHardware()
    with served(hardware, file=file) as api:
        rest = Rest(api)
        server = rest.server()["id"]
        gate = hardware.gates["delete"] = threading.Event()
        action = rest("DELETE", f"/servers/{server}").json()["action"]
        copy = file.read_bytes()
        gate.set()
    file.write_bytes(copy)
    with served(hardware, file=file, recover=True) as api:
        assert Rest(api).finished(action["id"])["status"] == "success"
        assert Rest(api).ok("GET", "/servers")["servers"] == []


def test_a_reboot_of_unknown_outcome_fails_honestly(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.json")
    store.state.actions[7] = Action(id=7, command="reboot_server", chain=7)
    store.save()
    with served(file=tmp_path / "state.json", recover=True) as api:
        action = Rest(api).finished(7)
    assert action["status"] == "error"
    assert "daemon" in action["error"]["message"]


def test_a_machine_that_did_not_outlive_the_crash_is_off(tmp_path: Path) -> None:
    file, hardware = tmp_path / "state.json", PaperHardware()
    with served(hardware, file=file) as api:
        server = Rest(api).server()["id"]
    hardware.machines[server].on = False
    hardware.networks.clear()
    with served(hardware, file=file, recover=True) as api:
        rest = Rest(api)
        assert rest.ok("GET", f"/servers/{server}")["server"]["status"] == "off"
        rest.ok("POST", f"/servers/{server}/actions/poweron")


def test_lost_wires_are_laid_again(tmp_path: Path) -> None:
    file, hardware = tmp_path / "state.json", PaperHardware()
    with served(hardware, file=file) as api:
        rest = Rest(api)
        network = rest.network()
        rest.server(networks=[network])
    hardware.networks.clear()
    with served(hardware, file=file, recover=True):
        pass
    assert hardware.networks == {network: "10.0.0.0/16"}


def test_one_broken_machine_does_not_keep_the_lab_down(tmp_path: Path) -> None:
    file, hardware = tmp_path / "state.json", PaperHardware()
    with served(hardware, file=file) as api:
        Rest(api).server("a")
        Rest(api).server("b")
    hardware.broken["rewire"] = "gone"
    with served(hardware, file=file, recover=True) as api:
        assert len(Rest(api).ok("GET", "/servers")["servers"]) == 2


def test_a_memory_that_is_none_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text("{")
    with pytest.raises(LabTrouble, match="cannot be read"):
        Store(file)


def test_old_actions_are_forgotten_and_running_ones_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.json")
    for number in range(1, KEPT_ACTIONS + 11):
        status = "running" if number == 1 else "success"
        store.state.actions[number] = Action(id=number, command="c", status=status)
    store.save()
    kept = json.loads((tmp_path / "state.json").read_text())["actions"]
    assert len(kept) == KEPT_ACTIONS
    assert "1" in kept
    assert "2" not in kept
