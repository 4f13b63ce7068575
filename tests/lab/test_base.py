"""The recipe of the base image and the check of the host, without making anything."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appliance.contract.trouble import LabTrouble
from appliance.lab import base, requirements
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.place import Place
from appliance.lab.shell import ENVIRONMENT


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "debian-13"
    shutil.copytree(base.RECIPE, copy)
    monkeypatch.setattr(base, "RECIPE", copy)
    return copy


def test_the_same_recipe_anywhere_is_the_same_image(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recipe / "setup.sh").chmod(0o600)  # checkouts and wheels differ in modes
    here = base.recipe_digest()
    monkeypatch.undo()
    assert base.recipe_digest() == here


def test_any_change_of_the_recipe_is_another_image(recipe: Path) -> None:
    digests = {base.recipe_digest()}
    (recipe / "packages").open("a").write("tree\n")
    digests.add(base.recipe_digest())
    (recipe / "files/etc/motd").write_text("hello\n")
    digests.add(base.recipe_digest())
    (recipe / "files/etc/motd").rename(recipe / "files/etc/issue")
    digests.add(base.recipe_digest())
    assert len(digests) == 4


def test_the_recipe_names_packages_not_where_they_come_from() -> None:
    names = base.packages()
    assert {"cloud-init", "openssh-server", "nftables", "python3"} <= set(names)
    assert len(names) == len(set(names))
    assert "://" not in (base.RECIPE / "packages").read_text() + (base.RECIPE / "setup.sh").read_text()


def test_a_layer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HardwareTrouble, match="nowhere"):
        base.layer_path(Place(tmp_path), "nowhere")
    (tmp_path / "secret").mkdir()
    with pytest.raises(HardwareTrouble):
        base.layer_path(Place(tmp_path), "../secret")


def test_everything_missing_is_said_at_once_with_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "ip").symlink_to("/bin/true")
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(tools))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told = requirements.missing(Place(tmp_path))
    assert told is not None
    assert "root" in told.why
    assert "iproute2" not in told.fix
    for package in ("systemd-container", "nftables", "haproxy", "mmdebstrap"):
        assert f" {package}" in told.fix
    assert told.fix.count("apt-get install") == 1
    assert told.fix.startswith("sudo apt-get")
    assert told.fix.endswith("with sudo")


def test_a_system_that_is_not_linux_is_told_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    told = requirements.missing(Place(tmp_path))
    assert told is not None
    assert "Linux" in told.why
    assert "hetzner" in told.fix


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [told] = requirements.missing_features(Place(tmp_path / "file/below"))[:1]
    assert "cannot be made" in told


@pytest.mark.parametrize("number", ["32", "-1", "x", ""])
def test_a_number_that_no_lab_has_is_refused(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_LAB_INSTANCE", number)
    with pytest.raises(LabTrouble, match="0 to 31"):
        Place.from_environment()


@pytest.mark.lab
def test_this_host_can_run_the_lab_and_the_trial_leaves_nothing(tmp_path: Path) -> None:
    assert requirements.missing(Place(tmp_path)) is None
    assert not list(tmp_path.iterdir())
