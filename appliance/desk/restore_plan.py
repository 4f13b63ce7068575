"""What is there when a restore begins or goes on, and what follows from it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.contract.backup import Manifest
from appliance.contract.trouble import ConfigTrouble, UnverifiedTrouble
from appliance.desk.model import Held, Image, Label, Observed, Role, Server
from appliance.desk.plan import Wanted, find, newest_verified, refuse_unsafe, verified_snapshots

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # of a host: RFC 1123, lower case


@dataclass(frozen=True)
class Scene:
    """`new`: on its way to be the node, from a restore that was broken off."""

    node: Server | None  # to be replaced
    new: Server | None
    old: tuple[Server, ...]  # nodes of before, kept off
    ip: Held | None  # the appliance's address
    spare: Held | None  # that of the new one until it has the appliance's
    observed: Observed

    @property
    def holder(self) -> object:
        """The id of the server that has the appliance's address, or None."""
        return self.ip.facts["assignee_id"] if self.ip is not None else None

    @property
    def moved(self) -> bool:
        return self.new is not None and self.holder == self.new.id

    @property
    def may_return(self) -> bool:
        """Whether the node can be what it was: only switched off, by a restore, and its address its own."""
        return self.node is not None and Label.FENCED in self.node.labels and self.holder == self.node.id

    @property
    def loses(self) -> bool:
        """Whether a restore would take the place of a node that runs."""
        return self.node is not None and self.node.status == "running"

    @property
    def no_way_back(self) -> bool:
        """Whether there is no node that could go on if the new one does not come up."""
        return not self.loses and not self.may_return


def scene(wanted: Wanted, observed: Observed) -> Scene:
    found = find(wanted, observed)

    def having(role: Role) -> tuple[Server, ...]:
        return tuple(server for server in observed.servers if server.labels.get(Label.ROLE) == role)

    new = next(iter(having(Role.RESTORE)), None)
    held = (part for part in observed.held if part.kind == "primary_ip")
    spare = next((part for part in held if new is not None and part.name == spare_name(new.name)), None)
    return Scene(found.node, new, having(Role.OLD), found.parts.get("primary_ip"), spare, observed)


def spare_name(server: str) -> str:
    return f"{server}-spare"


def name_of_new(wanted: Wanted, now: Scene, asked: str | None) -> str:
    """A name for the new server. ConfigTrouble where the one that is asked for cannot be."""
    if now.new is not None:
        if asked not in (None, now.new.name):
            raise ConfigTrouble(
                f"A restore to {now.new.name} is under way",
                fix=f"finish it without --to, or delete {now.new.name} in the Hetzner console first",
            )
        return now.new.name
    taken = {server.name for server in now.observed.servers}
    if asked is None:
        first = wanted.node_name
        candidates = (first, f"{first}-restored", *(f"{first}-restored-{n}" for n in range(2, 99)))
        return next(name for name in candidates if name not in taken)
    if not NAME.fullmatch(asked):
        raise ConfigTrouble(f"{asked!r} is no name for a server", fix="use a-z, 0-9 and -, at most 63")
    if asked in taken:
        raise ConfigTrouble(f"There is a server named {asked} already", fix="give another name to --to")
    return asked


def refuse(wanted: Wanted, now: Scene) -> None:
    """What stands around the node must be as appliance.yaml says. ConfigTrouble, as a deploy's."""
    found = find(wanted, now.observed)
    refuse_unsafe(wanted, type(found)(None, found.parts))


def first_guess(now: Scene, appliance: str) -> Image:
    """The new server's image as long as the manifest is not read: the node's own, else the newest.

    Raises UnverifiedTrouble where there is none.
    """
    own = [image for image in verified_snapshots(now.observed) if now.node and image.id == now.node.image_id]
    return own[0] if own else newest_verified(now.observed, appliance)


def better_image(observed: Observed, used: Image | None, manifest: Manifest) -> Image | None:
    """The verified snapshot that the manifest names, where it is not the one that is used."""
    named = [
        i for i in verified_snapshots(observed) if i.labels.get(Label.INPUTS) == manifest.snapshot_inputs
    ]
    if not named or (used is not None and used.labels.get(Label.INPUTS) == manifest.snapshot_inputs):
        return None
    return max(named, key=lambda image: (image.created, image.id))


def refuse_older(manifest: Manifest, has: str | None) -> None:
    """UnverifiedTrouble where the new server's OpenClaw is older than the one that wrote the state."""
    if has is not None and _numbers(has) < _numbers(manifest.openclaw):
        raise UnverifiedTrouble(
            f"The backup is of OpenClaw {manifest.openclaw}, the newest snapshot has {has}",
            why="an older OpenClaw cannot read a newer state; nothing of the node was touched",
            fix="`appliance build` makes a newer snapshot; or choose an older backup: --backup",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def image_of(server: Server, images: Iterable[Image]) -> Image | None:
    return next((image for image in images if image.id == server.image_id), None)
