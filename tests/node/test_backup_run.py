"""Backups made whole by a real restic into a folder; only OpenClaw's own command is played."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from appliance.contract import backup, bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import keys, memory, run
from appliance.node.backup.stage import Places
from appliance.node.system import Paths
from tests.node.backup_stand import order, paths_below, places_below, unheard

PASSPHRASE = "made for this test"


@dataclass(frozen=True)
class Stand:
    """A node's files, a folder for a store, and a folder for keys."""

    paths: Paths
    places: Places
    store: Path
    keys: Path

    def run(self, *, new: bool = False) -> backup.LastBackup:
        return run.run(unheard, self.keys, new=new, paths=self.paths, places=self.places)

    def verify(self) -> backup.LastBackup:
        return run.verify(unheard, self.keys, paths=self.paths)

    def last(self) -> backup.LastBackup:
        last = memory.last(self.paths)
        assert last is not None
        return last

    def order(self, **more: object) -> None:
        order(self.paths, backup.Folder(path=str(self.store)), **more)

    def seen(self) -> bytes:
        """All that lies in the open at the end of a job."""
        folders = (self.places.staging, self.places.secrets, self.places.archive, self.keys)
        return b"".join(p.read_bytes() for f in folders for p in f.rglob("*") if p.is_file())


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(keys, "in_force", lambda _: {backup.PASSPHRASE: PASSPHRASE})
    monkeypatch.setattr("appliance.node.backup.store.CACHE", tmp_path / "cache")
    monkeypatch.setattr("appliance.node.backup.store.OWN_DISK", Path("/proc"))
    for name in ("keys", "store", "other"):
        (tmp_path / name).mkdir()
    stand = Stand(paths_below(tmp_path), places_below(tmp_path), tmp_path / "store", tmp_path / "keys")
    stand.order(secrets=False)
    return stand


def test_the_first_makes_the_repository_and_is_remembered(stand: Stand) -> None:
    made = stand.run()
    assert stand.last() == made
    assert made.error is None
    assert made.at is not None
    assert made.at >= made.tried_at
    (kept,) = run.kept(stand.keys, paths=stand.paths)
    assert (kept.id, kept.name) == (made.id, "gateway")


def test_a_second_of_the_same_adds_next_to_nothing(stand: Stand) -> None:
    first, second = stand.run(), stand.run()
    assert first.added is not None
    assert second.added is not None
    assert second.added < first.added / 2
    assert len(run.kept(stand.keys, paths=stand.paths)) == 2


def test_nothing_is_left_lying_after_a_good_one_or_a_bad_one(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.run()
    assert stand.seen() == b""
    monkeypatch.setattr("appliance.node.backup.store.Restic.send", _fails)
    with pytest.raises(NodeTrouble):
        stand.run()
    assert stand.seen() == b""


def test_a_failure_is_remembered_beside_the_last_good_one(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = stand.run()
    monkeypatch.setattr(keys, "in_force", lambda _: {backup.PASSPHRASE: "another"})
    with pytest.raises(NodeTrouble, match="passphrase") as caught:
        stand.run()
    assert "another" not in str(caught.value).replace("another key", "")
    assert stand.last().error == caught.value.what
    assert (stand.last().at, stand.last().id) == (good.at, good.id)
    assert "the last try failed" in (stand.last().complaint(stand.last().tried_at, 1) or "")


def test_the_next_good_one_ends_the_complaint(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as wrong:
        wrong.setattr(keys, "in_force", lambda _: {})
        with pytest.raises(NodeTrouble, match=r"no backup-passphrase|There is no"):
            stand.run()
    assert stand.run().complaint(stand.last().tried_at, 1) is None


def test_a_repository_that_is_gone_is_not_begun_anew_in_silence(stand: Stand) -> None:
    stand.run()
    shutil.rmtree(stand.store)
    stand.store.mkdir()
    with pytest.raises(NodeTrouble, match="gone"):
        stand.run()
    assert list(stand.store.iterdir()) == []
    assert stand.run(new=True).error is None


def test_a_folder_that_is_not_mounted_gets_no_backup(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as unmounted:
        unmounted.setattr("appliance.node.backup.store.OWN_DISK", stand.store)
        with pytest.raises(NodeTrouble, match="own disk"):
            stand.run()
    stand.store.rmdir()
    with pytest.raises(NodeTrouble, match="no folder"):
        stand.run()
    assert not stand.store.exists()


def test_another_store_is_begun_without_being_asked_twice(stand: Stand, tmp_path: Path) -> None:
    stand.run()
    order(stand.paths, backup.Folder(path=str(tmp_path / "other")), secrets=False)
    assert stand.run().repository == str(tmp_path / "other")


def test_the_store_is_read_back(stand: Stand) -> None:
    stand.order(secrets=False, verify_percent=100)
    stand.run()
    assert stand.verify().verified_at is not None
    for pack in (stand.store / "data").glob("*/*"):
        content = bytearray(pack.read_bytes())
        content[50] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    with pytest.raises(NodeTrouble, match="did not verify"):
        stand.verify()
    assert "did not verify" in (stand.last().complaint(stand.last().tried_at, 1) or "")


def test_old_ones_go_where_the_node_may_delete(stand: Stand) -> None:
    few = {"hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "within_days": 1}
    stand.order(secrets=False, retention=few)
    stand.run()
    stand.run()
    assert len(run.kept(stand.keys, paths=stand.paths)) == 2, "all within a day are kept"


def test_a_run_waits_for_a_verification(stand: Stand) -> None:
    heard: list[str] = []
    held = threading.Event()

    def say(event: str, _: str) -> None:
        heard.append(event)
        held.set()

    with run._alone(stand.paths, unheard):
        other = threading.Thread(
            target=run.run, args=(say, stand.keys), kwargs={"paths": stand.paths, "places": stand.places}
        )
        other.start()
        assert held.wait(10)
        assert heard == ["wait"]
    other.join(60)
    assert stand.last().at is not None


def test_without_an_order_it_says_so(stand: Stand) -> None:
    (stand.paths.current / bundle.FILES / backup.POLICY).unlink()
    with pytest.raises(NodeTrouble, match="No backups are ordered"):
        stand.run()
    assert memory.last(stand.paths) is None


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    said: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}/told", said
    server.shutdown()
    serving.join()
    server.server_close()


def test_the_webhook_hears_of_a_failure_once_without_secrets(
    stand: Stand, hook: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, said = hook
    stand.order(secrets=False, webhook=url)
    stand.run()
    assert said == []
    monkeypatch.setattr("appliance.node.backup.store.Restic.send", _fails)
    for _ in range(2):
        with pytest.raises(NodeTrouble):
            stand.run()
    (told,) = map(json.loads, said)
    assert told["backup"] == "The store is away."
    assert set(told) == {"appliance", "node", "backup"}


def test_a_webhook_that_is_away_changes_nothing(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.order(secrets=False, webhook="http://127.0.0.1:9/")
    monkeypatch.setattr("appliance.node.backup.store.Restic.send", _fails)
    with pytest.raises(NodeTrouble, match="The store is away"):
        stand.run()


def _fails(*_: object) -> None:
    raise NodeTrouble("The store is away.")
