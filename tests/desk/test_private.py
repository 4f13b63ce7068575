"""What a killed desk left in private folders goes with the next one; what a living one uses stays."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from appliance.desk import private
from appliance.desk.processes import Process


def left_by_a_dead_desk(root: Path) -> Path:
    code = "import sys, pathlib; from appliance.desk import private; "
    code += "print(private.make(pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, root], check=True, capture_output=True, text=True)
    folder = Path(done.stdout.strip())
    (folder / "key").write_text("secret")
    return folder


def test_only_its_owner_may_enter(tmp_path: Path) -> None:
    assert stat.S_IMODE(private.make(tmp_path).stat().st_mode) == 0o700


def test_a_dead_desk_s_folder_goes_and_a_living_one_s_stays(tmp_path: Path) -> None:
    mine = private.make(tmp_path)
    dead = left_by_a_dead_desk(tmp_path)
    another = private.make(tmp_path)
    assert not dead.exists()
    assert mine.exists()
    assert another.exists()


def test_of_whom_nothing_is_known_everything_stays(tmp_path: Path) -> None:
    elsewhere = private.make(tmp_path)
    process = replace(Process.this(), pid=1, boot="another.1", machine="another")
    (elsewhere / private.OWNER).write_text(json.dumps(asdict(process)))
    for name, owner in (("apl-nobody", None), ("apl-rubbish", "[]"), ("apl-odd", '{"pid": 1}')):
        (tmp_path / name).mkdir()
        if owner is not None:
            (tmp_path / name / private.OWNER).write_text(owner)
    before = sorted(tmp_path.iterdir())
    private.clear_dead(Process.this(), tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_the_root_leaves_room_for_a_socket_s_name() -> None:
    assert len(str(private.ROOT / f"{private.PREFIX}12345678" / "c")) + 17 < 104
