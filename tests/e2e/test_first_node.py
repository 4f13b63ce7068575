"""From an empty lab to answers, and what the node is like: in the order in which an operator meets it."""

from __future__ import annotations

import socket

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from appliance.desk.remote import Shell
from tests.e2e.conftest import Desk, Node, node_shell, openai_client

pytestmark = pytest.mark.lab

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Which vendor are you?"}]


def test_an_unchanged_build_uses_the_verified_snapshot_again(baked: Desk) -> None:
    first = baked.does("build", "--json").json
    assert first["reused"]
    assert [i["labels"]["appliance-verified"] for i in baked.cloud().all("images", type="snapshot")] == [
        "yes"
    ]


def test_a_build_leaves_nothing_but_its_snapshot(baked: Desk) -> None:
    roles = {"bake", "scratch"}
    left = [s["name"] for s in baked.cloud().all("servers") if s["labels"]["appliance-role"] in roles]
    assert left == []


def test_a_plan_does_nothing(baked: Desk) -> None:
    before = baked.cloud().billable()
    baked.does("deploy", "--plan")
    assert baked.cloud().billable() == before


@pytest.mark.parametrize("workload", ["code", "batch"])
def test_each_workload_is_answered_by_its_primary(node: Node, workload: str) -> None:
    client = openai_client(node.desk, node.address, workload)
    answer = client.chat.completions.create(model="openclaw", messages=QUESTION)
    assert node.primary_of(workload) in (answer.choices[0].message.content or "")


def test_a_stream_says_the_same_as_a_plain_answer_and_comes_in_pieces(node: Node) -> None:
    client = openai_client(node.desk, node.address, "code")
    stream = client.chat.completions.create(model="openclaw", messages=QUESTION, stream=True)
    pieces = [c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content]
    assert len(pieces) > 1
    assert node.primary_of("code") in "".join(pieces)


def test_a_wrong_token_is_refused(node: Node) -> None:
    client = openai_client(node.desk, node.address, "code").with_options(api_key="not-the-token")
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="openclaw", messages=QUESTION)


def test_an_unknown_workload_is_not_found(node: Node) -> None:
    client = openai_client(node.desk, node.address, "nobody")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="openclaw", messages=QUESTION)


def test_a_second_deploy_changes_nothing_and_says_so(node: Node) -> None:
    before = node.desk.cloud().all("servers")
    again = node.desk.does("deploy", "--json").json
    assert again["applied"] is False
    assert again["changes"] == []
    assert [s["id"] for s in node.desk.cloud().all("servers")] == [s["id"] for s in before]
    assert "nothing changed" in node.desk.does("deploy").out


def test_status_tells_all_of_it(node: Node) -> None:
    status = node.desk.does("status", "--json").json
    (told,) = status["nodes"]
    assert told["gateway"] == "ready"
    assert told["bundle"] == told["bundle_wanted"]
    assert told["snapshot"] == status["newest_snapshot"]
    assert told["router"] == "ready"
    assert {breaker["state"] for breaker in told["breakers"]} == {"closed"}
    assert node.address in told["certificate_names"]
    assert {"gateway", "router", "canary", "disk", "memory", "clock", "draining"} <= {
        check["name"] for check in told["checks"]
    }


def test_a_lab_that_has_machines_is_not_taken_down_unasked(node: Node) -> None:
    refused = node.desk.tries("lab", "down")
    assert refused.code == 8
    assert "demo-1" in refused.err
    assert node.desk.does("lab", "status", "--json").json["up"]


def test_only_ssh_and_tls_are_open_to_the_world(node: Node) -> None:
    open_ports = []
    for port in (22, 80, 443, 8790, 8791, 18789):
        with socket.socket() as wire:
            wire.settimeout(1)
            if wire.connect_ex((node.address, port)) == 0:
                open_ports.append(port)
    assert open_ports == [22, 443]


def test_the_private_address_is_on_its_card_with_the_right_mtu(node: Node) -> None:
    (server,) = node.desk.cloud().all("servers")
    (private,) = server["private_net"]
    with node_shell(node) as shell:
        link = shell.check(["ip", "-o", "address"]) + shell.check(["ip", "-o", "link"])
    assert f"{private['ip']}/32" in link
    assert "mtu 1450" in next(line for line in link.splitlines() if private["mac_address"] in line)


def test_the_metadata_service_is_closed_to_all_but_root(node: Node) -> None:
    ask = ["curl", "--silent", "--max-time", "3", "http://169.254.169.254/hetzner/v1/userdata"]
    with node_shell(node) as shell:
        assert "ssh_keys" in shell.check(ask)
        assert shell.run(["runuser", "-u", "nobody", "--", *ask]).code != 0


def test_the_first_host_key_is_gone_and_the_lasting_one_is_in_the_label(node: Node) -> None:
    (server,) = node.desk.cloud().all("servers")
    assert "appliance-first-host-key" not in server["labels"]
    with node_shell(node) as shell:  # it pins the label's key
        keys = shell.check(["find", "/etc/ssh", "-name", "*_key"]).split()
        offered = shell.check(["sshd", "-T"]).lower()
    assert keys == ["/etc/ssh/appliance_host_ed25519_key"]
    assert "passwordauthentication no" in offered


def test_secrets_are_nowhere_in_the_clear(node: Node) -> None:
    """Not on the node's disk, in its journal, its processes, its user-data, nor at the API."""
    secrets = [path.read_text().strip() for path in node.desk.secret_files()]
    assert len(secrets) >= 3
    with node_shell(node) as shell:
        for secret in secrets:
            assert _places(shell, secret) == []
        userdata = shell.check(["curl", "-s", "http://169.254.169.254/hetzner/v1/userdata"])
    assert not any(secret in userdata for secret in secrets)


def _places(shell: Shell, secret: str) -> list[str]:
    """Where on the node it stands; it goes there by standard input, never as an argument."""
    search = """
    read -r secret
    for tree in /etc /var /root /home /opt /srv /tmp /usr/local; do
        printf '%s\\n' "$secret" | grep -rlF --devices=skip -f /dev/stdin "$tree" 2>/dev/null
    done
    journalctl --no-pager -q | grep -cF -f <(printf '%s\\n' "$secret") | sed 's/^0$//'
    for process in /proc/[0-9]*; do
        for part in cmdline environ; do
            tr '\\0' '\\n' < "$process/$part" 2>/dev/null |
                grep -qF -f <(printf '%s\\n' "$secret") && echo "$process/$part"
        done
    done
    exit 0
    """
    return shell.check(["bash", "-c", search], input=f"{secret}\n".encode()).split()
