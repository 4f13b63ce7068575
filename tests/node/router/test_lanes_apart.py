"""Whatever drills do in their lanes, users' workloads get what they would have got without them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.contract.router_admin import Lane
from appliance.contract.router_policy import RouterPolicy
from appliance.contract.trouble import NodeTrouble
from appliance.node.router.breaker import Breaker, Permit
from appliance.node.router.classify import Cause, Outcome
from appliance.node.router.keys import Keys
from appliance.node.router.relay import Candidate
from appliance.node.router.switchboard import InForce
from appliance.node.router.switchboards import Switchboards

NAMES = ("alpha", "beta")


def provider(name: str) -> dict[str, str]:
    return {"api": "openai", "base_url": f"http://{name}/v1", "credential": name.removeprefix("drill-")}


def pair(first: str, second: str) -> dict[str, Any]:
    """The same models for users and lanes: only the providers' names tell them apart."""
    models = {name: name.removeprefix("drill-") + "-large" for name in (first, second)}
    return {
        "primary": {"provider": first, "model": models[first]},
        "fallbacks": [{"provider": second, "model": models[second]}],
    }


def force(names: tuple[str, str] = NAMES, salt: str = "") -> InForce:
    policy = {"providers": {n: provider(n) for n in NAMES}, "workloads": {"code": pair(*names)}}
    return InForce(RouterPolicy.model_validate(policy), Keys({n: f"key of {n}{salt}" for n in NAMES}))


def lane(seconds: float = 60, keep: bool = False, turned: bool = False) -> Lane:
    shadows = ("drill-beta", "drill-alpha") if turned else ("drill-alpha", "drill-beta")
    return Lane.model_validate(
        {
            "seconds": seconds,
            "keep": keep,
            "workload": pair(*shadows),
            "providers": {name: provider(name) for name in shadows},
        }
    )


def order(boards: Switchboards, model: str, now: float) -> list[Any]:
    found = boards.find(model, now)
    assert found is not None, f"{model} is unknown"
    board, workload = found
    return [(c.target.provider, c.key, c.open) for c in board.candidates(workload, now)]


LANES = st.sampled_from(["1", "2"])
CAUSES = st.sampled_from(list(Cause))


