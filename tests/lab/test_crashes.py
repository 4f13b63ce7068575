"""Whatever ends the daemon, a command or the whole host, `lab up` carries on with what was begun."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.lab import daemon_process, lifecycle, processes
from appliance.lab.place import Place
from appliance.lab.shell import attempt, run
from appliance.lab.trees import mounts_below, unmount
from tests.lab.daemons import kill_daemon, rest
from tests.lab.rest import Rest
from tests.lab.serving import until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
FILES = 3000


@pytest.fixture(scope="module")
def up(place: Place) -> Place:
    lifecycle.up(place)
    key = rest(place).key()
    assert key
    return place


def new_server(api: Rest, name: str, **more: Any) -> dict[str, Any]:
    return api.server(name, ssh_keys=["k"], **more)


def die_and_come_back(place: Place) -> Rest:
    kill_daemon(place)
    assert lifecycle.up(place)
    return rest(place)


def answers(server: dict[str, Any]) -> bool:
    where = (server["public_net"]["ipv4"]["ip"], 22)
    with contextlib.suppress(OSError), socket.create_connection(where, 2) as ssh:
        ssh.settimeout(2)
        return ssh.recv(4) == b"SSH-"
    return False


def fill(folder: Path) -> None:
    for number in range(FILES):
        part = folder / str(number % 50)
        part.mkdir(parents=True, exist_ok=True)
        (part / str(number)).write_bytes(b"x" * 5000)


def test_a_create_that_was_killed_at_any_moment_is_finished(up: Place) -> None:
    for moment in (0.0, 0.1, 0.4):
        wanted = {"name": "s", "server_type": "cx23", "image": "debian-13", "ssh_keys": ["k"]}
        made = rest(up)("POST", "/servers", wanted).json()
        time.sleep(moment)  # wherever that is: the outcome must be the same
        api = die_and_come_back(up)
        for action in (made["action"], *made["next_actions"]):
            assert api.finished(action["id"])["error"] is None
        until(lambda made=made: answers(made["server"]), 20)  # type: ignore[misc]
        api.ok("DELETE", f"/servers/{made['server']['id']}")


def test_a_copy_of_a_disk_that_was_killed_is_made_anew_and_whole(up: Place) -> None:
    api = rest(up)
    server = new_server(api, "s")["id"]
    fill(up.folder / f"machines/{server}/root/srv")
    image = api("POST", f"/servers/{server}/actions/create_image", {}).json()
    layers = up.folder / "layers"
    until(lambda: list(layers.glob("snapshot-*")))
    api = die_and_come_back(up)
    assert api.finished(image["action"]["id"])["error"] is None
    [kept] = [path for path in layers.glob("snapshot-*") if path.is_dir()]
    assert sum(len(files) for _, _, files in os.walk(kept / "srv")) == FILES
    api.ok("DELETE", f"/images/{image['image']['id']}")
    api.ok("DELETE", f"/servers/{server}")


def test_a_delete_that_was_killed_leaves_nothing(up: Place) -> None:
    api = rest(up)
    server = new_server(api, "s")["id"]
    fill(up.folder / f"machines/{server}/root/srv")
    action = api("DELETE", f"/servers/{server}").json()["action"]["id"]
    api = die_and_come_back(up)
    assert api.finished(action)["error"] is None
    assert not list((up.folder / "machines").iterdir())
    until(lambda: not list(up.trash.iterdir()))


def test_after_a_power_cut_servers_are_off_and_can_be_switched_on(up: Place) -> None:
    api = rest(up)
    network = api.network()
    server = new_server(api, "s", networks=[network])
    until(lambda: answers(server), 20)
    (up.folder / f"machines/{server['id']}/root/root/written").write_text("before")
    kill_daemon(up)
    cut_the_power(up)
    assert "repairs" in (lifecycle.status(up).problem or "")
    assert lifecycle.up(up)
    [machine] = lifecycle.status(up).machines
    assert machine.status == "off"
    api = rest(up)
    api.ok("POST", f"/servers/{server['id']}/actions/poweron")
    until(lambda: answers(server), 20)
    assert (up.folder / f"machines/{server['id']}/root/root/written").read_text() == "before"
    api.ok("DELETE", f"/servers/{server['id']}")
    api.ok("DELETE", f"/networks/{network}")


def cut_the_power(place: Place) -> None:
    """What a host that went off has lost: processes, mounts, namespaces, interfaces, rules."""
    mine = (f"{place.folder}/", f"--machine={place.prefix}s")
    for pid in [p for p in processes.parents() if any(word in processes.command_line(p) for word in mine)]:
        for one in (pid, *processes.descendants(pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    for namespace in [p.name for p in Path("/run/netns").iterdir()]:
        if namespace == place.prefix or namespace.startswith((f"{place.prefix}s", f"{place.prefix}n")):
            run(["ip", "netns", "delete", namespace])
    attempt(["ip", "link", "delete", f"{place.prefix}h"])
    run(["nft", "delete", "table", "ip", place.prefix])
    for point in mounts_below(place.folder):
        unmount(point)


def test_a_lab_that_was_half_removed_comes_up_again(up: Place) -> None:
    kill_daemon(up)
    shutil.rmtree(up.folder / "log")
    (up.folder / "daemon.json").write_text("{")
    assert lifecycle.up(up)
    assert lifecycle.status(up).up


def test_what_a_killed_down_left_is_not_taken_for_a_lab(up: Place) -> None:
    api = rest(up)
    server = new_server(api, "s")
    (up.folder / f"machines/{server['id']}/root/root/written").write_text("before")
    kill_daemon(up)
    (up.folder / "state.json").unlink()  # the first that goes
    assert lifecycle.up(up)
    assert lifecycle.status(up).machines == ()
    assert not answers(server)
    assert not list(up.folder.glob("machines/*"))


def test_a_daemon_whose_folder_was_removed_is_replaced_and_ended(up: Place) -> None:
    for again in (lifecycle.up, lifecycle.down):
        lost = daemon_process.find(up)
        assert lost
        shutil.rmtree(up.folder, ignore_errors=True)  # what is mounted below stays
        again(up)
        assert not processes.command_line(lost.pid)
    assert up.prefix not in run(["ip", "netns"]) + run(["nft", "list", "tables"])
