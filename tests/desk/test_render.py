"""Templates: what they may name is there, what they may not is told, and values cannot break out of JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract.router_admin import DRILL_WORKLOADS
from appliance.contract.router_policy import PORT, Deadlines
from appliance.contract.trouble import Trouble
from appliance.desk import assets
from appliance.desk.render import render
from appliance.desk.settings import Settings
from tests.desk.configs import FULL, read
from tests.desk.samples import SETTINGS

SAID = read(FULL).settings
EDGE = Path(__file__).parents[2] / "image/files/etc/haproxy/haproxy.cfg"


def files_of(settings: Settings) -> dict[str, bytes]:
    return render(settings, assets.templates())


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


def test_the_gateway_knows_one_provider_which_is_the_router_and_nothing_of_the_others() -> None:
    config = json.loads(files_of(SAID)["openclaw.json"])
    (name,) = config["models"]["providers"]
    assert name == "router"
    assert config["models"]["providers"]["router"]["baseUrl"] == f"http://127.0.0.1:{PORT}/v1"
    text = json.dumps(config)
    for provider in SAID.providers:
        assert provider.base_url not in text
        assert f"provider-{provider.name}" not in text


def test_each_workload_and_each_of_a_drills_lanes_is_a_model_that_is_allowed_and_has_a_path() -> None:
    files = files_of(SAID)
    config = json.loads(files["openclaw.json"])
    names = [workload.name for workload in SAID.workloads] + list(DRILL_WORKLOADS)
    assert [model["id"] for model in config["models"]["providers"]["router"]["models"]] == names
    assert config["agents"]["defaults"]["modelPolicy"]["allow"] == [f"router/{name}" for name in names]
    assert config["agents"]["defaults"]["model"] == {"primary": "router/code", "fallbacks": []}
    lines = [line for line in files["edge.map"].decode().splitlines() if line and line[0] != "#"]
    paths = dict(line.split() for line in lines)
    assert paths == {name: f"router/{name}" for name in names} | {"*": "router/code"}


def test_the_gateway_is_told_the_largest_window_that_any_model_of_a_workload_has() -> None:
    models = json.loads(files_of(SAID)["openclaw.json"])["models"]["providers"]["router"]["models"]
    assert {m["id"]: m["contextWindow"] for m in models}["long"] == 1_000_000
    assert {m["id"]: m["contextWindow"] for m in models}["code"] == 128_000


@pytest.mark.parametrize("total", [120, 570, 599.5, 600])
def test_the_router_gives_up_before_the_gateway_and_that_before_the_edge(total: float) -> None:
    short, long = (replace(SAID.workloads[0], deadlines=Deadlines(total=t, start=100)) for t in (110, total))
    config = json.loads(files_of(replace(SAID, workloads=(long, short)))["openclaw.json"])
    asked = config["models"]["providers"]["router"]["timeoutSeconds"]
    edge = re.search(r"timeout server (\d+)s", EDGE.read_text())
    assert edge
    assert total + 20 <= asked < config["agents"]["defaults"]["timeoutSeconds"] < int(edge[1])
