"""Backups by a node that says, over a real SSH connection, what it is told to: believed when it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.contract.backup import Kept, LastBackup
from appliance.contract.trouble import ExitCode, NodeTrouble, Trouble
from appliance.desk.backup import kept, make, verify
from appliance.desk.remote import Shell
from tests.desk.saying import Saying
from tests.desk.sshd import sshd

NODE = """#!/bin/sh
cd {state}
echo "$@" > asked
cat said
cat words >&2
exit $(cat code)
"""
NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
LAST = LastBackup(tried_at=NOW, at=NOW, id="1af0a11e", seconds=10.1, bytes=2_849_872, added=320_828)


class Node:
    def __init__(self, state: Path, shell: Shell) -> None:
        self.state = state
        self.shell = shell

    def says(self, *lines: object, code: int = 0, words: str = "") -> None:
        said = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (self.state / "said").write_text("".join(f"{line}\n" for line in said))
        (self.state / "words").write_text(words)
        (self.state / "code").write_text(str(code))

    @property
    def asked(self) -> str:
        return (self.state / "asked").read_text().strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Shell]]:
    folder = tmp_path_factory.mktemp("sshd")
    script = folder / "appliance-node"
    script.write_text(NODE.format(state=folder / "state"))
    script.chmod(0o755)
    with sshd(folder, f"SetEnv PATH={folder}:/usr/bin:/bin\n") as running, running.shell() as shell:
        yield folder / "state", shell


@pytest.fixture
def node(server: tuple[Path, Shell], tmp_path: Path) -> Node:
    link, shell = server
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path)
    return Node(tmp_path, shell)


def good(last: LastBackup = LAST) -> dict[str, object]:
    return {"ok": True, "last": last.model_dump(mode="json")}


def test_a_backup_comes_back_as_the_node_remembers_it_and_its_steps_are_told(node: Node) -> None:
    node.says({"event": "archive", "detail": "OpenClaw's own"}, "a word of something else", good())
    said = Saying()
    assert make(node.shell, said) == LAST
    assert node.asked == "backup run"
    assert "archive: OpenClaw's own" in said.steps[0].details


def test_a_repository_is_begun_anew_only_when_asked(node: Node) -> None:
    node.says(good())
    make(node.shell, Saying(), new_repository=True)
    assert node.asked == "backup run --new-repository"


BAD = {"ok": False, "error": "The store is full.", "why": "No space left", "fix": "Prune.", "last": None}


def test_a_backup_that_failed_is_told_in_the_nodes_words_and_fails_the_command(node: Node) -> None:
    node.says(BAD, code=4)
    said = Saying()
    with pytest.raises(Trouble) as caught:
        make(node.shell, said)
    assert (caught.value.what, caught.value.why) == ("The store is full.", "No space left")
    assert (caught.value.fix, caught.value.code) == ("Prune.", ExitCode.NODE)
    assert said.steps[0].failed


def test_a_store_that_does_not_verify_is_a_check_that_failed(node: Node) -> None:
    node.says(BAD, code=4)
    with pytest.raises(Trouble) as caught:
        verify(node.shell, Saying())
    assert caught.value.code is ExitCode.UNVERIFIED
    assert node.asked == "backup verify"


def test_a_bad_outcome_fails_whatever_the_exit_code(node: Node) -> None:
    node.says(BAD, code=0)
    with pytest.raises(Trouble, match="full"):
        make(node.shell, Saying())


@pytest.mark.parametrize("code", [0, 1, 4])
def test_without_an_outcome_no_backup_is_believed(node: Node, code: int) -> None:
    node.says({"event": "store", "detail": ""}, code=code, words="Killed")
    with pytest.raises(NodeTrouble, match="did not say how") as caught:
        make(node.shell, Saying())
    assert "Killed" in caught.value.why


@pytest.mark.parametrize("last", [None, {}, {"tried_at": "yesterday"}])
def test_an_outcome_of_another_shape_is_not_believed(node: Node, last: object) -> None:
    node.says({"ok": True, "last": last})
    with pytest.raises(NodeTrouble, match="cannot be read"):
        make(node.shell, Saying())


def test_a_node_from_before_backups_is_named_as_such(node: Node) -> None:
    node.says(
        code=2, words="appliance-node: error: argument command: invalid choice: 'backup' (choose from ...)"
    )
    with pytest.raises(NodeTrouble, match="knows no backups") as caught:
        make(node.shell, Saying())
    assert "appliance build" in caught.value.fix


def test_the_list_is_the_stores(node: Node) -> None:
    listed = (
        Kept(id="1af0a11e", at=NOW, name="office", bytes=5, added=3),
        Kept(id="ebb2c63e", at=NOW, name="office"),
    )
    node.says({"ok": True, "backups": [one.model_dump(mode="json") for one in listed]})
    assert kept(node.shell, Saying()) == listed
    assert node.asked == "backup list"
    node.says({"ok": True, "backups": "many"})
    with pytest.raises(NodeTrouble, match="cannot be read"):
        kept(node.shell, Saying())
