"""Machines of the lab are what servers at Hetzner are, as far as a container can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.lab.balancer import Balancers
from appliance.lab.hardware import HardwareTrouble, MachineSpec
from appliance.lab.machines import NspawnHardware
from appliance.lab.shell import run
from appliance.lab.trees import mounts_below
from appliance.lab.wires import Wires
from tests.lab.real import RealLab, place_for_tests, real_lab
from tests.lab.serving import until

pytestmark = pytest.mark.lab

# As the units of the node have them.
SANDBOX = """
User=nobody StateDirectory=trial RuntimeDirectory=trial NoNewPrivileges=yes ProtectSystem=strict
ProtectHome=yes PrivateTmp=yes PrivateDevices=yes PrivateUsers=yes PrivateIPC=yes ProtectProc=invisible
ProcSubset=pid ProtectKernelTunables=yes ProtectKernelModules=yes ProtectKernelLogs=yes
ProtectControlGroups=yes ProtectClock=yes ProtectHostname=yes RestrictNamespaces=yes RestrictRealtime=yes
RestrictSUIDSGID=yes LockPersonality=yes SystemCallFilter=@system-service SystemCallArchitectures=native
CapabilityBoundingSet= UMask=0077 RemoveIPC=yes DevicePolicy=closed KeyringMode=private
NoExecPaths=/ ExecPaths=/usr/bin ExecPaths=/usr/lib ExecPaths=/usr/lib64 InaccessiblePaths=/root
"""


@pytest.fixture(scope="module")
def booted(machines: RealLab) -> MachineSpec:
    """For tests that leave it as it is."""
    return machines.boot(machines.spec())


def test_a_new_machine_answers_by_name_to_its_key_and_is_well(machines: RealLab, booted: MachineSpec) -> None:
    spec = booted
    until(lambda: machines.tries(spec, "systemctl is-system-running --wait").stdout.strip() == "running", 30)
    assert machines.says(spec, "hostname") == spec.name
    assert machines.says(spec, "nproc") == str(min(2, os.cpu_count() or 1))
    assert "locked" in machines.says(spec, "passwd --status root | sed 's/root L .*/locked/'")
    assert machines.says(spec, "echo $LANG; locale charmap").endswith("UTF-8")


def test_user_data_gives_host_keys_files_and_commands(machines: RealLab, tmp_path: Path) -> None:
    key = tmp_path / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    private = "\n".join(f"    {line}" for line in key.read_text().splitlines())
    public = key.with_suffix(".pub").read_text().strip()
    spec = machines.boot(
        machines.spec(
            user_data=f"#cloud-config\nssh_keys:\n  ed25519_private: |\n{private}\n"
            f"  ed25519_public: {public}\nwrite_files: [{{path: /root/file, content: here}}]\n"
            "runcmd: [touch /root/ran]\n"
        )
    )
    shown = run(["ssh-keyscan", "-t", "ed25519", str(spec.public.ipv4)])
    assert public.split()[1] in shown
    machines.says(spec, "cloud-init status --wait >/dev/null; test -e /root/ran")
    assert machines.says(spec, "cat /root/file") == "here"


def test_credentials_can_be_sealed_at_the_first_boot(machines: RealLab, booted: MachineSpec) -> None:
    spec = booted
    told = machines.says(
        spec, "echo told | systemd-creds encrypt - /root/c && systemd-creds decrypt /root/c -"
    )
    assert told == "told"
    assert "told" not in machines.says(spec, "cat /root/c")


def test_sandboxed_services_run_and_are_held(machines: RealLab, booted: MachineSpec) -> None:
    spec = booted
    properties = " ".join(f"-p {p}" for p in SANDBOX.split())
    start = f"systemd-run --quiet --wait --pipe {properties}"
    assert machines.says(spec, f"{start} id --user --name") == "nobody"
    machines.says(spec, f"{start} touch /var/lib/trial/mine")
    assert machines.tries(spec, f"{start} touch /etc/not-mine").returncode != 0
    assert machines.tries(spec, f"{start} ls /root").returncode != 0
    assert machines.tries(spec, f"{start} /usr/sbin/sysctl net").returncode == 203, "not in ExecPaths"


def test_a_reboot_from_inside_keeps_the_disk_and_resets_the_wires(machines: RealLab) -> None:
    spec = machines.boot(machines.spec())
    first = machines.says(spec, "cat /proc/sys/kernel/random/boot_id")
    machines.says(spec, "touch /root/kept /run/lost; nft add table ip lost; ip addr add 10.9.9.9/32 dev eth0")
    machines.tries(spec, "systemctl reboot")
    until(
        lambda: machines.tries(spec, "cat /proc/sys/kernel/random/boot_id").stdout.strip() not in ("", first)
    )
    machines.says(spec, "test -e /root/kept; test ! -e /run/lost")
    assert "lost" not in machines.says(spec, "nft list ruleset")
    assert "10.9.9.9" not in machines.says(spec, "ip addr")


def test_each_machine_has_a_control_group_of_its_own(machines: RealLab, booted: MachineSpec) -> None:
    """In a shared one their inits would wait for one another's services to end."""
    groups = []
    for spec in (booted, machines.boot(machines.spec())):
        pids = run(["ip", "netns", "pids", machines.hardware.wires.server_namespace(spec.id)]).split()
        lines = {line for pid in pids for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()}
        groups.append({line for line in lines if line.endswith("/ssh.service")})
    assert groups[0]
    assert groups[0].isdisjoint(groups[1])


