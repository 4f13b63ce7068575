"""What this host must have to carry a lab, and the one message that says what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

from appliance.contract.trouble import LabTrouble
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.place import Place
from appliance.lab.shell import ENVIRONMENT, attempt

PACKAGES = {  # command -> its Debian package; Ubuntu names them alike
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "haproxy": "haproxy",
    "script": "bsdutils",
    "setsid": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "sysctl": "procps",
    "ssh": "openssh-client",
    "openssl": "openssl",
    "unshare": "util-linux",
    "bash": "bash",
    "rclone": "rclone",  # the Storage Box has it, for keys that only add backups
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # Ubuntu: apt install debian-archive-keyring
WIRES_TRIAL = """
ip link add trial type veth peer name other &&
nft 'add table ip t; add chain ip t c { type nat hook postrouting priority srcnat; };
     add rule ip t c masquerade; add chain ip t f { type filter hook forward priority filter; };
     add rule ip t f ct state established accept; add rule ip t f ct original ip daddr 192.0.2.1 accept'
"""


WHAT = "This machine cannot run the lab"


def missing(place: Place) -> LabTrouble | None:
    """Everything at once, or None when the lab can run here. Makes no lasting change."""
    if lacks := not_linux():
        return lacks
    root = not_root()
    packages = missing_packages()
    reasons = [f"not installed: {' '.join(packages)}"] if packages else []
    sudo = "sudo " if root else ""
    fixes = [f"{sudo}apt-get install --no-install-recommends {' '.join(packages)}"] if packages else []
    if root:
        reasons.append(root.why)
        fixes.append(root.fix)
    elif not packages and (features := missing_features(place)):
        reasons += features
        fixes.append(
            "use a kernel and a folder (APPLIANCE_LAB_DIR) that have it; a container must be privileged"
        )
    if not reasons:
        return None
    return LabTrouble(WHAT, why="; ".join(reasons), fix="; then ".join(fixes))


def not_linux() -> LabTrouble | None:
    if platform.system() == "Linux":
        return None
    return LabTrouble(WHAT, why="the lab needs Linux", fix="use a Linux machine, or `target: hetzner`")


def not_root() -> LabTrouble | None:
    if os.geteuid() == 0:
        return None
    why = "the lab needs root: it makes namespaces, mounts and containers"
    return LabTrouble(WHAT, why=why, fix="run the same command with sudo")


def missing_packages() -> list[str]:
    found = {p for c, p in PACKAGES.items() if not shutil.which(c, path=ENVIRONMENT["PATH"])}
    if not KEYRING.exists():
        found.add("debian-archive-keyring")
    return sorted(found)


def missing_features(place: Place) -> list[str]:
    """Tries them, in namespaces that vanish with the trial."""
    lacking = []
    try:
        place.root.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        return [f"the folder {place.root} cannot be made ({e.strerror})"]
    with tempfile.TemporaryDirectory(dir=place.root, prefix="trial-") as folder:
        for name in ("lower", "upper", "work", "root"):
            (Path(folder) / name).mkdir()
        options = "lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=on,volatile"
        overlay = f"cd '{folder}' && mount -t overlay overlay -o {options} root && umount root"
        if said := _fails(["unshare", "--mount", "sh", "-c", overlay]):
            lacking.append(f"overlay mounts do not work below {place.root} ({said})")
    if said := _fails(["unshare", "--net", "sh", "-c", WIRES_TRIAL]):
        lacking.append(f"the kernel lacks veth or nftables with NAT ({said})")
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        lacking.append("ip_forward cannot be set")
    return lacking


def _fails(argv: list[str]) -> str:
    try:
        done = attempt(argv, seconds=20)
    except HardwareTrouble as trouble:
        return str(trouble)
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (said or [f"exit {done.returncode}"])[-1]
