"""At the lab's Storage Box, with both keys: what `check` sees there, and what a prune removes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.cli.wiring import at_store
from appliance.contract.backup import S3, Policy, Retention, Sftp
from appliance.contract.trouble import ConfigTrouble, ExitCode, Trouble
from appliance.desk import hostkeys
from appliance.desk.check_backup import check_backup
from appliance.desk.findings import Finding, Level
from appliance.desk.prune import Opened, Restic, look, prune
from appliance.desk.settings import Backup, SecretRef, Settings
from tests.desk.samples import SETTINGS
from tests.desk.saying import Saying
from tests.lab.boxes import HOST, Store, box_of, place_for_box

pytestmark = pytest.mark.lab
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with box_of(place_for_box(), tmp_path_factory.mktemp("home")) as store:
        yield store


@pytest.fixture(autouse=True)
def _emptied(store: Store) -> Iterator[None]:
    yield
    store.know_host()
    assert store.ssh("rm", "-rf", "repository").returncode == 0


def repository(store: Store, **change: object) -> Sftp:
    key = str(store.console("GET")["host_key"])
    return Sftp(host=HOST, port=store.port, user=store.box.user, path="repository", host_key=key).model_copy(
        update=change
    )


def settings(store: Store, **change: object) -> Settings:
    backup = Backup(
        repository=repository(store),
        passphrase=SecretRef("file", "passphrase"),
        ssh_key=SecretRef("file", "append"),
        operator_key=store.home / "main",
        s3_id=None,
        s3_secret=None,
        every_hours=1,
        retention=Retention(),
        verify_percent=10,
        secrets=True,
        webhook=None,
    )
    backup = dataclasses.replace(backup, **change)  # type: ignore[arg-type]
    return dataclasses.replace(SETTINGS, path=store.home / "appliance.yaml", backup=backup)


def found(store: Store, **change: object) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check_backup(settings(store, **change), at_store)}


def test_both_keys_are_tried_and_the_nodes_binding_is_seen(store: Store) -> None:
    seen = found(store)
    assert {subject: finding.level for subject, finding in seen.items()} == {
        "backup.operator_key": Level.OK,
        "backup.ssh_key": Level.OK,
    }
    assert "add, and nothing else" in seen["backup.ssh_key"].what


def test_a_nodes_key_that_may_do_everything_is_found(store: Store) -> None:
    wrong = found(store, ssh_key=SecretRef("file", "main"))["backup.ssh_key"]
    assert wrong.level is Level.WRONG
    assert "append_only is not so" in wrong.what


def test_keys_in_each_others_place_are_found(store: Store) -> None:
    wrong = found(store, operator_key=store.home / "append")["backup.operator_key"]
    assert wrong.level is Level.WRONG
    assert "cannot prune" in wrong.what


def test_a_key_that_the_store_does_not_know_is_told_with_what_to_do(store: Store) -> None:
    stranger = store.home / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    wrong = found(store, operator_key=stranger)["backup.operator_key"]
    assert (wrong.level, wrong.what) == (Level.WRONG, "the store does not know your key")
    assert "kit --keys" in wrong.right


def test_another_host_key_is_wrong_and_a_store_out_of_reach_is_not_the_desks_to_say(store: Store) -> None:
    other = repository(store, host_key=hostkeys.make().public)
    seen = found(store, repository=other)
    assert {finding.level for finding in seen.values()} == {Level.WRONG}
    assert all("another host key" in finding.what for finding in seen.values())
    store.console("PUT", "/fault", {"fault": "refuse"})
    try:
        assert {finding.level for finding in found(store).values()} == {Level.WARNING}
    finally:
        store.console("DELETE", "/fault")


def backups(store: Store, *ages: timedelta, key: str = "append") -> None:
    """Made so long ago, by the node's key, as the node marks them."""
    folder = store.home / "some"
    folder.mkdir(exist_ok=True)
    (folder / "noise").write_bytes(os.urandom(1000))
    if store.restic("cat", "config", key=key).returncode != 0:
        assert store.restic("init", key=key).returncode == 0
    for age in ages:
        at = f"{(datetime.now(UTC) - age).astimezone():%Y-%m-%d %H:%M:%S}"
        words = ("--tag", "appliance", "--host", "office", "--time", at)
        assert store.restic("backup", *words, str(folder), key=key).returncode == 0