def test_machines_go_off_by_themselves_by_button_and_by_plug(machines: RealLab) -> None:
    spec = machines.boot(machines.spec())
    machines.tries(spec, "systemctl poweroff")
    machines.off(spec)
    machines.boot(spec)
    machines.says(spec, "cloud-init status --wait")
    machines.hardware.shutdown(spec.id)
    machines.off(spec)
    machines.boot(spec)
    machines.says(spec, "touch /root/before")
    machines.hardware.power_off(spec.id)
    assert not machines.hardware.running(spec.id)
    machines.hardware.power_off(spec.id)
    machines.boot(spec)
    machines.says(spec, "test -e /root/before; touch /run/this-boot")
    machines.hardware.reboot(spec.id)
    until(lambda: machines.tries(spec, "test ! -e /run/this-boot").returncode == 0, 30)


def test_the_password_of_a_running_machine_can_be_set(machines: RealLab) -> None:
    spec = machines.spec()
    machines.hardware.create(spec)
    with pytest.raises(HardwareTrouble, match="off"):
        machines.hardware.set_password(spec.id, "secret")
    machines.boot(spec)
    machines.hardware.set_password(spec.id, "secret")
    assert machines.says(spec, "passwd --status root").startswith("root P")


def test_a_snapshot_is_what_the_disk_was(machines: RealLab) -> None:
    first = machines.boot(machines.spec())
    machines.says(first, "echo one > /root/state; rm /etc/motd; rm -r /usr/share/doc; mkdir /usr/share/doc")
    machines.hardware.power_off(first.id)
    assert machines.hardware.snapshot(first.id, "first") > 0
    assert machines.hardware.snapshot(first.id, "first") > 0, "repeated after a crash it converges"
    clone = machines.boot(machines.spec(["first"]))
    machines.says(clone, 'test ! -e /etc/motd && test -z "$(ls /usr/share/doc)" && grep one /root/state')
    machines.says(clone, "echo two > /root/state")
    machines.boot(first)
    assert machines.says(first, "cat /root/state") == "one"
    assert machines.says(first, "cat /etc/machine-id")


def test_snapshots_of_a_running_machine_do_not_bring_back_what_it_deleted(machines: RealLab) -> None:
    spec = machines.boot(machines.spec())
    machines.says(spec, "touch /root/early")
    machines.hardware.snapshot(spec.id, "early")
    machines.says(spec, "rm /root/early; touch /root/late")
    machines.hardware.snapshot(spec.id, "late")
    # The API names all snapshots it took, lowest first.
    clone = machines.boot(machines.spec([*spec.layers, "early", "late"]))
    machines.says(clone, "test ! -e /root/early && test -e /root/late")
    machines.says(spec, "test ! -e /root/early && test -e /root/late")


