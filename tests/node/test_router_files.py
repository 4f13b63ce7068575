"""What the router gets of a bundle, and what it refuses before anything is staged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.contract import bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node import gateway_files, router_files

POLICY: dict[str, Any] = {
    "providers": {"alpha": {"api": "openai", "base_url": "http://a/v1", "credential": "provider-alpha"}},
    "workloads": {"code": {"primary": {"provider": "alpha", "model": "m"}, "fail_closed": True}},
}
SECRETS = {bundle.GATEWAY_TOKEN: "t", bundle.TLS_KEY: "s", "provider-alpha": "a", "provider-beta": "b"}


def files(policy: object) -> dict[str, bytes]:
    return {bundle.ROUTER_POLICY: json.dumps(policy).encode()}


def test_the_gateway_gets_its_token_the_router_the_keys_and_neither_more() -> None:
    assert json.loads(gateway_files.as_credential(SECRETS)) == {bundle.GATEWAY_TOKEN: "t"}
    assert json.loads(router_files.as_credential(SECRETS)) == {"provider-alpha": "a", "provider-beta": "b"}


def test_a_policy_whose_providers_have_keys_is_taken() -> None:
    router_files.judge(files(POLICY), SECRETS)


@pytest.mark.parametrize(
    ("given", "secrets", "why"),
    [
        ({}, SECRETS, "no router.json"),
        (files([]), SECRETS, "should be an object"),
        (files(POLICY | {"workloads": {}}), SECRETS, "workloads: "),
        (files(POLICY | {"mistake": 1}), SECRETS, "mistake: "),
        (files(POLICY), {bundle.GATEWAY_TOKEN: "t"}, "provider alpha has no key"),
        (files(POLICY), SECRETS | {"provider-alpha": "a\nb"}, "no HTTP header can carry alpha's key"),
    ],
)
def test_what_the_router_could_not_work_with_is_refused_in_words(
    given: dict[str, bytes], secrets: dict[str, str], why: str
) -> None:
    with pytest.raises(NodeTrouble) as caught:
        router_files.judge(given, secrets)
    assert why in caught.value.why
