"""Activation switches at once, rolls back what does not come up, and converges when it was cut short."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.contract import bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node import activate
from appliance.node.router_account import Unanswered
from appliance.node.system import Paths
from tests.node.test_receive import manifest_of


class Killed(BaseException):
    """The process ends here."""


@dataclass
class PaperServices:
    """Notes what it is told; `bad` configs do not come up, `killed_at` ends the process at that call.

    `deaf`: the gateway takes nothing while it runs.
    """

    paths: Paths
    bad: set[str] = field(default_factory=set)
    killed_at: str | None = None
    done: list[str] = field(default_factory=list)
    deaf: bool = False
    router_says: NodeTrouble | None = None  # to what it is given while it runs
    router_runs: str | None = None
    edge_fails: bool = False
    gateway_runs: str | None = None  # the digest it was started with, or given
    edge_runs: bool = False

    def _note(self, call: str) -> None:
        if call == self.killed_at:
            raise Killed
        self.done.append(call)

    def router_up(self) -> bool:
        return self.router_runs is not None

    def gateway_up(self) -> bool:
        return self.gateway_runs is not None

    def edge_up(self) -> bool:
        return self.edge_runs

    def give_router(self) -> None:
        self._note("give router")
        if self.router_says is not None:
            raise self.router_says
        self.router_runs = activate.in_force(self.paths)

    def restart_router(self) -> None:
        self._note("restart router")
        self.router_runs = activate.in_force(self.paths)

    def give_gateway(self, *, config: bool, secrets: bool) -> None:
        self._note("give " + " ".join(["config"] * config + ["secrets"] * secrets))
        if self.deaf or activate.in_force(self.paths) in self.bad:
            raise NodeTrouble("The gateway did not apply it.")
        self.gateway_runs = activate.in_force(self.paths)

    def restart_gateway(self) -> None:
        self._note("restart gateway")
        self.gateway_runs = activate.in_force(self.paths)

    def restart_edge(self) -> None:
        self._note("restart edge")
        self.edge_runs = True

    def reload_edge(self) -> None:
        self._note("reload edge")

    def reload_firewall(self) -> None:
        self._note("reload firewall")

    def wait_router(self) -> None:
        self._note("wait router")

    def wait_gateway(self) -> None:
        self._note("wait gateway")
        if self.gateway_runs in self.bad:
            raise NodeTrouble("openclaw.service has ended (failed).", why="the journal's end")

    def wait_edge(self) -> None:
        self._note("wait edge")
        if self.edge_fails:
            self.edge_fails = False
            raise NodeTrouble("haproxy.service did not answer.")

    def stop(self) -> None:
        self._note("stop")
        self.router_runs, self.gateway_runs, self.edge_runs = None, None, False


class Node:
    def __init__(self, root: Path) -> None:
        self.paths = Paths(
            bundles=root / "bundles",
            current=root / "current",
            tls=root / "tls",
            own_tls=root / "tls-own",
            applied=root / "run" / "applied",
            lock=root / "run" / "lock",
        )
        self.paths.own_tls.mkdir()
        (self.paths.own_tls / "certificate.pem").write_text("chain")
        (root / "run").mkdir()
        self.services = PaperServices(self.paths)
        self.said: list[dict[str, object]] = []

    def receive(
        self,
        config: bytes,
        *,
        policy: bytes = b"1",
        edge: bytes = b"1",
        key: str = "k" * 8,
        token: str = "t" * 8,
        certificate: bool = False,
    ) -> str:
        files = {"openclaw.json": config, bundle.ROUTER_POLICY: policy, "edge.map": edge}
        files |= {bundle.TLS_CHAIN: b"chain"} if certificate else {}
        secrets = {bundle.GATEWAY_TOKEN: token, bundle.PROVIDER + "alpha": key}
        secrets |= {bundle.TLS_KEY: "k"} if certificate else {}
        manifest = manifest_of(files, secrets)
        folder = self.paths.bundles / manifest.digest
        folder.mkdir(parents=True)
        (folder / bundle.MANIFEST).write_text(manifest.model_dump_json())
        return manifest.digest

    def activate(self, digest: str) -> bool:
        self.said.clear()
        self.services.done.clear()
        return activate.activate(
            digest, lambda line: self.said.append(json.loads(line)), self.paths, self.services
        )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


WAITS = ["wait router", "wait gateway", "wait edge"]


def test_the_first_bundle_starts_everything(node: Node) -> None:
    digest = node.receive(b"1")
    assert node.activate(digest)
    started = ["reload firewall", "restart router", "restart gateway", "restart edge"]
    assert node.services.done == started + WAITS
    assert (node.services.gateway_runs, activate.in_force(node.paths)) == (digest, digest)
    assert node.said[-1] == {"ok": True, "rolled_back": False}


def test_the_same_bundle_again_only_looks(node: Node) -> None:
    digest = node.receive(b"1")
    node.activate(digest)
    assert node.activate(digest)
    assert node.services.done == WAITS


def test_what_runs_is_given_what_changed_and_not_restarted(node: Node) -> None:
    node.activate(node.receive(b"1"))
    parts: dict[str, Any] = {"config": b"1"}
    for change, given in (
        ({"config": b"2"}, ["give config"]),
        ({"key": "new"}, ["give router"]),
        ({"policy": b"2"}, ["give router"]),
        ({"config": b"3", "policy": b"3"}, ["give router", "give config"]),
        ({"edge": b"2"}, ["reload edge"]),
    ):
        parts |= change
        assert node.activate(node.receive(**parts))
        assert node.services.done == given + WAITS


def test_a_new_token_is_given_to_the_gateway(node: Node) -> None:
    node.activate(node.receive(b"1"))
    assert node.activate(node.receive(b"1", token="new"))
    assert "give secrets" in node.services.done
    assert not any(done.startswith("restart") for done in node.services.done)


def test_who_is_asked_has_a_new_workload_before_who_asks_and_on_the_way_back_keeps_it_longest(
    node: Node,
) -> None:
    old, new = node.receive(b"1"), node.receive(b"2", policy=b"2", edge=b"2")
    node.activate(old)
    node.services.edge_fails = True
    assert not node.activate(new)
    there = ["give router", "give config", "reload edge"]
    assert node.services.done == there + WAITS + there[::-1] + WAITS
    assert (node.services.gateway_runs, node.services.router_runs) == (old, old)


def test_a_gateway_that_does_not_take_it_live_is_started_anew(node: Node) -> None:
    node.activate(node.receive(b"1"))
    node.services.deaf = True
    new = node.receive(b"2")
    assert node.activate(new)
    assert node.services.done == ["give config", "restart gateway", *WAITS]
    assert node.services.gateway_runs == new


def test_a_router_that_does_not_answer_is_started_anew(node: Node) -> None:
    node.activate(node.receive(b"1"))
    node.services.router_says = Unanswered("The router does not answer root.")
    new = node.receive(b"1", policy=b"2")
    assert node.activate(new)
    assert node.services.done == ["give router", "restart router", *WAITS]
    assert node.services.router_runs == new


def test_a_policy_that_the_router_refuses_ends_no_stream_and_is_taken_back(node: Node) -> None:
    old = node.receive(b"1")
    node.activate(old)
    node.services.router_says = NodeTrouble("The router refuses /reload.", why="its own words")
    assert not node.activate(node.receive(b"2", policy=b"2"))
    assert "restart router" not in node.services.done
    assert activate.in_force(node.paths) == old
    assert node.said[-1]["tail"] == "its own words"


def test_a_router_that_does_not_run_is_started(node: Node) -> None:
    node.activate(node.receive(b"1"))
    node.services.router_runs = None
    assert node.activate(node.receive(b"2"))
    assert node.services.done == ["restart router", "give config", *WAITS]


def test_rolling_back_goes_the_same_ways_and_leaves_alone_what_had_not_changed(node: Node) -> None:
    old, new = node.receive(b"1"), node.receive(b"2")
    node.activate(old)
    node.services.edge_fails = True
    assert not node.activate(new)
    assert node.services.done == ["give config", *WAITS, "give config", *WAITS]
    assert node.services.gateway_runs == old
    assert node.said[-1]["rolled_back"] is True
    assert node.activate(old)
    assert node.services.done == WAITS


def test_a_bundle_that_does_not_come_up_is_rolled_back(node: Node) -> None:
    old, new = node.receive(b"1"), node.receive(b"2")
    node.activate(old)
    node.services.bad = {new}
    assert not node.activate(new)
    assert (activate.in_force(node.paths), node.services.gateway_runs) == (old, old)
    assert node.said[-1] == {
        "ok": False,
        "rolled_back": True,
        "error": "openclaw.service has ended (failed).",
        "tail": "the journal's end",
    }


def test_with_nothing_to_roll_back_to_the_services_wait_again(node: Node) -> None:
    digest = node.receive(b"1")
    node.services.bad = {digest}
    assert not node.activate(digest)
    assert (activate.in_force(node.paths), node.services.gateway_runs) == (None, None)
    assert node.said[-1]["rolled_back"] is False


@pytest.mark.parametrize("moment", ["give router", "give config", "reload edge", "wait gateway", "wait edge"])
def test_killed_at_any_moment_the_next_activation_converges(node: Node, moment: str) -> None:
    old, new = node.receive(b"1"), node.receive(b"2", policy=b"2", edge=b"2")
    node.activate(old)
    node.services.killed_at = moment
    with pytest.raises(Killed):
        node.activate(new)
    node.services.killed_at = None
    assert node.activate(new)
    assert (activate.in_force(node.paths), node.services.gateway_runs) == (new, new)
    assert node.services.router_runs == new
    assert node.activate(new)
    assert node.services.done == WAITS


def test_the_edge_serves_the_bundle_s_certificate_and_goes_back_to_its_own(node: Node) -> None:
    own, files = node.receive(b"1"), node.receive(b"1", certificate=True)
    node.activate(own)
    assert node.paths.tls.readlink() == Path("tls-own")
    node.activate(files)
    assert node.paths.tls.readlink() == Path("current/tls")
    assert "restart edge" in node.services.done
    node.activate(own)
    assert node.paths.tls.readlink() == Path("tls-own")
    assert "restart edge" in node.services.done


def test_without_a_certificate_nothing_is_put_in_force(node: Node) -> None:
    (node.paths.own_tls / "certificate.pem").unlink()
    assert not node.activate(node.receive(b"1"))
    assert activate.in_force(node.paths) is None
    assert node.said[-1]["error"] == "The node has no certificate yet."


@pytest.mark.parametrize("digest", ["0" * 64, "../bundles", ""])
def test_a_bundle_that_is_not_there_is_told(node: Node, digest: str) -> None:
    assert not node.activate(digest)
    assert "There is no bundle" in str(node.said[-1]["error"])


def test_old_bundles_go_but_three_stay(node: Node) -> None:
    digests = [node.receive(str(number).encode()) for number in range(5)]
    for digest in digests:
        node.activate(digest)
    assert len(list(node.paths.bundles.iterdir())) == 3
    assert activate.in_force(node.paths) == digests[-1]
