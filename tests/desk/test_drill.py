"""A drill over a real SSH connection: watched, ended with the desk, believed only when whole."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.contract.drill import Kind, Level, Report
from appliance.contract.node_report import NodeReport
from appliance.contract.trouble import ExitCode, NodeTrouble, Trouble
from appliance.desk.drill import Asked, Fault, drill, faults
from appliance.desk.remote import Shell, TimedOut
from tests.desk.drill_samples import red_report, report, row, rows
from tests.desk.saying import Saying
from tests.desk.sshd import Sshd, sshd
from tests.lab.serving import until

# Says what stands in `said` and `words`, ends with `code`; with `wait` not before the end of its stdin.
NODE = """#!/bin/sh
cd {state}
case $1 in
report) cat report ;;
*)
  echo "$@" > asked
  cat said
  test ! -e wait || {{ cat > read; touch ended; }}
  cat words >&2
  exit $(cat code) ;;
esac
"""
FEW = report(*rows(("code",), ("503", "hang")))
CHECKOUT = Path(__file__).parents[2]


class Node:
    """A stand-in for `appliance-node` that says what it is told to."""

    def __init__(self, state: Path, shell: Shell) -> None:
        self.state = state
        self.shell = shell
        self.says(FEW)
        self.has(FEW.bundle)

    def says(self, of: Report | None, *lines: str, code: int = 0, words: str = "") -> None:
        said = [*lines]
        if of is not None:
            said += [json.dumps({"event": "plan", "rows": len(of.rows)}), "a word of something else"]
            said += [json.dumps({"event": "row", **found.model_dump(mode="json")}) for found in of.rows]
            said += [json.dumps({"event": "report", **of.model_dump(mode="json")})]
        (self.state / "said").write_text("".join(f"{line}\n" for line in said))
        (self.state / "words").write_text(words)
        (self.state / "code").write_text(str(code))

    def has(self, bundle: str | None) -> None:
        own = NodeReport(
            node="office-1",
            snapshot_inputs=None,
            bundle=bundle,
            openclaw=None,
            gateway="ready",
            router="ready",
            health=None,
            certificate=None,
            disk_used_percent=1,
            memory_used_percent=1,
            uptime_seconds=1,
            last_backup=None,
        )
        (self.state / "report").write_text(own.model_dump_json())

    @property
    def asked(self) -> str:
        return (self.state / "asked").read_text().strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Sshd, Shell]]:
    folder = tmp_path_factory.mktemp("sshd")
    script = folder / "appliance-node"
    script.write_text(NODE.format(state=folder / "state"))
    script.chmod(0o755)
    with sshd(folder, f"SetEnv PATH={folder}:/usr/bin:/bin\n") as running, running.shell() as shell:
        yield folder / "state", running, shell


@pytest.fixture
def node(server: tuple[Path, Sshd, Shell], tmp_path: Path) -> Node:
    link, _, shell = server
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path)
    return Node(tmp_path, shell)


def test_the_evidence_comes_back_as_the_node_gave_it(node: Node) -> None:
    said = Saying()
    assert drill(node.shell, Asked(), said) == FEW
    assert said.warnings == []
    assert node.asked == "drill"


def test_each_row_is_told_as_it_comes(node: Node) -> None:
    said = Saying()
    drill(node.shell, Asked(), said)
    (step,) = said.steps
    assert step.details[0] == f"{len(FEW.rows)} rows to go"
    assert step.details[1].startswith(f"1 of {len(FEW.rows)}: code, at the router, stream, 503: beta, 0.0")
    assert len(step.details) == len(FEW.rows) + 1


def test_a_red_row_is_told_at_once_with_its_reason(node: Node) -> None:
    red = red_report()
    node.says(red, code=ExitCode.UNVERIFIED)
    said = Saying()
    found = drill(node.shell, Asked(), said)
    assert not found.ok
    assert len(said.warnings) == sum(not row.ok for row in red.rows)
    assert "an error, where beta should have answered" in said.warnings[0]


def test_the_node_is_asked_for_what_the_operator_asked_for(node: Node) -> None:
    drill(node.shell, Asked(("code", "batch"), ("503",), Level.GATEWAY), Saying())
    assert node.asked == "drill --workload code --workload batch --fault 503 --level gateway"


def test_a_push_in_the_midst_is_told(node: Node) -> None:
    node.has("another")
    said = Saying()
    drill(node.shell, Asked(), said)
    assert "a push came in the midst" in said.warnings[0]


def test_the_faults_are_the_node_s_own(node: Node) -> None:
    lines = [json.dumps({"event": "fault", "name": name, "about": f"a {name}"}) for name in ("hang", "503")]
    node.says(None, *lines)
    assert faults(node.shell, Saying()) == (Fault("hang", "a hang"), Fault("503", "a 503"))
    assert node.asked == "drill --list"


@pytest.mark.parametrize(
    ("code", "becomes"),
    [(2, ExitCode.USAGE), (5, ExitCode.LOCKED), (4, ExitCode.NODE), (1, ExitCode.NODE), (77, ExitCode.NODE)],
)
def test_a_refusal_comes_in_the_node_s_words(node: Node, code: int, becomes: ExitCode) -> None:
    node.says(None, code=code, words="There is no fault 5o3.\n  why:  there are 503\n")
    with pytest.raises(Trouble, match="did not drill") as caught:
        drill(node.shell, Asked(), Saying())
    assert caught.value.code is becomes
    assert "There is no fault 5o3." in caught.value.why


def test_an_old_node_is_told_to_be_baked_anew(node: Node) -> None:
    words = "appliance-node: error: argument command: invalid choice: 'drill' (choose from 'report')"
    node.says(None, code=2, words=words)
    with pytest.raises(NodeTrouble, match="knows no drills"):
        drill(node.shell, Asked(), Saying())


def test_a_drill_that_ends_without_a_report_is_no_green_one(node: Node) -> None:
    node.says(None, json.dumps({"event": "plan", "rows": 3}), "Killed")
    with pytest.raises(NodeTrouble, match="without a report") as caught:
        drill(node.shell, Asked(), Saying())
    assert "Killed" in caught.value.why


def test_evidence_of_another_shape_is_not_guessed_at(node: Node) -> None:
    node.says(None, json.dumps({"event": "row", "workload": "code"}))
    with pytest.raises(NodeTrouble, match="cannot be read") as caught:
        drill(node.shell, Asked(), Saying())
    assert "appliance build" in caught.value.fix


def test_words_from_afar_do_not_steer_the_terminal(node: Node) -> None:
    bad = row("code", "503", Level.ROUTER, Kind.STREAM).model_copy(
        update={"fault": "\x1b]0;owned\x07\x1b[2J", "wrong": ("\x1b[31mred\u202e",)}
    )
    node.says(report(bad))
    said = Saying()
    drill(node.shell, Asked(), said)
    shown = "".join((*said.warnings, *said.steps[0].details))
    assert "owned" in shown
    assert [sign for sign in "\x1b\x07\u202e" if sign in shown] == []


def test_a_silent_drill_is_ended_and_can_tidy_up(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.desk.drill.SILENCE_SECONDS", 0.5)
    (tmp_path / "wait").touch()
    node.says(None, json.dumps({"event": "plan", "rows": 3}))
    with pytest.raises(TimedOut, match="has said nothing for"):
        drill(node.shell, Asked(), Saying())
    assert (tmp_path / "ended").exists()


def test_ctrl_c_ends_the_drill_on_the_node(node: Node, tmp_path: Path) -> None:
    (tmp_path / "wait").touch()

    class Impatient(Saying):
        def warn(self, text: str) -> None:
            raise KeyboardInterrupt

    red = next(found for found in red_report().rows if not found.ok)
    node.says(None, json.dumps({"event": "row", **red.model_dump(mode="json")}))
    with pytest.raises(KeyboardInterrupt):
        drill(node.shell, Asked(), Impatient())
    assert (tmp_path / "ended").exists()
    assert (tmp_path / "read").read_bytes() == b""


def test_a_killed_desk_ends_the_drill_on_the_node(
    node: Node, server: tuple[Path, Sshd, Shell], tmp_path: Path
) -> None:
    (tmp_path / "wait").touch()
    node.says(None, json.dumps({"event": "plan", "rows": 3}))
    _, running, _ = server
    script = (
        "from pathlib import Path\n"
        "from appliance.desk.drill import Asked, drill\n"
        "from appliance.desk.remote import Shell\n"
        "from tests.desk.saying import Saying\n"
        f"with Shell('127.0.0.1', Path({str(running.client_key)!r}), [{running.host_key!r}],"
        f" {getpass.getuser()!r}, {running.port}) as shell:\n"
        "    drill(shell, Asked(), Saying())\n"
    )
    desk = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT)
    try:
        until((tmp_path / "asked").exists, 30)
        os.kill(desk.pid, signal.SIGKILL)
    finally:
        desk.kill()
        desk.wait()
    until((tmp_path / "ended").exists, 20)
