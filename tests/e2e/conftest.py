"""One lab for all end-to-end tests: baked once, deployed once, and gone at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from openai import DefaultHttpxClient, OpenAI

from appliance.desk import hostkeys
from appliance.desk.remote import Shell

LAB_INSTANCE = os.environ.get("APPLIANCE_TEST_E2E_INSTANCE", "30")
BOUND_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Restores take the node's place, and the bad days end with the lab that all share: they come last."""
    last = ("e2e/test_restore", "e2e/test_bad_days")
    items.sort(key=lambda item: max((n for n, name in enumerate(last, 1) if name in item.nodeid), default=0))


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Desk:
    """A folder with an appliance.yaml in it, and the command."""

    folder: Path
    environment: dict[str, str]

    def popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "appliance", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def tries(self, *words: str) -> Done:
        process = self.popen(*words)
        try:
            out, err = process.communicate(timeout=BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Done(process.returncode, out, err)

    def does(self, *words: str) -> Done:
        done = self.tries(*words)
        assert done.code == 0, f"appliance {' '.join(words)} exited {done.code}\n{done.out}\n{done.err}"
        return done

    def dies(self, after: float, *words: str) -> bool:
        """Run the command and SIGKILL it after so many seconds; whether it was still at work."""
        process = self.popen(*words)
        time.sleep(after)
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        return alive

    @property
    def config(self) -> Path:
        return self.folder / "appliance.yaml"

    def edit(self, change: dict[str, Any]) -> None:
        """Set top-level keys of appliance.yaml."""
        content = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump(content | change, sort_keys=False))

    def secret_files(self) -> list[Path]:
        """Every secret that appliance.yaml names and that must not be seen in the clear."""
        config = yaml.safe_load(self.config.read_text())
        refs = [config["gateway"]["token"], *(p["key"] for p in config["providers"].values())]
        return [self.folder / ref.removeprefix("file:") for ref in refs]

    def traces(self) -> list[str]:
        """What of this lab is on the host: namespaces, links, mounts, rules, processes, files."""
        looks = {
            "namespace": ["ip", "netns", "list"],
            "link": ["ip", "-o", "link"],
            "mount": ["findmnt", "--raw", "--output", "TARGET"],
            "rule": ["nft", "list", "ruleset"],
            "process": ["ps", "-eo", "args"],
        }
        mark = re.compile(rf"\balab{LAB_INSTANCE}|lab{LAB_INSTANCE}/")
        found = []
        for kind, look in looks.items():
            lines = subprocess.run(look, capture_output=True, text=True, check=True).stdout.splitlines()
            found += [f"{kind}: {line}" for line in lines if mark.search(line)]
        folder = Path(self.environment.get("APPLIANCE_LAB_DIR", "/var/lib/appliance-lab"))
        return found + [str(path) for path in (folder / f"lab{LAB_INSTANCE}").glob("**/*")]

    def cloud(self) -> CloudView:
        access = self.does("lab", "env", "--json").json
        return CloudView(access["HCLOUD_ENDPOINT"], access["HCLOUD_TOKEN"])


@dataclass(frozen=True)
class CloudView:
    """What an outsider sees at the API."""

    endpoint: str
    token: str

    def all(self, kind: str, **query: str) -> list[dict[str, Any]]:
        answer = requests.get(
            f"{self.endpoint}/{kind}",
            params={"per_page": "50", **query},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=10,
        )
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()[kind]
        return found

    def create(self, kind: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        requests.post(f"{self.endpoint}/{kind}", json=body, headers=headers, timeout=10).raise_for_status()

    def billable(self) -> dict[str, list[str]]:
        """Names of all that costs money or clutters, by kind."""
        kinds = ("servers", "primary_ips", "placement_groups", "firewalls", "networks", "ssh_keys")
        # The IPv6 address comes with a server and goes with it: it is no object of the desk's making.
        found = {
            kind: sorted(str(x["name"]) for x in self.all(kind) if x.get("type") != "ipv6") for kind in kinds
        }
        found["snapshots"] = sorted(str(x["description"]) for x in self.all("images", type="snapshot"))
        return {kind: names for kind, names in found.items() if names}


def openai_client(desk: Desk, address: str, workload: str) -> OpenAI:
    """What a user of the node has: the CA's root and the gateway's token."""
    import ssl

    trust = ssl.create_default_context(cafile=str(desk.folder / "secrets" / "ca.crt"))
    return OpenAI(
        base_url=f"https://{address}/{workload}/v1",
        api_key=(desk.folder / "secrets" / "gateway-token").read_text().strip(),
        http_client=DefaultHttpxClient(verify=trust),
        timeout=120,
        max_retries=0,
    )


@dataclass(frozen=True)
class Node:
    desk: Desk
    address: str

    def primary_of(self, workload: str) -> str:
        """The provider that answers it, by appliance.yaml."""
        return str(self.config()["workloads"][workload]["primary"]).split("/")[0]

    def config(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.desk.config.read_text())
        return content


def node_shell(node: Node) -> Shell:
    """SSH as the desk does it: by the host key in the server's label."""
    servers = node.desk.cloud().all("servers")
    (server,) = (one for one in servers if (one["public_net"]["ipv4"] or {}).get("ip") == node.address)
    key = node.desk.folder / str(node.config()["access"]["ssh_public_key"]).removesuffix(".pub")
    shell = Shell(node.address, key, hostkeys.accepted(server["labels"]))
    shell.wait(30)
    return shell


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A lab that is up, and a fresh appliance.yaml."""
    folder = tmp_path_factory.mktemp("desk")
    desk = Desk(folder, os.environ | {"APPLIANCE_LAB_INSTANCE": LAB_INSTANCE, "NO_COLOR": "1"})
    desk.does("lab", "down", "--yes")
    desk.does("lab", "up")
    desk.does("init", "--target", "lab")
    yield desk
    desk.does("lab", "down", "--yes")


@pytest.fixture(scope="session")
def baked(desk: Desk) -> Desk:
    """The same with a verified snapshot."""
    desk.does("build")
    return desk


@pytest.fixture(scope="session")
def node(baked: Desk) -> Node:
    """The same with a node that was deployed once."""
    result = baked.does("deploy", "--yes", "--json").json
    return Node(baked, result["address"])


@pytest.fixture(scope="session")
def foreign(desk: Desk) -> dict[str, list[str]]:
    """Objects in the same project that are somebody else's."""
    cloud = desk.cloud()
    body = {"name": "somebody-elses", "ip_range": "10.99.0.0/16", "labels": {"owner": "somebody-else"}}
    cloud.create("networks", body)
    cloud.create("placement_groups", {"name": "somebody-elses", "type": "spread"})
    return {"networks": ["somebody-elses"], "placement_groups": ["somebody-elses"]}
