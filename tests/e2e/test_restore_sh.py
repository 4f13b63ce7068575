"""restore.sh alone, on machines that have nothing but it, the store's address, its passphrase and a key."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openai import DefaultHttpxClient, OpenAI

from appliance.desk.remote import Shell
from tests.e2e.conftest import Node, node_shell, openai_client
from tests.e2e.machines import Machine, Rows, machine, rows
from tests.e2e.test_backup import Box, complaints, run

pytestmark = pytest.mark.lab

STATES = 12
STATE = "/var/lib/openclaw"
READY = ["sh", "-c", "until curl -sf http://127.0.0.1:18789/readyz; do sleep 1; done"]
KILLED_AT = (
    "Fetch it",
    "Verify it",
    "Software",
    "State",
    "Secrets and certificate",
    "Start",
    "Ask every workload",
)
# A first slash or exclamation mark would make it a command of the gateway's.
SAID = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=600).filter(
    lambda text: bool(text.strip()) and text.strip()[0] not in "/!"
)
USER = st.from_regex(r"[a-z]{3,12}-[0-9]{1,4}", fullmatch=True)


@dataclass(frozen=True)
class Past:
    """What was said on the node before it was backed up, and how it lay in its databases."""

    said: dict[str, list[str]]  # by user
    rows: Rows


@pytest.fixture
def shell(node: Node) -> Iterator[Shell]:
    with node_shell(node) as shell:
        yield shell


@pytest.fixture
def box(node: Node) -> Iterator[Box]:
    box = Box(node)
    yield box
    box.console("DELETE", "/fault")


@pytest.fixture(scope="module")
def past(node: Node) -> Past:
    client = openai_client(node.desk, node.address, "code")
    said: dict[str, list[str]] = {}

    @settings(
        max_examples=STATES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(USER, st.lists(SAID, min_size=1, max_size=3))
    def live(user: str, words: list[str]) -> None:
        for text in words:
            says(client, user, text)
        said.setdefault(user, []).extend(words)

    live()
    with node_shell(node) as shell:
        assert run(shell)["ok"]
        return Past(said, rows(shell))


@pytest.fixture(scope="module")
def fresh(node: Node, past: Past) -> Iterator[Machine]:
    """From the node's own snapshot."""
    server = next(one for one in node.desk.cloud().all("servers") if address_of(one) == node.address)
    with machine(node, "fresh", server["image"]["id"]) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def lost(node: Node, fresh: Machine) -> Iterator[None]:
    """The node itself, as long as a machine is in its place."""
    server = next(one for one in node.desk.cloud().all("servers") if address_of(one) == node.address)
    actions = f"servers/{server['id']}/actions"
    node.desk.cloud().create(f"{actions}/poweroff", {})
    yield
    node.desk.cloud().create(f"{actions}/poweron", {})
    with node_shell(node) as shell:
        shell.check(READY, timeout=300)


def says(client: OpenAI, user: str, text: str) -> None:
    client.chat.completions.create(model="openclaw", user=user, messages=[{"role": "user", "content": text}])


def address_of(server: dict[str, Any]) -> str | None:
    return (server["public_net"]["ipv4"] or {}).get("ip")


def asked_at(node: Node, address: str) -> OpenAI:
    """Its certificate is of the old node's address, which has not moved here."""
    trust = ssl.create_default_context(cafile=str(node.desk.folder / "secrets" / "ca.crt"))
    trust.check_hostname = False
    return OpenAI(
        base_url=f"https://{address}/code/v1",
        api_key=(node.desk.folder / "secrets" / "gateway-token").read_text().strip(),
        http_client=DefaultHttpxClient(verify=trust),
        timeout=120,
        max_retries=0,
    )


def flip_bytes(repository: Path) -> None:
    """One in every pack: a verification reads a share of them."""
    for pack in (repository / "data").glob("*/*"):
        content = bytearray(pack.read_bytes())
        if not content:  # all that came of it before a line was cut
            continue
        content[len(content) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)


