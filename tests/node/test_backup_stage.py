"""What a backup holds, laid out from a node's files and an archive of OpenClaw's shape."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from appliance.contract import backup
from appliance.contract.trouble import NodeTrouble
from appliance.node.backup import stage
from appliance.node.backup.stage import Places
from appliance.node.system import Paths
from tests.node.backup_stand import openclaw, paths_below, places_below, unheard

POLICY = backup.Policy(name="gateway", repository=backup.Folder(path="/mnt"), secrets=False)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_below(tmp_path)


def test_all_of_it_is_there_and_nothing_of_the_config(paths: Paths, places: Places) -> None:
    manifest = stage.make(POLICY, paths, places, unheard)
    found = {str(p.relative_to(places.staging)) for p in places.staging.rglob("*") if p.is_file()}
    assert found == {
        "manifest.json",
        "SHA256SUMS",
        "state/state/openclaw.sqlite",
        "state/workspace/a b",
        "bundle/manifest.json",
        "bundle/files/edge.map",
        "recipe/image/scripts/10.sh",
        "recipe/code/appliance/x.py",
        "recipe/inputs",
    }
    assert manifest.files == len(found) - 2
    assert (manifest.openclaw, manifest.workloads) == ("2026.9.6", ("code", "batch"))


def test_its_sums_are_those_of_its_files(paths: Paths, places: Places) -> None:
    manifest = stage.make(POLICY, paths, places, unheard)
    sums = places.staging / backup.SUMS
    assert hashlib.sha256(sums.read_bytes()).hexdigest() == manifest.sums
    check = ["sha256sum", "--quiet", "-c", backup.SUMS]
    assert subprocess.run(check, cwd=places.staging, check=False).returncode == 0


def test_nobody_else_may_look(paths: Paths, places: Places) -> None:
    stage.make(POLICY, paths, places, unheard)
    assert places.staging.stat().st_mode & 0o777 == 0o700
    assert places.secrets.stat().st_mode & 0o777 == 0o700


def test_what_an_earlier_run_left_is_not_in_it(paths: Paths, places: Places) -> None:
    (places.staging / "state").mkdir(parents=True)
    (places.staging / "state" / "old").write_text("gone since")
    stage.make(POLICY, paths, places, unheard)
    assert not (places.staging / "state" / "old").exists()


def test_a_link_out_of_the_state_does_not_end_the_backup(
    paths: Paths, places: Places, tmp_path: Path
) -> None:
    openclaw(tmp_path, {"a": b"b"}, {"workspace/out": "/etc/passwd", "in": "a"})
    stage.make(POLICY, paths, places, unheard)
    assert (places.staging / "state" / "in").is_symlink()
    assert not (places.staging / "state" / "workspace" / "out").is_symlink()


def test_an_openclaw_that_fails_is_quoted(paths: Paths, places: Places, tmp_path: Path) -> None:
    openclaw(tmp_path, {"a": b"b"}, ends=1)
    with pytest.raises(NodeTrouble, match="made no archive"):
        stage.make(POLICY, paths, places, unheard)


def test_a_torn_archive_is_refused(paths: Paths, places: Places, tmp_path: Path) -> None:
    made = tmp_path / "made.tar.gz"
    made.write_bytes(made.read_bytes()[:200])
    with pytest.raises(NodeTrouble, match="cannot be read"):
        stage.make(POLICY, paths, places, unheard)


def test_an_archive_without_state_is_refused(paths: Paths, places: Places, tmp_path: Path) -> None:
    openclaw(tmp_path, {})
    with pytest.raises(NodeTrouble, match="no state"):
        stage.make(POLICY, paths, places, unheard)


def test_a_full_disk_is_seen_before_anything_is_made(
    paths: Paths, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "SPARE", 1 << 60)
    with pytest.raises(NodeTrouble, match="no room") as caught:
        stage.make(POLICY, paths, places, unheard)
    assert "disk-full" in caught.value.fix
    assert list(places.staging.iterdir()) == []