def test_a_layer_goes_when_nothing_stands_on_it(machines: RealLab) -> None:
    spec = machines.boot(machines.spec())
    machines.hardware.power_off(spec.id)
    machines.hardware.snapshot(spec.id, "kept")
    folder = machines.place.folder / "layers" / "kept"
    machines.hardware.delete_layer("kept")
    assert folder.is_dir(), "the machine it was taken from stands on it"
    machines.hardware.delete(spec.id)
    assert not folder.exists()
    with pytest.raises(HardwareTrouble, match="kept"):
        machines.hardware.create(machines.spec(["kept"]))


def test_a_killed_daemon_leaves_machines_running_and_the_next_one_finds_them(machines: RealLab) -> None:
    spec = machines.spec()
    daemon = (
        "import os, signal\nfrom pathlib import Path\n"
        "from appliance.lab.hardware import MachineSpec, PublicWire\n"
        "from appliance.lab.balancer import Balancers\nfrom appliance.lab.machines import NspawnHardware\n"
        "from appliance.lab.place import Place\nfrom appliance.lab.wires import Wires\n"
        f"place = Place(Path({str(machines.place.root)!r}), {machines.place.instance})\n"
        f"NspawnHardware(place, Wires(place), Balancers(place)).start({spec!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", daemon], check=False)
    assert done.returncode == -signal.SIGKILL
    machines.reached(spec)
    place = machines.place
    next_one = NspawnHardware(place, Wires(place), Balancers(place))
    next_one.up()
    assert next_one.running(spec.id)
    boot_id = machines.says(spec, "cat /proc/sys/kernel/random/boot_id")
    next_one.start(spec)
    assert machines.says(spec, "cat /proc/sys/kernel/random/boot_id") == boot_id
    next_one.delete(spec.id)
    assert not machines.hardware.running(spec.id)


def test_nothing_is_left_after_a_wipe_even_of_half_a_lab() -> None:
    place = place_for_tests(28)
    with real_lab(place) as lab:
        lab.hardware.create_network(7, "10.77.0.0/16", ())
        spec = lab.boot(lab.spec())
        lab.hardware.create(lab.spec())
        assert mounts_below(place.folder)
        half = lab.spec()
        lab.hardware.create(half)
        lab.hardware.disks.mount(half.id)  # a start that was killed
        run(["ip", "netns", "delete", lab.hardware.wires.server_namespace(half.id)])
        (lab.hardware.disks.folder(spec.id) / "boot").rename(lab.hardware.disks.folder(spec.id) / "lost")
    seen = run(["ip", "netns"]) + run(["ip", "link"]) + run(["ip", "route"]) + run(["nft", "list", "tables"])
    assert place.prefix not in seen
    assert not mounts_below(place.folder)
    groups = Path("/sys/fs/cgroup")
    assert not [*groups.glob(place.prefix), *groups.glob(f"*/{place.prefix}")]
    assert not [p for p in Path("/proc").glob("[0-9]*") if str(place.folder / "machines") in _words(p)]
    lab_again = NspawnHardware(place, Wires(place), Balancers(place))
    lab_again.wipe()


def _words(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_a_machine_that_cannot_boot_says_so(machines: RealLab) -> None:
    spec = machines.spec()
    machines.hardware.create(spec)
    init = machines.hardware.disks.folder(spec.id) / "upper/usr/lib/systemd/systemd"
    init.parent.mkdir(parents=True)
    init.write_text("no program, and nobody may run it\n")
    init.chmod(0o644)
    with pytest.raises(HardwareTrouble, match=r"(?s)did not boot:.*Permission denied"):
        machines.hardware.start(spec)
    assert not machines.hardware.running(spec.id)
