"""What somebody who is not root is told of a lab: never that it is down when it may be up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.contract.trouble import LabTrouble
from appliance.lab import lifecycle
from appliance.lab.place import Place

NOBODY = 65534


@pytest.mark.parametrize("look", [lifecycle.status, lifecycle.environment])
def test_a_lab_that_one_may_not_see_is_not_called_down(
    look: Callable[[Place], object], tmp_path: Path
) -> None:
    place = Place(tmp_path)
    place.folder.mkdir(mode=0o000)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        with pytest.raises(LabTrouble, match="Only root") as caught:
            look(place)
    finally:
        if root:
            os.seteuid(0)
    assert "sudo" in caught.value.fix


def test_that_there_is_none_anybody_may_know(tmp_path: Path) -> None:
    assert not lifecycle.status(Place(tmp_path)).up