def opened(store: Store, **change: object) -> Opened:
    kept = Retention(hourly=2, daily=0, weekly=0, monthly=0, within_days=1)
    policy = Policy(name="office", repository=repository(store, **change), retention=kept)
    key = store.home / "a folder of mine" / "key"
    if not key.exists():
        key.parent.mkdir()
        shutil.copy(store.home / "main", key)
    return Opened(policy, (store.home / "passphrase").read_text(), key, {})


DAYS = (timedelta(days=9), timedelta(days=8), timedelta(days=7), timedelta(hours=2), timedelta(minutes=1))


def test_a_prune_removes_what_retention_does_not_keep_and_the_rest_is_whole(store: Store) -> None:
    backups(store, *DAYS)
    with Restic(opened(store)) as restic:
        plan = look(restic, datetime.now(UTC), Saying())
        assert (len(plan.remove), len(plan.keep)) == (3, 2)
        assert len(restic.kept()) == 5, "looking removes nothing"
        prune(restic, Saying())
        assert {one.id for one in restic.kept()} == {one.id for one in plan.keep}
    assert store.restic("check", "--read-data").returncode == 0


def test_backups_of_another_appliance_in_the_same_store_stay(store: Store) -> None:
    backups(store, *DAYS)
    old = f"{(datetime.now(UTC) - timedelta(days=30)).astimezone():%Y-%m-%d %H:%M:%S}"
    words = ("--tag", "appliance", "--host", "other", "--time", old)
    assert store.restic("backup", *words, str(store.home / "some"), key="append").returncode == 0
    with Restic(opened(store)) as restic:
        look(restic, datetime.now(UTC), Saying())
        prune(restic, Saying())
    assert "other" in store.restic("snapshots").stdout


def test_a_backup_dated_ahead_stops_the_prune_since_it_would_push_out_the_true_ones(store: Store) -> None:
    backups(store, *DAYS, -timedelta(days=365))
    with Restic(opened(store)) as restic:
        with pytest.raises(Trouble, match="dated in the future") as caught:
            look(restic, datetime.now(UTC), Saying())
        assert caught.value.code is ExitCode.UNVERIFIED
        assert len(restic.kept()) == 6


def test_failures_come_in_the_words_of_an_operator(store: Store) -> None:
    with Restic(opened(store)) as restic, pytest.raises(Trouble, match="no repository there") as caught:
        look(restic, NOW, Saying())
    assert caught.value.code is ExitCode.NODE
    backups(store, timedelta(hours=1))
    wrong = dataclasses.replace(opened(store), passphrase="another")
    with Restic(wrong) as restic, pytest.raises(Trouble, match="passphrase is not"):
        look(restic, NOW, Saying())
    stranger = opened(store, host_key=hostkeys.make().public)
    with Restic(stranger) as restic, pytest.raises(Trouble, match="another host key"):
        look(restic, NOW, Saying())


def test_keys_and_passphrase_are_gone_when_the_prune_is_over(store: Store) -> None:
    with Restic(opened(store)) as restic:
        assert (restic.folder / "passphrase").stat().st_mode & 0o077 == 0
    assert not restic.folder.exists()


def test_what_the_desk_cannot_prune_is_refused_before_the_store_is_asked(
    store: Store, tmp_path: Path
) -> None:
    usual = opened(store)
    node_prunes = dataclasses.replace(usual, policy=opened(store, append_only=False).policy)
    bucket = S3(endpoint="https://s3.example", bucket="gateways", prefix="office", append_only=True)
    for refused, what in (
        (node_prunes, "nothing for this desk"),
        (dataclasses.replace(usual, operator_key=None), "operator_key"),
        (
            dataclasses.replace(usual, policy=usual.policy.model_copy(update={"repository": bucket})),
            "no access key that may delete",
        ),
    ):
        with pytest.raises(ConfigTrouble, match=what):
            Restic(refused)


def test_without_restic_here_it_says_how_to_get_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(store.home))
    with pytest.raises(ConfigTrouble, match="no restic") as caught:
        Restic(opened(store))
    assert "Debian: restic" in caught.value.fix