class AnyDrill(RuleBasedStateMachine):
    """Two routers live through the same; in one there are drills beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.in_force = force()
        self.drilled, self.quiet = (Switchboards(lambda: self.in_force) for _ in range(2))
        self.running: list[list[tuple[Breaker, Permit]]] = []
        self.lane_runs: list[tuple[Breaker, Permit]] = []

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(names=st.permutations(NAMES), salt=st.sampled_from(["", "2"]))
    def a_policy_comes_into_force(self, names: list[str], salt: str) -> None:
        self.in_force = force((names[0], names[1]), salt)
        self.drilled.reload()
        self.quiet.reload()

    @rule()
    def a_user_asks(self) -> None:
        self.running.append([self._start(boards, "code") for boards in (self.drilled, self.quiet)])

    @precondition(lambda self: self.running)
    @rule(cause=st.none() | CAUSES)
    def a_user_is_answered_or_not(self, cause: Cause | None) -> None:
        for breaker, permit in self.running.pop(0):
            self._end(breaker, permit, cause)

    @rule(name=LANES, seconds=st.floats(1, 300), keep=st.booleans(), turned=st.booleans())
    def a_lane_opens(self, name: str, seconds: float, keep: bool, turned: bool) -> None:
        self.drilled.open(name, lane(seconds, keep, turned), self.now)

    @rule(name=LANES)
    def a_lane_closes(self, name: str) -> None:
        self.drilled.close(name)

    @rule(name=LANES)
    def a_drill_asks(self, name: str) -> None:
        if self.drilled.find(f"drill-{name}", self.now):
            self.lane_runs.append(self._start(self.drilled, f"drill-{name}"))

    @precondition(lambda self: self.lane_runs)
    @rule(cause=st.none() | CAUSES)
    def a_drill_is_answered_or_not(self, cause: Cause | None) -> None:
        self._end(*self.lane_runs.pop(0), cause)

    @invariant()
    def users_get_the_same(self) -> None:
        assert order(self.drilled, "code", self.now) == order(self.quiet, "router/code", self.now)
        assert self.drilled.users.health(self.now) == self.quiet.users.health(self.now)

    def _start(self, boards: Switchboards, model: str) -> tuple[Breaker, Permit]:
        board, workload = boards.find(model, self.now) or pytest.fail(f"{model} is unknown")
        first: Candidate = board.candidates(workload, self.now)[0]
        return first.breaker, first.breaker.start(self.now)

    def _end(self, breaker: Breaker, permit: Permit, cause: Cause | None) -> None:
        if cause:
            breaker.failed(permit, Outcome(cause), self.now)
        else:
            breaker.succeeded(permit)


TestApart = AnyDrill.TestCase
TestApart.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def fail(boards: Switchboards, model: str, now: float) -> None:
    board, workload = boards.find(model, now) or pytest.fail(f"{model} is unknown")
    first = board.candidates(workload, now)[0]
    first.breaker.failed(first.breaker.start(now), Outcome(Cause.ACCESS_REFUSED), now)


def test_a_lane_is_known_until_its_lease_ends() -> None:
    boards = Switchboards(force)
    boards.open("1", lane(seconds=10), now=0)
    assert boards.find("router/drill-1", 9.9)
    assert boards.lanes(9)["1"]["seconds"] == 1
    assert boards.find("router/drill-1", 10) is None
    assert boards.lanes(9.5) == {}, "and forgotten at that"


@pytest.mark.parametrize("keep", [True, False])
def test_a_lane_put_anew_has_closed_breakers_unless_they_are_kept(keep: bool) -> None:
    boards = Switchboards(force)
    boards.open("1", lane(), now=0)
    fail(boards, "drill-1", 1)
    assert order(boards, "drill-1", 2)[0][0] == "drill-beta"
    boards.open("1", lane(keep=keep), now=2)
    assert order(boards, "drill-1", 3)[0][0] == ("drill-beta" if keep else "drill-alpha")


def test_a_lane_that_ended_leaves_no_breaker_to_keep() -> None:
    boards = Switchboards(force)
    boards.open("1", lane(seconds=10), now=0)
    fail(boards, "drill-1", 1)
    boards.open("1", lane(keep=True), now=11)
    assert order(boards, "drill-1", 12)[0][0] == "drill-alpha"


def test_a_reload_keeps_lanes_and_gives_them_the_new_keys() -> None:
    box = [force()]
    boards = Switchboards(lambda: box[0])
    boards.open("1", lane(), now=0)
    fail(boards, "drill-1", 1)
    box[0] = force(salt="2")
    boards.reload()
    assert order(boards, "drill-1", 2) == [
        ("drill-alpha", "key of alpha2", None),
        ("drill-beta", "key of beta2", None),
    ]


def test_lanes_know_nothing_of_one_another() -> None:
    boards = Switchboards(force)
    boards.open("1", lane(), now=0)
    boards.open("2", lane(), now=0)
    fail(boards, "drill-1", 1)
    assert order(boards, "drill-2", 2)[0] == ("drill-alpha", "key of alpha", None)


def test_a_users_workload_is_never_shadowed() -> None:
    policy = force().policy.model_dump()
    policy["workloads"]["drill-1"] = policy["workloads"]["code"]
    users = InForce(RouterPolicy.model_validate(policy), Keys({}))
    box = [force(), users]
    boards = Switchboards(lambda: box.pop(0))
    boards.open("1", lane(), now=0)
    boards.reload()
    assert order(boards, "drill-1", 1)[0][0] == "alpha"
    with pytest.raises(NodeTrouble, match="workload of users"):
        boards.open("1", lane(), now=1)
