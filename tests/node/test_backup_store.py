"""The node's restic against the lab's Storage Box: what it keeps, and what it says when it cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import store as node_store
from appliance.node.backup.store import Restic
from tests.lab.boxes import HOST, Store, box_of, place_for_box

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with box_of(place_for_box(), tmp_path_factory.mktemp("home")) as store:
        yield store


@pytest.fixture
def some(tmp_path: Path) -> Path:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "noise").write_bytes(os.urandom(50_000))
    return folder


def policy(box: Store, path: str, **more: object) -> backup.Policy:
    known = (box.home / "known_hosts").read_text().split(" ", 1)[1].strip()
    repository = backup.Sftp(
        host=HOST, port=box.port, user=box.box.user, path=path, host_key=known, append_only=False
    )
    return backup.Policy.model_validate({"name": "gateway", "repository": repository, **more})


def secrets(box: Store) -> dict[str, str]:
    passphrase = (box.home / "passphrase").read_text()
    return {backup.PASSPHRASE: passphrase, backup.SSH_KEY: (box.home / "main").read_text()}


@pytest.fixture
def restic(box: Store, tmp_path: Path) -> Iterator[Restic]:
    """With an empty repository of its own."""
    with node_store.opened(policy(box, tmp_path.name), secrets(box), tmp_path) as restic:
        own = Restic(restic.policy, restic.keys, tmp_path / "cache")
        own.init()
        yield own
    box.console("DELETE", "/fault")
    box.console("PUT", "/quota", {"bytes": None})


def test_a_repository_is_made_once_and_keeps_what_it_is_given(restic: Restic, some: Path) -> None:
    assert restic.exists()
    id_, added = restic.send([some])
    assert added > 50_000
    assert [kept.id.startswith(id_) for kept in restic.kept()] == [True]
    restic.check()


def test_retention_is_kept(restic: Restic, some: Path) -> None:
    few = restic.policy.model_copy(
        update={"retention": backup.Retention(hourly=1, daily=0, weekly=0, monthly=0, within_days=1)}
    )
    for _ in range(2):
        restic.send([some])
    Restic(few, restic.keys, restic.cache).forget()
    assert len(restic.kept()) == 2, "all within a day are kept"


def test_one_that_may_only_append(box: Store, tmp_path: Path, some: Path) -> None:
    """By the key that the box has bound to appending, and the policy that says so."""
    order = policy(box, "repository")
    order = order.model_copy(update={"repository": order.repository.model_copy(update={"append_only": True})})
    given = {**secrets(box), backup.SSH_KEY: (box.home / "append").read_text()}
    with node_store.opened(order, given, tmp_path) as opened:
        restic = Restic(order, opened.keys, tmp_path / "cache")
        assert not restic.exists()
        restic.init()
        id_, _ = restic.send([some])
        restic.check()
        assert [kept.id.startswith(id_) for kept in restic.kept()] == [True]
        assert not order.prunes


def test_keys_are_gone_when_the_job_is_over(box: Store, tmp_path: Path) -> None:
    with node_store.opened(policy(box, "x"), secrets(box), tmp_path) as restic:
        assert {oct(file.stat().st_mode)[-3:] for file in restic.keys.iterdir()} == {"600"}
    assert list(tmp_path.iterdir()) == []


def test_a_missing_secret_is_named(box: Store, tmp_path: Path) -> None:
    with (
        pytest.raises(NodeTrouble, match="no backup-ssh-key"),
        node_store.opened(policy(box, "x"), {backup.PASSPHRASE: "x"}, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "refuse"}, "refuses connections"),
        ({"fault": "cut", "bytes": 9_000}, "line to the store broke"),
    ],
    ids=lambda value: str(value.get("fault")) if isinstance(value, dict) else "",
)
def test_a_store_that_fails_is_named_and_the_next_try_succeeds(
    box: Store, restic: Restic, some: Path, fault: dict[str, object], words: str
) -> None:
    box.console("PUT", "/fault", fault)
    with pytest.raises(NodeTrouble, match=words):
        restic.send([some])
    box.console("DELETE", "/fault")
    restic.send([some])
    restic.check()


def test_another_host_key_is_not_taken(box: Store, restic: Restic) -> None:
    box.console("POST", "/host_key")
    with pytest.raises(NodeTrouble, match="another host key"):
        restic.exists()
    box.know_host()


def test_a_wrong_passphrase_is_named_and_not_shown(box: Store, restic: Restic, tmp_path: Path) -> None:
    wrong = {**secrets(box), backup.PASSPHRASE: "another one"}
    with (
        node_store.opened(restic.policy, wrong, tmp_path) as other,
        pytest.raises(NodeTrouble, match="passphrase") as caught,
    ):
        Restic(other.policy, other.keys, tmp_path / "cache").exists()
    assert "another one" not in str(caught.value)


def test_a_flipped_byte_is_found_by_the_check(box: Store, restic: Restic, some: Path, tmp_path: Path) -> None:
    restic.send([some])
    whole = restic.policy.model_copy(update={"verify_percent": 100})
    for pack in (box.box.files / tmp_path.name / "data").glob("*/*"):
        content = bytearray(pack.read_bytes())
        content[100] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    with pytest.raises(NodeTrouble, match="did not verify"):
        Restic(whole, restic.keys, restic.cache).check()
