"""restore.sh against the lab's Storage Box: what it fetches and verifies, and what it says on a bad night.

It runs in a mount namespace with /var/lib and /run of its own, as on a machine that is no node.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.contract import backup
from tests.lab.boxes import HOST, Store, box_of, place_for_box

pytestmark = pytest.mark.lab

SCRIPT = Path(__file__).parents[2] / "restore" / "restore.sh"
CONVERSATION = b"where were we?"


@dataclass(frozen=True)
class Night:
    """A machine with nothing but restore.sh, the address and the passphrase."""

    store: Store
    disk: Path
    memory: Path
    address: str

    def runs(self, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
        given = {
            "RESTIC_REPOSITORY": self.address,
            "RESTIC_PASSWORD": (self.store.home / "passphrase").read_text(),
            "SSH_KEY": str(self.store.home / "main"),
            "STORE_HOST_KEY": (self.store.home / "known_hosts").read_text().split(" ", 1)[1].strip(),
            **changed,
        }
        script = (
            f'mount --bind {self.disk} /var/lib && mount --bind {self.memory} /run && exec sh {SCRIPT} "$@"'
        )
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *words],
            env={**os.environ, **{name: value for name, value in given.items() if value}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def fetched(self) -> list[bytes]:
        """The conversations that lie verified on its disk."""
        return [p.read_bytes() for p in self.disk.glob(f"appliance-restore/*{backup.STAGING}/state/said")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with box_of(place_for_box(), tmp_path_factory.mktemp("home")) as store:
        assert store.restic("init").returncode == 0
        for said in (b"an older thing", CONVERSATION):
            back_up(store, said, tmp_path_factory.mktemp("node"))
        yield store


@pytest.fixture
def night(store: Store, tmp_path: Path) -> Iterator[Night]:
    store.console("PUT", "/snapshots/before")
    for folder in ("disk", "memory"):
        (tmp_path / folder).mkdir()
    address = f"sftp://{store.box.user}@{HOST}:{store.port}/repository"
    yield Night(store, tmp_path / "disk", tmp_path / "memory", address)
    store.console("DELETE", "/fault")
    store.console("POST", "/snapshots/before/roll_back")
    store.console("DELETE", "/snapshots/before")


def back_up(store: Store, said: bytes, node: Path, **wrong: object) -> None:
    """As a node does it; `wrong` replaces what its manifest says."""
    staging = node / backup.STAGING.lstrip("/")
    files = {"state/said": said, "bundle/manifest.json": b"{}"}
    for path, content in files.items():
        (staging / path).parent.mkdir(parents=True)
        (staging / path).write_bytes(content)
    sums = backup.sums({path: hashlib.sha256(content).hexdigest() for path, content in files.items()})
    (staging / backup.SUMS).write_text(sums)
    manifest = backup.Manifest(
        name="gateway",
        node="gateway-1",
        at=datetime.now(UTC),
        openclaw="2026.9.6",
        node_js="v24.19.0",
        snapshot_inputs="0" * 40,
        bundle="0" * 64,
        workloads=("code", "batch"),
        secrets=True,
        files=len(files),
        bytes=sum(map(len, files.values())),
        sums=hashlib.sha256(sums.encode()).hexdigest(),
    )
    (staging / backup.MANIFEST).write_text(manifest.model_copy(update=wrong).text())
    repository = store.box.files / "repository"
    environment = {
        "RESTIC_REPOSITORY": "/mnt",
        "RESTIC_PASSWORD_FILE": str(store.home / "passphrase"),
    }
    restic = ["restic", "--quiet", "--no-cache", "backup", "--tag", "appliance", "--host", "gateway"]
    binds = f"mount --bind {repository} /mnt && mount --bind {node}/var/lib /var/lib"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@" {backup.STAGING}', "sh", *restic],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    subprocess.run(["chown", "-R", "--reference", store.box.files, repository], check=True)


def test_the_newest_is_fetched_and_verified_and_nothing_else_touched(night: Night) -> None:
    done = night.runs("--fetch-only")
    assert done.returncode == 0, done.stderr
    assert "gateway, node gateway-1" in done.stdout
    assert night.fetched() == [CONVERSATION]
    assert [p.name for p in night.disk.iterdir()] == ["appliance-restore"]


def test_a_second_run_does_not_fetch_again(night: Night) -> None:
    assert night.runs("--fetch-only").returncode == 0
    (said,) = night.disk.glob(f"appliance-restore/*{backup.STAGING}/state/said")
    before = said.stat().st_mtime_ns, said.stat().st_ino
    assert night.runs("--fetch-only").returncode == 0
    assert (said.stat().st_mtime_ns, said.stat().st_ino) == before


def test_an_older_one_by_its_id(night: Night) -> None:
    listed = night.runs("--list").stdout
    older = next(line.split()[0] for line in listed.splitlines() if "gateway" in line)
    assert night.runs("--fetch-only", "--backup", older).returncode == 0
    assert night.fetched() == [b"an older thing"]


def test_the_key_that_may_only_add_reads_as_well(night: Night) -> None:
    """The desk hands over the node's own: the operator's stays at the desk."""
    done = night.runs("--fetch-only", SSH_KEY=str(night.store.home / "append"), SSH_KEY_APPENDS="yes")
    assert done.returncode == 0, done.stderr
    assert night.fetched() == [CONVERSATION]


def test_a_box_snapshot_that_nobody_can_write_will_do(night: Night) -> None:
    """Somebody emptied the box."""
    assert night.store.ssh("rm", "-r", "repository").returncode == 0
    assert "There is no repository" in night.runs("--fetch-only").stderr
    kept = night.address.replace("/repository", "/.zfs/snapshot/before/repository")
    done = night.runs("--fetch-only", RESTIC_REPOSITORY=kept)
    assert done.returncode == 0, done.stderr
    assert night.fetched() == [CONVERSATION]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"RESTIC_PASSWORD": "something else"}, "The passphrase is not this repository's"),
        ({"RESTIC_REPOSITORY": "http://example.org/"}, "is no address"),
        ({"SSH_KEY": "append"}, "The store, or the way to it, failed"),
        ({"STORE_HOST_KEY": ""}, "nobody is there to ask"),
        ({"RESTIC_PASSWORD": ""}, "nobody is there to ask"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_wrong_words_are_named(night: Night, changed: dict[str, str], words: str) -> None:
    if "SSH_KEY" in changed:
        changed = {"SSH_KEY": str(night.store.home / changed["SSH_KEY"])}
    done = night.runs("--fetch-only", **changed)
    assert done.returncode == 1
    assert words in done.stderr
    assert "next:" in done.stderr


def test_a_password_of_the_box_is_enough_and_is_asked_for_once(night: Night, tmp_path: Path) -> None:
    password = secrets.token_urlsafe(12)
    night.store.console("PUT", f"/accounts/{night.store.box.user}/password", {"password": password})
    asked = tmp_path / "asked"
    (tmp_path / "ask").write_text(f"#!/bin/sh\necho >> {asked}\necho '{password}'\n")
    (tmp_path / "ask").chmod(0o700)
    typed = {"SSH_ASKPASS": str(tmp_path / "ask"), "SSH_ASKPASS_REQUIRE": "force"}
    for _ in range(2):
        done = night.runs("--fetch-only", SSH_KEY="", **typed)
        assert done.returncode == 0, done.stderr
    assert asked.read_text() == "\n"
    assert password not in done.stdout + done.stderr
    assert night.fetched() == [CONVERSATION]


def test_a_passphrase_is_never_shown(night: Night) -> None:
    done = night.runs("--fetch-only")
    assert (night.store.home / "passphrase").read_text() not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "refuse"}, "The store refuses connections"),
        ({"fault": "hang"}, "The store does not answer"),
        ({"fault": "cut", "bytes": 9_000}, "The line to the store broke"),
    ],
    ids=lambda value: str(value.get("fault")) if isinstance(value, dict) else "",
)
def test_a_store_that_fails_is_named_and_the_next_try_succeeds(
    night: Night, fault: dict[str, object], words: str
) -> None:
    night.store.console("PUT", "/fault", fault)
    done = night.runs("--fetch-only")
    assert done.returncode == 1
    assert words in done.stderr
    assert night.fetched() == []
    night.store.console("DELETE", "/fault")
    assert night.runs("--fetch-only").returncode == 0
    assert night.fetched() == [CONVERSATION]


def test_another_host_key_stops_it(night: Night) -> None:
    night.store.console("POST", "/host_key")
    assert "another host key" in night.runs("--fetch-only").stderr
    night.store.know_host()


def test_a_flipped_byte_in_the_store_is_found(night: Night) -> None:
    for pack in (night.store.box.files / "repository" / "data").glob("*/*"):
        content = bytearray(pack.read_bytes())
        content[40] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    done = night.runs("--fetch-only")
    assert "damaged in the store" in done.stderr
    assert night.fetched() == []


def test_a_lost_index_is_named(night: Night) -> None:
    for index in (night.store.box.files / "repository" / "index").iterdir():
        index.unlink()
    done = night.runs("--fetch-only")
    assert done.returncode == 1
    assert "missing" in done.stderr
    assert night.fetched() == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"format": 99}, "Its format is 99"), ({"sums": "0" * 64}, "not what was backed up")],
    ids=["a format to come", "sums of another"],
)
def test_what_is_no_whole_backup_goes_nowhere(
    night: Night, tmp_path: Path, wrong: dict[str, object], words: str
) -> None:
    back_up(night.store, b"strange", tmp_path / "node", **wrong)
    done = night.runs("--fetch-only")
    assert done.returncode == 1
    assert words in done.stderr


def test_two_at_once_on_one_machine_are_one_too_many(night: Night) -> None:
    night.store.console("PUT", "/fault", {"fault": "hang"})
    held = night.memory / "appliance-restore" / "lock"
    held.parent.mkdir()
    with subprocess.Popen(["flock", held, "sleep", "60"]) as other:
        while subprocess.run(["flock", "-n", held, "true"], check=False).returncode == 0:
            pass
        assert "Another restore is running" in night.runs("--fetch-only").stderr
        other.kill()
