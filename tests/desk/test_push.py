"""A push over a real SSH connection to a stand-in node: it sends what is new, and only that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from appliance.contract.bundle import GATEWAY_TOKEN
from appliance.contract.trouble import NodeTrouble
from appliance.desk import pki
from appliance.desk.bundle import Material
from appliance.desk.push import PushResult, certify, push
from appliance.desk.remote import Shell
from tests.desk.samples import SETTINGS
from tests.desk.saying import Saying
from tests.desk.sshd import sshd

NOW = datetime.now(UTC)
CHECKOUT = Path(__file__).parents[2]
MATERIAL = Material(
    templates={"openclaw.json.j2": '{"name": {{ name | tojson }}}\n'},
    secrets={GATEWAY_TOKEN: "gateway-value", "provider-alpha": "alpha-value"},
    authority=pki.make_ca("office", NOW),
)


class Node:
    """The stand-in's folder and a shell to it."""

    def __init__(self, folder: Path, shell: Shell) -> None:
        self.folder = folder
        self.shell = shell
        self.said = Saying()

    def push(self, material: Material = MATERIAL, now: datetime = NOW, name: str = "office") -> PushResult:
        self.said = Saying()
        (self.folder / "calls").write_text("")
        settings = replace(SETTINGS, name=name)
        return push(settings, material, self.shell, ["198.18.1.7"], now, self.said)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().split()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Shell]]:
    folder = tmp_path_factory.mktemp("sshd")
    link = folder / "state"
    script = folder / "appliance-node"
    script.write_text(
        f'#!/bin/sh\ncd {CHECKOUT}\nexec {sys.executable} -m tests.desk.standin_node {link} "$@"\n'
    )
    script.chmod(0o755)
    with sshd(folder, f"SetEnv PATH={folder}:/usr/bin:/bin\n") as server, server.shell() as open_shell:
        yield link, open_shell


@pytest.fixture
def node(shell: tuple[Path, Shell], tmp_path: Path) -> Node:
    link, open_shell = shell
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path)
    return Node(tmp_path, open_shell)


def test_a_new_node_gets_certificate_and_bundle(node: Node) -> None:
    result = node.push()
    assert result.bundle_changed
    assert result.certificate_renewed == "no certificate yet"
    assert node.calls == ["report", "csr", "certificate", "receive", "activate"]
    assert (node.folder / "current").read_text() == result.bundle
    leaf = x509.load_pem_x509_certificate((node.folder / "chain.pem").read_bytes())
    assert pki.certificate_names(leaf) == ["gateway.example.org", "198.18.1.7"]


def test_a_second_push_does_nothing_and_says_so(node: Node) -> None:
    first = node.push()
    second = node.push()
    assert not second.changed
    assert second.bundle == first.bundle
    assert node.calls == ["report"]
    assert [step.skipped is not None for step in node.said.steps] == [False, True, True]


def test_a_bundle_that_a_dead_desk_put_in_force_is_seen_to_come_up(node: Node) -> None:
    node.push()
    (node.folder / "gateway").write_text("active active")
    assert not node.push().changed
    assert (node.folder / "gateway").read_text() == ""
    (node.folder / "gateway").write_text("active failed")
    with pytest.raises(NodeTrouble, match="not become ready") as caught:
        node.push()
    assert caught.value.why == "it is failed"


def test_a_changed_secret_alone_is_pushed_and_the_certificate_kept(node: Node) -> None:
    node.push()
    rotated = replace(MATERIAL, secrets={**MATERIAL.secrets, "provider-alpha": "rotated-value"})
    result = node.push(rotated)
    assert (result.bundle_changed, result.certificate_renewed) == (True, None)
    assert node.calls == ["report", "receive", "activate"]


def test_a_certificate_near_its_end_is_renewed_without_a_new_bundle(node: Node) -> None:
    node.push()
    result = node.push(now=NOW + timedelta(days=380))
    assert not result.bundle_changed
    assert "it ends on" in str(result.certificate_renewed)
    assert node.calls == ["report", "csr", "certificate"]


def test_what_the_validator_refuses_changes_nothing_and_its_words_are_shown(node: Node) -> None:
    before = node.push().bundle
    (node.folder / "refuse").touch()
    with pytest.raises(NodeTrouble, match="Nothing was changed") as caught:
        node.push(name="other")
    assert "gateway.bnd: unknown key" in caught.value.why
    assert before[:12] in caught.value.fix
    assert "activate" not in node.calls
    assert (node.folder / "current").read_text() == before


def test_a_roll_back_says_why_and_what_is_in_force(node: Node) -> None:
    before = node.push().bundle
    (node.folder / "fail").touch()
    with pytest.raises(NodeTrouble, match="went back to the one before") as caught:
        node.push(name="other")
    assert "port in use" in caught.value.why
    assert before[:12] in caught.value.fix


def test_progress_of_the_switch_is_shown_as_it_comes(node: Node) -> None:
    result = node.push()
    assert node.said.steps[-1].details[0] == f"switch: {result.bundle[:12]}"


def test_with_a_certificate_from_files_the_node_is_not_asked_for_a_request(node: Node) -> None:
    from_files = replace(MATERIAL, authority=None, chain=b"CHAIN")
    assert node.push(from_files).certificate_renewed is None
    assert node.calls == ["report", "receive", "activate"]


def test_no_secret_stands_in_what_is_said(node: Node) -> None:
    result = node.push()
    shown = repr((result, node.said))
    assert "-value" not in shown
    assert "PRIVATE KEY" not in shown


def test_a_certificate_alone_is_renewed_for_another_address(node: Node) -> None:
    """As after a restore: what else the node has, it keeps."""
    node.push()
    (node.folder / "calls").write_text("")
    certify(SETTINGS, MATERIAL, node.shell, ["198.18.1.9"], NOW, node.said)
    assert node.calls == ["report", "csr", "certificate"]
    (node.folder / "calls").write_text("")
    certify(SETTINGS, MATERIAL, node.shell, ["198.18.1.9"], NOW, node.said)
    assert node.calls == ["report"]
