"""Bakes of a toy image on the lab's real machines: what a failure leaves, and what is used again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from appliance.contract.trouble import NodeTrouble, UnverifiedTrouble
from appliance.desk import assets
from appliance.desk.archive import Entry
from appliance.desk.bake import BakeResult, Bakery, bake
from appliance.desk.cloud import Cloud
from appliance.desk.model import Label
from appliance.desk.remote import Shell
from appliance.lab.place import Place
from tests.desk.samples import SETTINGS
from tests.desk.saying import Saying
from tests.e2e.conftest import LAB_INSTANCE, Desk

pytestmark = pytest.mark.lab

SEAL = """
set -eu
main() {
    rm -rf /root/.ssh /etc/ssh/ssh_host_* "$BAKE"
    cloud-init clean --logs --seed --configs all
    : > /etc/machine-id
    sync
    echo sealed
}
main
exit 0
"""
TOY = {
    "image/scripts/10-mark.sh": "set -eu\ncp $BAKE/inputs /etc/toy\necho some output\necho marked\n",
    "image/scripts/90-seal.sh": SEAL,
    "image/checks/10-mark.sh": "set -eu\ncmp inputs /etc/toy\ntest ! -e /root/bake\necho as it should be\n",
}


class Kitchen:
    """One appliance of its own at the lab, and its bakes."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.said = Saying()

    def bake(
        self, changed: dict[str, str] | None = None, *, force: bool = False, keep: bool = False
    ) -> BakeResult:
        files = {**TOY, **(changed or {})}
        entries = {path: Entry(text.encode()) for path, text in sorted(files.items())}
        settings = replace(SETTINGS, name=self.cloud.name)
        bakery = Bakery(settings, self.cloud, Shell, self.said, entries, self.folder / "bake.log")
        return bake(bakery, force=force, keep=keep, now=datetime.now(UTC))

    def left(self) -> list[str]:
        seen = self.cloud.observe()
        return [
            *(s.name for s in seen.servers),
            *(str(i.id) for i in seen.snapshots),
            *(h.name for h in seen.held),
        ]


@pytest.fixture
def kitchen(desk: Desk, tmp_path: Path) -> Iterator[Kitchen]:
    view = desk.cloud()
    made = Kitchen(Cloud(view.endpoint, view.token, "toy"), tmp_path)
    yield made
    seen = made.cloud.observe()
    for server in seen.servers:
        made.cloud.delete_server(server.id)
    for image in seen.snapshots:
        made.cloud.delete_image(image.id)
    for held in seen.held:
        made.cloud.delete(held)


def test_a_bake_gives_a_verified_snapshot_and_the_next_one_uses_it(kitchen: Kitchen) -> None:
    first = kitchen.bake()
    assert not first.reused
    assert first.snapshot.labels[Label.VERIFIED] == "yes"
    assert first.snapshot.labels[Label.INPUTS] == first.inputs
    assert kitchen.left() == [str(first.snapshot.id)]
    assert "some output" in (kitchen.folder / "bake.log").read_text()

    calls = kitchen.cloud.calls
    again = kitchen.bake()
    assert again.reused
    assert again.snapshot.id == first.snapshot.id
    assert kitchen.cloud.calls - calls <= 3

    changed = kitchen.bake({"image/scripts/20-more.sh": "echo more\n"})
    assert not changed.reused
    assert changed.inputs != first.inputs


def test_force_bakes_anew_and_only_the_last_two_are_kept(kitchen: Kitchen) -> None:
    made = [kitchen.bake(force=True).snapshot.id for _ in range(3)]
    assert len(set(made)) == 3
    assert sorted(kitchen.left()) == sorted(str(i) for i in made[1:])


def test_a_failing_step_is_named_with_its_output_and_nothing_billable_stays(kitchen: Kitchen) -> None:
    with pytest.raises(NodeTrouble, match=r"`Provision: break` \(image/scripts/20-break\.sh\)") as caught:
        kitchen.bake({"image/scripts/20-break.sh": "seq 100; echo the mirror is down >&2; exit 9\n"})
    assert "ended with 9" in caught.value.what
    assert "the mirror is down" in caught.value.why
    assert caught.value.why.endswith(" 100\n    the mirror is down")
    assert " 50\n" not in caught.value.why
    assert str(kitchen.folder / "bake.log") in caught.value.fix
    assert " 50\n" in (kitchen.folder / "bake.log").read_text()
    assert kitchen.left() == []


def test_a_failing_package_mirror_is_named_and_no_bake_goes_on_without_updates(kitchen: Kitchen) -> None:
    place = Place(Place.from_environment().root, int(LAB_INSTANCE))
    mirror = f"http://{place.host_ip}:{place.mirror_port}/_lab/fault"
    script = (assets.image_folder() / "scripts" / "10-packages.sh").read_text()
    requests.put(mirror, json={"status": 503}, timeout=10).raise_for_status()
    try:
        with pytest.raises(NodeTrouble, match="Provision: packages") as caught:
            kitchen.bake({"image/scripts/10-packages.sh": script})
    finally:
        requests.delete(mirror, timeout=10).raise_for_status()
    assert "503" in caught.value.why
    assert "Unable to locate" not in caught.value.why
    assert kitchen.left() == []


def test_a_failing_check_means_no_snapshot(kitchen: Kitchen) -> None:
    with pytest.raises(UnverifiedTrouble, match=r"Check: mark` \(image/checks/10-mark\.sh\)"):
        kitchen.bake({"image/checks/10-mark.sh": "echo not what it should be; exit 1\n"})
    assert kitchen.left() == []


def test_ctrl_c_leaves_nothing_billable(kitchen: Kitchen) -> None:
    class Interrupting(Saying):
        def step(self, title: str):  # type: ignore[no-untyped-def]
            if title == "Snapshot":
                raise KeyboardInterrupt
            return super().step(title)

    kitchen.said = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        kitchen.bake()
    assert kitchen.left() == []


def test_what_a_killed_or_kept_bake_left_is_cleared_by_the_next(kitchen: Kitchen) -> None:
    with pytest.raises(NodeTrouble):
        kitchen.bake({"image/scripts/20-break.sh": "exit 1\n"}, keep=True)
    assert sorted(kitchen.left()) == ["toy-bake", "toy-bake"]  # the server and the key
    assert "billed" in kitchen.said.warnings[-1]
    words = kitchen.said.notes[-1].partition("ssh ")[2].split()
    look = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", *words, "true"]
    subprocess.run(["ssh", *look], check=True)
    done = kitchen.bake()
    assert sorted(path.name for path in kitchen.folder.iterdir()) == ["bake.log"]
    assert kitchen.left() == [str(done.snapshot.id)]
