"""Templates: what they may name is there, what they may not is told, and values cannot break out of JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract.trouble import Trouble
from appliance.desk import assets
from appliance.desk.render import render
from tests.desk.samples import SETTINGS


def test_a_template_that_names_what_is_not_there_says_which() -> None:
    with pytest.raises(Trouble, match=r"The template bad\.json\.j2 cannot be rendered") as caught:
        render(SETTINGS, {"bad.json.j2": "{{ wokloads }}"})
    assert "wokloads" in caught.value.why


@given(st.text())
def test_any_value_stays_inside_its_json_string(name: str) -> None:
    files = render(replace(SETTINGS, name=name), {"x.json.j2": '{"n": {{ name | tojson }}, "end": 1}\n'})
    assert json.loads(files["x.json"]) == {"n": name, "end": 1}


def test_a_file_without_the_ending_goes_as_it_is() -> None:
    assert render(SETTINGS, {"plain": "{{ as it is }}\n"}) == {"plain": b"{{ as it is }}\n"}


def test_the_image_s_own_templates_render_and_json_is_json() -> None:
    files = render(SETTINGS, assets.templates())
    assert {"openclaw.json", "edge.map", "nftables-allow.nft"} <= set(files)
    for path, content in files.items():
        if path.endswith(".json"):
            json.loads(content)
