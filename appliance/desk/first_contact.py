"""The first host key, which user-data carried, gives way to a lasting one that the node makes itself.

Each step may be the last before a kill: the labels say how far it came, and while both keys stand
there either is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from appliance.contract.trouble import NodeTrouble
from appliance.desk import hostkeys
from appliance.desk.model import Label, Server
from appliance.desk.node_account import NODE
from appliance.desk.progress import Progress
from appliance.desk.remote import Shell, Unreachable

BOOT_SECONDS = 180.0  # from "running" to the first SSH answer, on a slow day
GRACE_SECONDS = 30.0  # sshd may be up before cloud-init has put the keys where it looks
ANSWER_SECONDS = 20.0  # of a node that should be up
NEW_SERVER = " If it stays silent, the same command replaces it: nothing was put on it yet."

Connect = Callable[[str, Sequence[str]], Shell]  # (address, accepted host keys)


class Labeller(Protocol):
    def label_server(self, server_id: int, labels: Mapping[str, str]) -> Server: ...


def address_of(server: Server) -> str:
    if server.public_ip is None:
        raise NodeTrouble(f"{server.name} has no public IPv4", fix="appliance destroy, then appliance deploy")
    return server.public_ip


def overdue(server: Server, now: datetime) -> bool:
    """Never met, so nothing was put on it, though it had all its time to boot."""
    unmet = Label.FIRST_HOST_KEY in server.labels and Label.HOST_KEY not in server.labels
    return unmet and (now - server.created).total_seconds() > BOOT_SECONDS


def silent(server: Server, connect: Connect, now: datetime, progress: Progress) -> bool:
    """Whether it had its time to boot and never answered: then nothing is on it."""
    if server.status != "running" or not overdue(server, now):
        return False
    with progress.step("Knock at the server that never answered") as step:
        try:
            with connect(address_of(server), hostkeys.accepted(server.labels)) as shell:
                shell.wait(ANSWER_SECONDS)
        except Unreachable as trouble:
            if type(trouble) is not Unreachable:  # something answers there: not for us to delete
                return False
            step.update("still silent: it is to be replaced")
            return True
    return False


def meet(server: Server, cloud: Labeller, connect: Connect, progress: Progress) -> Server:
    """The server, with only its lasting host key in its labels. A node met before is left alone."""
    if Label.FIRST_HOST_KEY not in server.labels:
        return server
    address = address_of(server)
    with connect(address, hostkeys.accepted(server.labels)) as shell:
        with progress.step(f"Wait for SSH on {address}"):
            try:
                shell.wait(BOOT_SECONDS, GRACE_SECONDS)
            except Unreachable as trouble:
                trouble.fix += NEW_SERVER
                raise
        with progress.step("Replace the first SSH host key"):
            lasting = _made(shell.check([NODE, "host-key", "make"]))
            if server.labels.get(Label.HOST_KEY) != lasting:
                server = cloud.label_server(server.id, {**server.labels, Label.HOST_KEY: lasting})
            shell.check([NODE, "host-key", "adopt"])
    with progress.step("Reconnect by the lasting host key"):
        with connect(address, [hostkeys.from_label(lasting)]) as shell:
            shell.wait(ANSWER_SECONDS, GRACE_SECONDS)
        known = {key: value for key, value in server.labels.items() if key != Label.FIRST_HOST_KEY}
        return cloud.label_server(server.id, known)


def _made(printed: str) -> str:
    try:
        return hostkeys.to_label(printed.strip())
    except ValueError as error:
        raise NodeTrouble("The node made no usable SSH host key", why=str(error)) from error
