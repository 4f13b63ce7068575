"""What the router says of itself is what the report and the health page read."""

from __future__ import annotations

from appliance.contract.router_policy import RouterPolicy
from appliance.node.router.keys import Keys
from appliance.node.router.switchboard import InForce, Switchboard
from appliance.node.router_account import breakers
from tests.node.test_router_files import POLICY


def test_its_breakers_are_read_as_it_tells_them() -> None:
    board = Switchboard(InForce(RouterPolicy.model_validate(POLICY), Keys({"provider-alpha": "k"})))
    told = [(b.provider, b.model, b.state, b.cause) for b in breakers(board.health(0.0))]
    assert told == [("alpha", "m", "closed", None)]


def test_of_a_router_that_does_not_answer_or_says_something_else_nothing_is_told() -> None:
    assert breakers(None) == breakers({}) == breakers({"breakers": [{"provider": "alpha"}]}) == []