def test_flipped_bytes_in_the_store_are_found_from_both_sides(
    node: Node, shell: Shell, box: Box, fresh: Machine
) -> None:
    box.console("PUT", "/snapshots/whole")
    try:
        flip_bytes(Path(box.console("GET")["files"]) / node.config()["backup"]["repository"]["path"])
        verified = shell.run(["appliance-node", "backup", "verify"], timeout=300)
        assert verified.code == 4
        assert "damaged" in verified.out.splitlines()[-1]
        assert "did not verify" in complaints(shell)[0]
        restored = fresh.restores("--fetch-only")
        assert restored.code == 1
        assert "Some of the backup is damaged in the store" in restored.out
    finally:
        box.console("POST", "/snapshots/whole/roll_back")
        box.console("DELETE", "/snapshots/whole")
    shell.check(["appliance-node", "backup", "verify"], timeout=300)
    assert complaints(shell) == []


def test_a_line_cut_in_the_middle_of_a_restore_is_told_and_nothing_was_touched(
    fresh: Machine, box: Box
) -> None:
    box.console("PUT", "/fault", {"fault": "cut", "bytes": 150_000})
    cut = fresh.restores()
    box.console("DELETE", "/fault")
    assert cut.code == 1
    assert 'FAILED at "Fetch it": The line to the store broke.' in cut.out
    assert fresh.shell.check(["sh", "-c", f"ls -d {STATE}*"]).split() == [STATE]


def test_a_full_disk_is_told_before_and_during_and_the_state_stays(fresh: Machine) -> None:
    """On a small disk of the script's own, below which the machine's is seen by nobody."""
    small = f"mount -t tmpfs -o size=%s small /var/lib && mkdir {STATE} && echo old > {STATE}/said"
    script = "sh /root/restore.sh"
    full = f"{script} --fetch-only && dd if=/dev/zero of=/var/lib/left bs=4k; {script}"
    for size, then, words in (
        ("2m", script, "bytes are to come"),
        ("200m", full, 'FAILED at "State": The state could not be copied: '),
    ):
        look = f"ls -d {STATE}*; cat {STATE}/said"
        commands = f". /root/given; {small % size}; {{ {then}; }} 2>&1; {look}"
        done = fresh.shell.run(["unshare", "--mount", "sh", "-c", commands], timeout=120)
        assert words in done.out, done.out
        assert done.out.endswith(f"\n{STATE}\nold\n"), done.out


@pytest.mark.usefixtures("lost")
def test_killed_at_any_step_it_goes_on_when_run_again(fresh: Machine) -> None:
    for step in KILLED_AT:
        said = fresh.is_killed_at(step, random.uniform(0, 0.5))
        assert "The node is back" not in said
        assert "FAILED" not in said, said
    last = fresh.restores()
    assert last.code == 0, last.out
    assert "The node is back" in last.out
    again = fresh.restores()
    assert again.code == 1
    assert "This backup was restored here" in again.out


@pytest.mark.usefixtures("lost")
def test_every_row_of_every_conversation_is_back(fresh: Machine, past: Past) -> None:
    now = rows(fresh.shell)
    assert past.rows["events"]
    for kind, before in past.rows.items():
        assert before <= now[kind], f"{kind}: {list(before - now[kind])[:3]}"
    assert now["identity"] == past.rows["identity"]


@pytest.mark.usefixtures("lost")
def test_a_conversation_goes_on_where_it_stopped(node: Node, fresh: Machine, past: Past) -> None:
    """By the vendor's own record of what it is told."""
    goes_on(node, fresh, past)


def goes_on(node: Node, machine: Machine, past: Past) -> None:
    user, words = max(past.said.items(), key=lambda one: len(one[1]))
    says(asked_at(node, machine.address), user, "Where were we?")
    vendor = str(node.config()["providers"][node.primary_of("code")]["base_url"]).removesuffix("/v1")
    seen = requests.get(f"{vendor}/_lab/requests", timeout=10).json()["last"]
    asked = next(request for request in reversed(seen) if "Where were we?" in request["heard"])
    told = "\n".join(asked["before"])
    for text in words[-20:]:
        assert text.strip()[:20] in told
