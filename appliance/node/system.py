"""The node's own programs: systemd, systemd-creds, files. Every wait is bounded; failures are Trouble."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.contract import bundle, drill
from appliance.contract.trouble import NodeTrouble

GATEWAY = "openclaw.service"
ROUTER = "appliance-router.service"
EDGE = "haproxy.service"
FIREWALL = "nftables.service"
GATEWAY_READY = "http://127.0.0.1:18789/readyz"
OPENCLAW = ("/opt/node/bin/node", "/opt/openclaw/node_modules/openclaw/openclaw.mjs")


@dataclass(frozen=True)
class Paths:
    """Where things stand; tests put them elsewhere."""

    bundles: Path = Path(bundle.BUNDLES)
    current: Path = Path(bundle.CURRENT)
    tls: Path = Path("/etc/appliance/tls")  # link to what the edge serves: `own_tls`, or a bundle's tls/
    own_tls: Path = Path("/etc/appliance/tls-own")
    applied: Path = Path("/run/appliance/applied")  # digest that the running services were given
    lock: Path = Path("/run/appliance/lock")
    gateway: Path = Path("/run/openclaw")  # the gateway's own copies of its config and secrets, in memory
    router: Path = Path("/run/appliance-router")  # the router's: policy and the providers' keys
    evidence: Path = Path(drill.STATE)  # of the last canary and drill
    inputs: Path = Path("/etc/appliance/inputs")
    ssh: Path = Path("/etc/ssh")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def tail(self, lines: int = 20) -> str:
        return "\n".join((self.out + self.err).splitlines()[-lines:])


def run(
    argv: Sequence[str], *, given: bytes = b"", seconds: float = 60, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run a program to its end. Raises NodeTrouble when it is not there or takes longer than it may."""
    try:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            timeout=seconds,
            check=False,
            env=None if env is None else {**os.environ, **env},
        )
    except subprocess.TimeoutExpired as error:
        raise NodeTrouble(f"{argv[0]} did not end within {seconds:g} s.") from error
    except OSError as error:
        raise NodeTrouble(f"{argv[0]} cannot be started.", why=str(error)) from error
    return Outcome(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


def must(argv: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> str:
    """As `run`, and a failure is a NodeTrouble with what the program said."""
    outcome = run(argv, given=given, seconds=seconds)
    if outcome.code != 0:
        raise NodeTrouble(f"`{' '.join(argv[:3])}` failed.", why=outcome.tail())
    return outcome.out


def encrypt(name: str, secret: bytes) -> bytes:
    """With this machine's key; only a credential of that name can be made of it again."""
    return must(
        ["systemd-creds", "encrypt", "--with-key=host", f"--name={name}", "-", "-"], given=secret
    ).encode()


def decrypt(name: str, path: Path) -> bytes | None:
    """None when it is not there or was encrypted on another machine."""
    if not path.exists():
        return None
    outcome = run(["systemd-creds", "decrypt", f"--name={name}", str(path), "-"])
    return outcome.out.encode() if outcome.code == 0 else None


def write(path: Path, content: bytes, mode: int = 0o644, owner: str | None = None) -> None:
    """The whole file or none of it, also after a power cut. Safe in a folder that its `owner` may write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if owner is not None:
            account = pwd.getpwnam(owner)
            os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
        os.fsync(file.fileno())
    new.replace(path)


def link(path: Path, target: Path) -> None:
    """Switch a symbolic link at once."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
