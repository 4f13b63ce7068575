"""The lab as a whole, with real machines: up, a killed daemon, the stock command, down."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from appliance.contract.trouble import LabTrouble
from appliance.lab import daemon_process, lifecycle
from appliance.lab.place import Place
from appliance.lab.trees import mounts_below
from tests.lab.daemons import kill_daemon
from tests.lab.rest import public_key

pytestmark = pytest.mark.lab


def hcloud(place: Place, *arguments: str) -> str:
    environment = {
        **os.environ,
        **lifecycle.environment(place),
        "no_proxy": "127.0.0.1",
        "HOME": "/nonexistent",
    }
    done = subprocess.run(["hcloud", *arguments], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def leftovers(place: Place) -> list[str]:
    """Whatever of this lab is still on the host."""
    listed = [("ip", "netns", "list"), ("ip", "-o", "link"), ("nft", "list", "ruleset"), ("ip", "route")]
    text = "\n".join(subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in listed)
    found = [line for line in text.splitlines() if place.prefix in line]
    found += [line for line in text.splitlines() if str(place.public) in line]
    found += [str(mount) for mount in mounts_below(place.folder)]
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"{place.folder}/" in command or f"--machine={place.prefix}" in command:
                found.append(command)
    return found + ([str(place.folder)] if place.folder.exists() else [])


@pytest.mark.timeout(600)
def test_a_lab_from_up_to_down(place: Place, tmp_path: Path) -> None:
    with pytest.raises(LabTrouble, match="not up"):
        lifecycle.environment(place)
    assert lifecycle.up(place)
    assert not lifecycle.up(place), "the second `up` has nothing to do"
    assert lifecycle.status(place).up

    (tmp_path / "key.pub").write_text(public_key() + "\n")
    hcloud(place, "ssh-key", "create", "--name", "k", "--public-key-from-file", str(tmp_path / "key.pub"))
    hcloud(place, "network", "create", "--name", "n", "--ip-range", "10.0.0.0/16")
    subnet = ("--type", "cloud", "--network-zone", "eu-central", "--ip-range", "10.0.1.0/24")
    hcloud(place, "network", "add-subnet", "n", *subnet)
    hcloud(place, "firewall", "create", "--name", "f")
    made = ("--type", "cx23", "--image", "debian-13", "--ssh-key", "k", "--network", "n", "--firewall", "f")
    hcloud(place, "server", "create", "--name", "s1", *made, "--location", "fsn1", "--label", "a=b")
    [shown] = json.loads(hcloud(place, "server", "list", "--selector", "a=b", "-o", "json"))
    assert shown["status"] == "running"
    assert json.loads(hcloud(place, "server", "describe", "s1", "-o", "json"))["private_net"][0]["ip"]
    [machine] = lifecycle.status(place).machines
    assert (machine.name, machine.status) == ("s1", "running")

    boots = boot_id(place, shown["id"])
    before = kill_daemon(place)
    assert "up" in (lifecycle.status(place).problem or ""), "it says what repairs"
    assert lifecycle.up(place)
    daemon = daemon_process.find(place)
    assert daemon
    assert daemon.pid != before
    assert boot_id(place, shown["id"]) == boots, "the machine outlived its daemon"
    hcloud(place, "server", "create-image", "--type", "snapshot", "--description", "d", "s1")
    hcloud(place, "server", "reboot", "s1")
    hcloud(place, "server", "poweroff", "s1")
    hcloud(place, "server", "delete", "s1")
    hcloud(place, "network", "delete", "n")

    kill_daemon(place)
    assert lifecycle.down(place), "also without a daemon"
    assert leftovers(place) == []
    assert not lifecycle.down(place), "the second `down` has nothing to do"


def boot_id(place: Place, server: int) -> str:
    """Changes when a machine was started anew: the pid of what runs it."""
    return (place.folder / "machines" / str(server) / "pid").read_text()
