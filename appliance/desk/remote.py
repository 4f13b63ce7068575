"""A shell on a node: OpenSSH with pinned host keys. The only ssh and subprocess at the desk."""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from appliance.contract.trouble import NodeTrouble
from appliance.desk import private

OnLine = Callable[[str], None]
CONNECT_SECONDS = 10
POLL_SECONDS = 0.2
GOODBYE_SECONDS = 5
_PACKAGES = {"ssh": "openssh-client", "restic": "restic"}
SSH_FAILED = (
    255  # ssh(1): "exits with the exit status of the remote command or with 255 if an error occurred"
)


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it said, errors last."""
        return "\n".join((self.out + self.err).splitlines()[-lines:])


class Unreachable(NodeTrouble):
    """Nobody answers, or not as a node should."""


class HostKeyMismatch(Unreachable):
    """Somebody answers who does not hold the pinned host key."""


class AccessDenied(Unreachable):
    """The node does not take our SSH key."""


class TimedOut(NodeTrouble):
    """A command on the node took longer than it may; the local ssh was ended."""


def local(argv: Sequence[str], environment: Mapping[str, str], timeout: float) -> Result:
    """Run one command on this machine, with `environment` beside its own. Raises NodeTrouble, TimedOut."""
    result = _stream(argv, None, timeout, None, environment=environment)
    if result is None:
        raise TimedOut(f"`{_short(argv)}` did not end within {timeout:.0f} s.", fix="Run it again.")
    return result


class Shell:
    """Commands on `host`, over one shared connection that is closed at the end of the `with` block.

    `host_keys` are OpenSSH public key lines ("ssh-ed25519 AAAA…"), any of which is accepted and nothing
    else. `private_key` may be the public half of a key that the SSH agent holds; None: any that it holds.
    """

    def __init__(
        self,
        host: str,
        private_key: Path | None,
        host_keys: Sequence[str],
        user: str = "root",
        port: int = 22,
    ) -> None:
        if not host_keys:
            raise NodeTrouble(
                f"No SSH host key is known for {host}.",
                why="A node is only talked to when its host key is pinned by a label of its server.",
                fix="`appliance deploy` makes a new node when this one's labels were lost.",
            )
        self.host = host
        self._port = port
        self._target = f"{user}@{host}"
        self._folder = private.make()
        self._known_hosts = self._folder / "known_hosts"
        name = host if port == 22 else f"[{host}]:{port}"
        lines = "".join(f"{name} {' '.join(key.split()[:2])}\n" for key in host_keys)
        with open(self._known_hosts, "w", opener=_owner_only) as file:
            file.write(lines)
        self._options = self._ssh_options(private_key)

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the shared connection and remove the private folder. May be called twice."""
        self.disconnect()
        shutil.rmtree(self._folder, ignore_errors=True)

    def disconnect(self) -> None:
        """Drop the shared connection; the next command makes a new one."""
        control = self._folder / "c"
        if control.exists():
            _stream(["ssh", *self._options, "-O", "exit", self._target], None, CONNECT_SECONDS, None)
            control.unlink(missing_ok=True)

    def wait(self, seconds: float, grace: float = 0.0) -> None:
        """Return once a command can be run; raise Unreachable after `seconds`.

        A wrong host key or a refused SSH key ends the wait at once, or after `grace` seconds where a
        machine that is still booting may yet get the right ones.
        """
        self.disconnect()
        start = time.monotonic()
        while True:
            trouble = self._try()
            if trouble is None:
                return
            patience = grace if isinstance(trouble, HostKeyMismatch | AccessDenied) else seconds
            if time.monotonic() - start >= min(seconds, patience):
                raise trouble
            time.sleep(POLL_SECONDS)

    def run(
        self,
        argv: Sequence[str],
        input: bytes | None = None,  # noqa: A002 - as subprocess names it
        timeout: float = 60.0,
        on_line: OnLine | None = None,
    ) -> Result:
        """Run one command as it stands (no shell expands anything) and return how it ended.

        `on_line` gets each line of output and errors as it comes, without its end. Secrets go by `input`
        only. Raises TimedOut after `timeout` seconds and Unreachable when the connection fails.
        """
        command = ["ssh", *self._options, self._target, "--", shlex.join(argv)]
        result = _stream(command, input, timeout, on_line)
        if result is None:
            raise TimedOut(
                f"`{_short(argv)}` on {self.host} did not end within {timeout:.0f} s.",
                fix="Run the command again; if it hangs once more, look at the node with ssh.",
            )
        if result.code == SSH_FAILED:
            raise self._explain(result.err)
        return result

    def follow(self, argv: Sequence[str], on_line: OnLine, silence: float) -> Result:
        """Run a command that lives as long as this desk does: its stdin stays open, and ends with us.

        Raises TimedOut after `silence` seconds without a line.
        """
        command = ["ssh", *self._options, self._target, "--", shlex.join(argv)]
        result = _stream(command, None, silence, on_line, follow=True)
        if result is None:
            raise TimedOut(
                f"`{_short(argv)}` on {self.host} has said nothing for {silence:.0f} s.",
                why="it was told to end",
                fix="Run the command again; if it falls silent once more, look at the node with ssh.",
            )
        if result.code == SSH_FAILED:
            raise self._explain(result.err)
        return result

    def check(
        self,
        argv: Sequence[str],
        input: bytes | None = None,  # noqa: A002 - as subprocess names it
        timeout: float = 60.0,
        on_line: OnLine | None = None,
    ) -> str:
        """Like `run`, but return the output, and raise NodeTrouble unless the command ended well."""
        result = self.run(argv, input, timeout, on_line)
        if result.code != 0:
            raise NodeTrouble(
                f"`{_short(argv)}` on {self.host} failed with {result.code}.", why=result.tail(8)
            )
        return result.out

    def send_tree(self, archive: bytes, folder: str, timeout: float = 120.0) -> None:
        """Unpack a tar into `folder` on the node, which is made if it is not there."""
        self.check(["mkdir", "-p", "--", folder])
        self.check(
            ["tar", "--extract", "--no-same-owner", f"--directory={folder}"], input=archive, timeout=timeout
        )

    def _ssh_options(self, private_key: Path | None) -> list[str]:
        values = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self._known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlgorithms": "ssh-ed25519",
            "UpdateHostKeys": "no",
            "PreferredAuthentications": "publickey",
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3",
            "LogLevel": "ERROR",
            "ControlMaster": "auto",
            "ControlPath": str(self._folder / "c"),
            # Closed by close(); after a SIGKILL of the desk it ends by itself.
            "ControlPersist": "30",
        }
        options = ["-F", "none", "-p", str(self._port), "-T"]
        if private_key is not None:
            options += ["-i", str(private_key)]
            values["IdentitiesOnly"] = "yes"
        for key, value in values.items():
            options += ["-o", f"{key}={value}"]
        return options

    def _try(self) -> NodeTrouble | None:
        """One quick attempt: a TCP connection, which is cheap, before ssh, which is not."""
        try:
            with socket.create_connection((self.host, self._port), timeout=2):
                pass
        except OSError as error:
            return self._explain(error.strerror or str(error))
        try:
            self.run(["true"], timeout=CONNECT_SECONDS + 5)
        except NodeTrouble as trouble:
            return trouble
        return None

    def _explain(self, said: str) -> NodeTrouble:
        """What ssh said, in the operator's words."""
        # Before the last line come warnings, of which ssh draws some in a frame of @.
        lines = [line for line in said.strip().splitlines() if not line.startswith("@")]
        why = "\n".join(lines)[-600:] or "ssh ended with 255 and said nothing"
        for pattern, kind, what, fix in _KNOWN:
            if re.search(pattern, said, re.IGNORECASE):
                return kind(what.format(host=self.host), why=why, fix=fix)
        return Unreachable(
            f"The connection to {self.host} failed or broke.",
            why=why,
            fix="Run the same command again: it goes on from where it was.",
        )


