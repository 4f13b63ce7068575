"""The lab's Storage Box, as the real ssh, sftp and restic see it, well and ill."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.lab import processes
from appliance.lab.trees import mounts_below
from tests.lab.boxes import HOST, Store, box_of, key_pair, place_for_box
from tests.lab.serving import until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with box_of(place_for_box(), tmp_path_factory.mktemp("home")) as store:
        yield store


@pytest.fixture
def store(box: Store) -> Iterator[Store]:
    """Whole again after each test, and empty."""
    yield box
    box.console("DELETE", "/fault")
    box.console("PUT", "/quota", {"bytes": None})
    for name in box.console("GET")["snapshots"]:
        box.console("DELETE", f"/snapshots/{name}")
    assert box.ssh("rm", "-rf", "repository", "folder", "file").returncode == 0


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """A folder worth keeping: 200 kB that no compression makes smaller."""
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "noise").write_bytes(os.urandom(200_000))
    return folder


def test_files_go_there_and_back(store: Store) -> None:
    (store.home / "here").write_text("all of it")
    done = store.sftp("pwd\nmkdir folder\nput here folder/there\nget folder/there back\n")
    assert done.returncode == 0, done.stderr
    assert "/home" in done.stdout, "as on Hetzner's port 23"
    assert (store.home / "back").read_text() == "all of it"


def test_there_is_no_shell_to_be_had(store: Store) -> None:
    for command in ([], ["bash"], ["/bin/sh"], ["cat;", "id"]):
        done = store.ssh(*command)
        assert done.returncode != 0
        assert "uid=" not in done.stdout
    assert "do not support interactive logins" in store.ssh().stderr
    assert "Command not found" in store.ssh("id").stderr


def test_a_session_sees_nothing_of_the_host(store: Store) -> None:
    assert store.ssh("ls", "/").stdout.split() == ["bin", "dev", "etc", "home", "lib", "lib64", "usr"]
    assert store.ssh("cat", "/etc/passwd").returncode != 0


def test_a_stranger_does_not_come_in(store: Store, tmp_path: Path) -> None:
    key_pair(store.home / "stranger")
    assert "Permission denied" in store.ssh("ls", key="stranger").stderr


def test_a_sub_account_has_its_folder_and_nothing_above(store: Store) -> None:
    name = f"{store.box.user}-sub1"
    store.console("PUT", f"/accounts/{name}", {"folder": "folder", "keys": [key_pair(store.home / "sub")]})
    store.ssh("mkdir", "repository")
    assert store.ssh("ls", user=name, key="sub").stdout == ""
    assert store.ssh("ls", "..", user=name, key="sub").stdout.split() == store.ssh("ls", "/").stdout.split()
    assert store.ssh("mkdir", "mine", user=name, key="sub").returncode == 0
    assert store.ssh("ls", "folder").stdout == "mine\n", "the main account sees it"
    assert "Permission denied" in store.ssh("ls", key="sub").stderr, "its key opens its own account only"


def test_keys_are_added_beside_those_that_are_there(store: Store) -> None:
    third = key_pair(store.home / "third")
    keys = store.box.accounts()[0].keys
    for _ in range(2):
        store.console("POST", f"/accounts/{store.box.user}/keys", {"keys": [third]})
        assert store.box.accounts()[0].keys == keys + 1
    assert store.ssh("ls", key="third").returncode == store.ssh("ls").returncode == 0
    with pytest.raises(AssertionError, match="there is no account"):
        store.console("POST", "/accounts/nobody/keys", {"keys": [third]})


def test_restic_keeps_and_gives_back(store: Store, some: Path, tmp_path: Path) -> None:
    assert store.restic("init").returncode == 0
    assert store.restic("backup", str(some)).returncode == 0
    assert store.restic("check", "--read-data").returncode == 0
    assert store.restic("restore", "latest", "--target", str(tmp_path / "back")).returncode == 0
    kept = (tmp_path / "back" / some.relative_to("/") / "noise").read_bytes()
    assert kept == (some / "noise").read_bytes()


def test_a_key_bound_to_appending_cannot_forget_what_it_wrote(store: Store, some: Path) -> None:
    assert store.restic("init", key="append").returncode == 0
    assert store.restic("backup", str(some), key="append").returncode == 0
    forgotten = store.restic("forget", "latest", key="append", seconds=5)
    assert "403 Forbidden" in forgotten.stderr, "it would try for a minute"
    assert store.restic("unlock", "--remove-all", key="append").returncode == 0, "locks are no history"
    assert "noise" in store.restic("ls", "latest", key="append").stdout
    assert store.restic("check", key="append").returncode == 0
    assert store.sftp("ls\n", key="append").returncode != 0
    store.ssh("rm", "-r", "repository", key="append")
    assert "repository" in store.ssh("ls").stdout, "whatever it asks for, it gets the one command"
    assert store.restic("forget", "--prune", "latest").returncode == 0, "the operator's key may"


def test_what_a_snapshot_holds_no_account_can_change(store: Store, some: Path) -> None:
    assert store.restic("init").returncode == 0
    assert store.restic("backup", str(some)).returncode == 0
    store.console("PUT", "/snapshots/monday")
    assert store.ssh("rm", "-r", ".zfs/snapshot/monday").returncode != 0
    assert store.sftp("put passphrase .zfs/snapshot/monday/x\n").returncode != 0
    assert store.ssh("rm", "-r", "repository").returncode == 0
    assert store.restic("snapshots").returncode != 0
    assert "repository" in store.ssh("ls", ".zfs/snapshot/monday").stdout
    store.console("POST", "/snapshots/monday/roll_back")
    assert "noise" in store.restic("ls", "latest").stdout


def test_a_full_box_says_so_and_loses_nothing(store: Store, some: Path) -> None:
    assert store.restic("init").returncode == 0
    assert store.restic("backup", str(some)).returncode == 0
    store.console("PUT", "/quota", {"bytes": 0})
    (some / "more").write_bytes(os.urandom(100_000))
    assert store.sftp("put passphrase file\n").returncode != 0
    store.console("PUT", "/quota", {"bytes": None})
    assert store.restic("check", "--read-data").returncode == 0
    assert store.restic("backup", str(some)).returncode == 0


def test_another_host_key_is_seen_by_who_knew_the_old(store: Store) -> None:
    assert store.ssh("ls").returncode == 0
    store.console("POST", "/host_key")
    done = store.ssh("ls")
    assert done.returncode != 0
    assert "Host key verification failed" in done.stderr
    store.know_host()
    assert store.ssh("ls").returncode == 0


def test_a_box_that_refuses(store: Store) -> None:
    store.console("PUT", "/fault", {"fault": "refuse"})
    assert "Connection refused" in store.ssh("ls").stderr
    store.console("DELETE", "/fault")
    assert store.ssh("ls").returncode == 0


def test_a_box_that_takes_a_call_and_says_nothing(store: Store) -> None:
    store.console("PUT", "/fault", {"fault": "hang"})
    assert "timed out" in store.ssh("ls").stderr
    store.console("DELETE", "/fault")
    assert store.ssh("ls").returncode == 0


def test_a_line_that_is_cut_in_the_middle(store: Store) -> None:
    (store.home / "large").write_bytes(os.urandom(3_000_000))
    store.console("PUT", "/fault", {"fault": "cut", "bytes": 1_500_000, "times": 1})
    assert store.sftp("put large file\n").returncode != 0
    assert 0 < (store.box.files / "file").stat().st_size < 3_000_000
    assert store.sftp("put large file\n").returncode == 0, "it struck once"


def test_a_slow_line(store: Store) -> None:
    (store.home / "large").write_bytes(os.urandom(60_000))
    store.console("PUT", "/fault", {"fault": "slow", "bytes": 50_000})
    began = time.monotonic()
    assert store.sftp("put large file\n").returncode == 0
    assert time.monotonic() - began > 60_000 / 50_000


def test_ten_at_once_and_no_more(store: Store) -> None:
    command = ["ssh", *store.options(), f"{store.box.user}@{HOST}", "cat"]
    held = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(10)]
    try:
        for one in held:
            assert one.stdin
            assert one.stdout
            one.stdin.write(b"here\n")
            one.stdin.flush()
            assert one.stdout.readline() == b"here\n"
        assert store.ssh("ls").returncode != 0
    finally:
        for one in held:
            one.communicate()
    assert store.ssh("ls").returncode == 0


def test_what_cannot_be_is_refused_with_words(store: Store) -> None:
    with pytest.raises(AssertionError, match="a sub-account's name"):
        store.console("PUT", "/accounts/root", {"folder": "x", "keys": []})
    with pytest.raises(AssertionError, match="one name"):
        store.console("PUT", f"/accounts/{store.box.user}-sub2", {"folder": "../x", "keys": []})
    with pytest.raises(AssertionError, match="there is no snapshot"):
        store.console("DELETE", "/snapshots/none")
    with pytest.raises(AssertionError, match="fault"):
        store.console("PUT", "/fault", {"fault": "earthquake"})


def test_files_stay_when_the_box_comes_up_again(store: Store) -> None:
    """As after a killed daemon."""
    store.ssh("mkdir", "folder")
    store.box.up()
    assert "folder" in store.ssh("ls").stdout


def test_nothing_is_left_of_a_box(tmp_path: Path) -> None:
    place = place_for_box()
    other = type(place)(place.root, 26)
    with box_of(other, tmp_path) as store:
        cat = subprocess.Popen(
            ["ssh", *store.options(), f"{store.box.user}@{HOST}", "cat"], stdin=subprocess.PIPE
        )
        until(lambda: _sessions(store))
    cat.communicate()
    assert _sessions(store) == []
    assert mounts_below(other.folder) == []
    assert not other.folder.exists()


def _sessions(store: Store) -> list[int]:
    return [pid for pid in processes.parents() if str(store.box.root) in processes.command_line(pid)]
