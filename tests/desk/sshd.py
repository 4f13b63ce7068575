"""A real sshd of the test's own on loopback, with its own keys, for whoever runs the tests."""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.desk.remote import Shell


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def make_key(path: Path) -> str:
    """Make an ed25519 key pair and return its public line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


@dataclass
class Sshd:
    folder: Path
    port: int
    host_key: str
    client_key: Path
    process: subprocess.Popen[bytes] | None = None

    def shell(self, host_keys: list[str] | None = None, key: Path | None = None) -> Shell:
        return Shell(
            "127.0.0.1", key or self.client_key, host_keys or [self.host_key], getpass.getuser(), self.port
        )

    def start(self) -> None:
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert program, "the tests need OpenSSH's server: apt-get install openssh-server"
        if Path("/run").is_dir() and getpass.getuser() == "root":
            Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen([program, "-D", "-e", "-f", self.folder / "sshd_config"])

    def stop(self) -> None:
        """End the listener and every session it serves."""
        if self.process is None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        self.process.wait()
        for pid in children:
            subprocess.run(["kill", f"-{signal.SIGKILL}", pid], check=False)
        self.process = None


@contextmanager
def sshd(folder: Path, more: str = "") -> Iterator[Sshd]:
    """`more`: lines for sshd_config."""
    host_key = make_key(folder / "host")
    client_key = make_key(folder / "client")
    (folder / "authorized").write_text(client_key + "\n")
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel ERROR\n{more}"
    )
    server = Sshd(folder, port, host_key, folder / "client")
    server.start()
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield server
    finally:
        server.stop()
