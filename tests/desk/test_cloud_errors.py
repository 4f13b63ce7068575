from __future__ import annotations

import pytest

from appliance.desk.cloud import errors
from appliance.desk.model import ServerType, TypeLocation


def kind(name: str, architecture: str = "x86", **available: bool) -> ServerType:
    places = tuple(TypeLocation(place, there, False) for place, there in available.items())
    return ServerType(name, 2, 4, 40, architecture, places)


def test_a_wrong_token_says_where_to_make_one() -> None:
    trouble = errors.refusal("list the servers", "unauthorized", "unable to authenticate", None)
    assert "list the servers" in trouble.what
    assert "API tokens" in trouble.fix


def test_a_limit_is_named() -> None:
    details = {"limits": [{"name": "server_limit"}]}
    trouble = errors.refusal("create server x", "resource_limit_exceeded", "limit reached", details)
    assert "server_limit" in trouble.why
    assert errors.refusal("x", "resource_limit_exceeded", "limit reached", None).why.endswith("exceeded)")


def test_wrong_input_names_the_fields() -> None:
    details = {"fields": [{"name": "server_type", "messages": ["unknown"]}]}
    trouble = errors.refusal("create server x", "invalid_input", "invalid", details)
    assert "server_type: unknown" in trouble.why


def test_an_error_nobody_knows_still_says_what_next() -> None:
    for code in ("action_failed", "invalid_api_key"):
        assert "run the command again" in errors.refusal("create a server", code, "", None).fix


@pytest.mark.parametrize(("here", "word"), [(True, "lab up"), (False, "HCLOUD_ENDPOINT")])
def test_where_nobody_answers_the_way_there_is_doubted_first(here: bool, word: str) -> None:
    assert word in errors.unreachable("list the servers", "connection refused", this_machine=here).fix


@pytest.mark.parametrize("details", [None, [], {"fields": None}, {"limits": None}, "text"])
def test_details_of_any_shape_do_no_harm(details: object) -> None:
    for code in ("invalid_input", "resource_limit_exceeded", 502, "never_heard_of"):
        assert str(code) in errors.refusal("do it", code, "", details).why


def test_sold_out_says_where_it_is_to_be_had_and_what_else_there_is() -> None:
    types = [
        kind("cx23", fsn1=False, nbg1=True, hel1=True),
        kind("cx33", fsn1=True),
        kind("cpx11", fsn1=False),
        kind("cax11", "arm", fsn1=True),
    ]
    trouble = errors.sold_out("cx23", "fsn1", "error during placement", types)
    assert trouble.what == "cx23 is sold out in fsn1"
    assert "nbg1, hel1" in trouble.fix
    assert "fsn1 has cx33" in trouble.fix
    assert "cpx11" not in trouble.fix
    assert "cax11" not in trouble.fix, "a snapshot boots on one architecture"


def test_sold_out_everywhere_says_so() -> None:
    trouble = errors.sold_out("cx23", "fsn1", "", [kind("cx23", fsn1=False, nbg1=False)])
    assert "no location has cx23" in trouble.fix
