"""The shapes of backups: what the node and restore.sh read, and when somebody is told."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from appliance.contract import backup
from appliance.desk import hostkeys

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
BOX = backup.Sftp(host="u1.example.org", user="u1", path="gateway", host_key="ssh-ed25519 AAAA")


def manifest() -> backup.Manifest:
    return backup.Manifest(
        name="gateway",
        node="gateway-1",
        at=NOW,
        openclaw="2026.9.6",
        node_js="v24.19.0",
        snapshot_inputs="0" * 40,
        bundle="0" * 64,
        workloads=("code",),
        secrets=True,
        files=2,
        bytes=3,
        sums="1" * 64,
    )


def test_a_manifest_has_a_key_a_line_for_the_shell_to_read() -> None:
    lines = manifest().text().splitlines()
    for key, value in json.loads(manifest().text()).items():
        if not isinstance(value, list):
            assert any(line.strip(" ,") == f'"{key}": {json.dumps(value)}' for line in lines)


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValidationError):
        manifest().model_validate({**manifest().model_dump(), "at": datetime(2026, 11, 22)})  # noqa: DTZ001


def test_sums_are_what_sha256sum_checks(tmp_path: Path) -> None:
    names = {"a b": b"one", "below/it": b"two"}
    digests = {}
    for name, content in names.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        said = subprocess.run(["sha256sum"], input=content, capture_output=True, check=True).stdout
        digests[name] = said.split()[0].decode()
    (tmp_path / "sums").write_text(backup.sums(digests))
    check = ["sha256sum", "--quiet", "-c", "sums"]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    (tmp_path / "below" / "it").write_bytes(b"twp")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_the_key_of_a_node_that_may_only_append_is_bound_to_that() -> None:
    line = BOX.authorized_key("ssh-ed25519 BBBB")
    assert line.startswith("restrict,command=")
    assert "--append-only gateway" in line
    assert BOX.model_copy(update={"append_only": False}).authorized_key("ssh-ed25519 B") == "ssh-ed25519 B"


@pytest.mark.parametrize("port", [22, 23])
def test_the_known_host_is_one_that_ssh_finds(port: int, tmp_path: Path) -> None:
    key = hostkeys.make().public
    store = BOX.model_copy(update={"port": port, "host_key": key})
    (tmp_path / "known_hosts").write_text(store.known_host)
    name = "u1.example.org" if port == 22 else f"[u1.example.org]:{port}"  # as ssh looks for it
    found = subprocess.run(
        ["ssh-keygen", "-F", name, "-f", tmp_path / "known_hosts"], capture_output=True, check=True
    )
    assert key.encode() in found.stdout


def test_a_host_that_is_not_the_known_one_is_never_taken() -> None:
    for append in (True, False):
        words = " ".join(BOX.restic("/key", "/known", append=append))
        assert "StrictHostKeyChecking=yes" in words
        assert "BatchMode=yes" in words
        assert "-F none" in words


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "a b"},
        {"path": 'x" ssh-ed25519'},
        {"path": "x;reboot"},
        {"host": "-oProxyCommand=x y"},
        {"user": "u1 u2"},
        {"host_key": "ssh-ed25519 AAAA\nother"},
        {"path": "../other"},
        {"path": "-x"},
        {"host": "-x"},
        {"user": "-x"},
    ],
    ids=str,
)
def test_what_would_be_read_as_other_words_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(backup.Repository).validate_python({**BOX.model_dump(), **wrong})


@pytest.mark.parametrize("path", ["gateway", "backups/gateway-1", ".zfs/snapshot/2026-11-22T03.00/gateway"])
def test_paths_that_people_have_are_taken(path: str) -> None:
    repository = TypeAdapter(backup.Repository).validate_python({**BOX.model_dump(), "path": path})
    assert repository.address.endswith(f":23/{path}")


def test_who_can_only_append_does_not_prune() -> None:
    assert not backup.Policy(name="gateway", repository=BOX).prunes
    assert backup.Policy(name="gateway", repository=backup.Folder(path="/mnt/backups")).prunes


@given(st.builds(backup.Retention))
def test_some_are_always_kept(retention: backup.Retention) -> None:
    assert any(word.startswith("--keep-within=") for word in retention.words())


def last(**known: object) -> backup.LastBackup:
    return backup.LastBackup.model_validate({"tried_at": NOW, **known})


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (last(error="the store is full"), "there is no backup: the store is full"),
        (last(at=NOW - timedelta(hours=2)), "2 hours old: none was tried since"),
        (last(at=NOW - timedelta(days=3), error="refused"), "3 days old: refused"),
        (
            last(at=NOW - timedelta(minutes=70), error="refused"),
            "the last try failed, the last backup is 70 min",
        ),
        (last(tried_at=NOW - timedelta(hours=2)), "there is no backup: it came to no end"),
        (
            last(tried_at=NOW - timedelta(hours=2), at=NOW - timedelta(hours=3)),
            "3 hours old: it came to no end",
        ),
        (last(at=NOW, verify_error="a pack is damaged"), "did not verify: a pack is damaged"),
    ],
    ids=["none", "late", "failing", "failed once", "the first died", "died", "damaged"],
)
def test_what_is_wrong_is_told_in_a_line(known: backup.LastBackup, words: str) -> None:
    assert words in (known.complaint(NOW, every_hours=1) or "")


def test_one_that_comes_a_little_late_is_no_news() -> None:
    assert last(at=NOW - timedelta(minutes=100)).complaint(NOW, every_hours=1) is None


def test_one_that_is_at_work_is_no_failure_the_first_neither() -> None:
    assert last(at=NOW - timedelta(minutes=61)).complaint(NOW, every_hours=1) is None
    assert last().complaint(NOW, every_hours=1) is None
