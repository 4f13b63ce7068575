"""The lasting SSH host key, made on the node: the first one came by user-data, which others can read."""

from __future__ import annotations

from appliance.node.system import Paths, must, remove, write

NAME = "appliance_host_ed25519_key"


def make(paths: Paths = Paths()) -> str:  # noqa: B008 - frozen
    """Make it if it is not there; return its public key line ("ssh-ed25519 AAAA…")."""
    key = paths.ssh / NAME
    public = key.with_name(key.name + ".pub")
    if not (key.exists() and public.exists()):
        new = key.with_name(key.name + ".new")
        for leftover in (key, public, new, new.with_name(new.name + ".pub")):
            remove(leftover)
        must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(new)])
        new.with_name(new.name + ".pub").replace(public)
        new.replace(key)
    return " ".join(public.read_text().split()[:2])


def adopt(paths: Paths = Paths()) -> str:  # noqa: B008 - frozen
    """From now on sshd shows only that key; the others are removed. Sessions in progress go on."""
    line = make(paths)
    dropin = f"# Its public half is in a label of this server.\nHostKey {paths.ssh / NAME}\n"
    write(paths.ssh / "sshd_config.d" / "05-host-key.conf", dropin.encode())
    must(["sshd", "-t"])
    for old in paths.ssh.glob("ssh_host_*"):
        remove(old)
    must(["systemctl", "reload", "ssh.service"])
    return line
