"""What the lab deletes goes wholly and fast, and nothing else goes with it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.lab import base
from appliance.lab.disks import Disks
from appliance.lab.hardware import HardwareTrouble
from appliance.lab.package_cache import trim
from appliance.lab.place import Place
from appliance.lab.shell import locked, run
from appliance.lab.trees import mounts_below, remove, unmount
from tests.lab.serving import until


def a_tree(root: Path) -> Path:
    for number in range(200):
        folder = root / str(number % 7) / str(number % 11)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_text("x")
    (root / "locked").mkdir(mode=0)
    return root


def test_a_tree_goes_with_all_that_is_in_it_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("kept")
    tree = a_tree(tmp_path / "tree")
    (tree / "0/to-a-folder").symlink_to(tmp_path / "kept")
    (tree / "0/to-a-file").symlink_to(tmp_path / "kept/file")
    os.mkfifo(tree / "0/pipe")
    remove(tree)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept/file").read_text() == "kept"
    remove(tree)


def test_a_file_and_a_link_are_trees_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    remove(tmp_path / "file")
    remove(tmp_path / "link")
    assert not list(tmp_path.iterdir())


def test_two_may_remove_the_same_tree(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    others = [threading.Thread(target=remove, args=(tree,)) for _ in range(3)]
    for other in others:
        other.start()
    remove(tree)
    for other in others:
        other.join()
    assert not tree.exists()


def place_with_layer(root: Path) -> Place:
    place = Place(root)
    (place.folder / "layers/low/etc").mkdir(parents=True)
    return place


def test_a_deleted_disk_is_gone_at_once_and_its_files_soon(tmp_path: Path) -> None:
    disks = Disks(place_with_layer(tmp_path))
    disks.create(1, ["low"])
    a_tree(disks.folder(1) / "upper/tree")
    disks.delete(1)
    assert not disks.folder(1).exists()
    until(lambda: not list(disks.place.trash.iterdir()))
    disks.create(1, ["low"])
    assert not list((disks.folder(1) / "upper").iterdir())


def test_what_a_killed_daemon_did_not_delete_the_next_one_does(tmp_path: Path) -> None:
    place = place_with_layer(tmp_path)
    a_tree(place.trash / "1-left")
    Disks(place).empty_trash()
    until(lambda: not list(place.trash.iterdir()))


def test_only_base_images_that_a_lab_stands_on_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, other = Place(tmp_path), Place(tmp_path, 1)
    monkeypatch.setattr(base, "_lend", lambda place, name: "lent")
    current = f"{base.NAME}-{base.recipe_digest()}"
    for name in (current, "debian-13-aaaa", "debian-13-bbbb"):
        (tmp_path / "cache/base" / name / "etc").mkdir(parents=True)
    for place, digest in ((here, base.recipe_digest()), (other, "aaaa")):
        (place.folder / f"layers/lent-{digest}-cccc").mkdir(parents=True)
    base.ensure(here)
    assert {p.name for p in (tmp_path / "cache/base").iterdir()} == {current, "debian-13-aaaa"}
    assert [p.name for p in here.trash.iterdir()] == ["debian-13-bbbb"]


def test_package_caches_keep_what_was_used_last_within_their_bound(tmp_path: Path) -> None:
    for number in range(5):
        file = tmp_path / "apt" / f"{number}.deb"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * 100)
        os.utime(file, (4e9 + number, 1e9 - number))  # read in this order, published in the other
    trim(tmp_path, 1000)
    assert len(list((tmp_path / "apt").iterdir())) == 5
    trim(tmp_path, 250)
    assert sorted(p.name for p in (tmp_path / "apt").iterdir()) == ["3.deb", "4.deb"]


def test_a_lock_that_its_holder_removed_is_not_held_twice(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    inside: list[int] = []
    worst: list[int] = []

    def hold(number: int) -> None:
        for _ in range(30):
            with locked(path):
                inside.append(number)
                time.sleep(0.001)
                worst.append(len(inside))
                inside.remove(number)
                path.unlink()

    threads = [threading.Thread(target=hold, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(worst) == {1}


@pytest.mark.lab
def test_nothing_is_deleted_through_a_mount(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("kept")
    (tmp_path / "tree/mounted").mkdir(parents=True)
    run(["mount", "--bind", str(tmp_path / "kept"), str(tmp_path / "tree/mounted")])
    try:
        with pytest.raises(HardwareTrouble, match="mounted"):
            remove(tmp_path / "tree")
    finally:
        for point in mounts_below(tmp_path):
            unmount(point)
    assert (tmp_path / "kept/file").exists()


@pytest.mark.lab
def test_a_layer_whose_making_was_killed_is_made_again() -> None:
    """A kill between mount and unmount leaves both the mount and half a layer."""
    place = replace(Place.from_environment(), instance=31)
    try:
        place.folder.mkdir()
        _, lent = base.ensure(place)
        layers = place.folder / "layers"
        root = layers / f"{lent}.root"
        (layers / lent).rename(layers / f"{lent}.new")
        root.mkdir()
        run(["mount", "-t", "tmpfs", "tmpfs", str(root)])
        (root / "half").write_text("made")
        assert base.ensure(place)[1] == lent
        assert [p.name for p in layers.iterdir()] == [lent]
    finally:
        for point in mounts_below(place.folder):
            unmount(point)
        remove(place.folder)