_KNOWN: tuple[tuple[str, type[Unreachable], str, str], ...] = (
    (
        "identification has changed|host key verification failed|host key is known|no matching host key",
        HostKeyMismatch,
        "{host} does not hold the SSH host key that is pinned for it. Nothing was sent.",
        "Somebody may be in between, or the server was rebuilt. If you rebuilt it: `appliance deploy`.",
    ),
    (
        "permission denied|too many authentication failures",
        AccessDenied,
        "{host} does not accept your SSH key.",
        "Check access.ssh_public_key; its private key must be beside it or in your SSH agent (`ssh-add -l`).",
    ),
    (
        "connection refused",
        Unreachable,
        "{host} is up, but nothing answers on its SSH port.",
        "It may still be booting: try again. If it lasts, look at the server's console at the cloud.",
    ),
    (
        "timed out|timeout|no route to host|unreachable",
        Unreachable,
        "{host} does not answer on its SSH port.",
        "Check that the server is on, and that your own address is in access.ssh in appliance.yaml.",
    ),
)


def _stream(
    command: Sequence[str],
    data: bytes | None,
    timeout: float,
    on_line: OnLine | None,
    follow: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Result | None:
    """Run `command`; None when it had to be ended at the time-out. Lines are handed on in this thread.

    follow: stdin stays open until the end, whichever it is, and each line begins the time-out anew.
    """
    lines: queue.Queue[tuple[str, bytes | None]] = queue.Queue()
    said: dict[str, list[str]] = {"out": [], "err": []}
    deadline = time.monotonic() + timeout
    process = _begin(command, data is not None or follow, environment or {})
    try:
        _start(_feed, process.stdin, data)
        _start(_read, process.stdout, "out", lines)
        _start(_read, process.stderr, "err", lines)
        open_streams = 2
        while open_streams:
            try:
                stream, raw = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if raw is None:
                open_streams -= 1
                continue
            if follow:
                deadline = time.monotonic() + timeout
            text = raw.decode(errors="replace")
            said[stream].append(text)
            if on_line is not None:
                on_line(text.rstrip("\r\n"))
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        return Result(process.returncode, "".join(said["out"]), "".join(said["err"]))
    finally:
        if follow:
            _let_end(process)
        if process.poll() is None:
            process.kill()
            process.wait()


def _begin(command: Sequence[str], speaks: bool, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C reaches this process, which then ends ssh in an orderly way."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if speaks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C", **environment},
        )
    except FileNotFoundError as error:
        raise NodeTrouble(
            f"This machine has no `{command[0]}`.", fix=f"Install it (Debian: {_PACKAGES[command[0]]})."
        ) from error


def _let_end(process: subprocess.Popen[bytes]) -> None:
    """By the end of its stdin, with time to tidy up."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GOODBYE_SECONDS)


def _start(target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()


def _feed(stream: IO[bytes] | None, data: bytes | None) -> None:
    if stream is None or data is None:
        return
    try:
        stream.write(data)
        stream.close()
    except OSError:  # the command ended without reading all of it; its exit code tells
        return


def _read(stream: IO[bytes], name: str, lines: queue.Queue[tuple[str, bytes | None]]) -> None:
    for line in stream:
        lines.put((name, line))
    lines.put((name, None))


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _short(argv: Sequence[str]) -> str:
    text = shlex.join(argv)
    return text if len(text) <= 80 else text[:77] + "…"
