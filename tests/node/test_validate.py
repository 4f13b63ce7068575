"""What the gateway's validator says reaches the operator as lines, not as JSON."""

from __future__ import annotations

import json

from appliance.node.validate import issues


def test_each_issue_is_a_line_with_its_path() -> None:
    said = {
        "valid": False,
        "issues": [
            {"path": "gateway", "message": 'Unrecognized key: "bnd"'},
            {"path": "agents.entries", "message": "Required"},
        ],
    }
    assert issues(json.dumps(said)) == 'gateway: Unrecognized key: "bnd"\nagents.entries: Required'


def test_what_is_not_its_json_is_left_to_be_shown_as_it_is() -> None:
    for said in ("", "Segmentation fault", "[]", '{"issues": 3}', '{"issues": [{"path": "x"}]}', "null"):
        assert issues(said) == ""
