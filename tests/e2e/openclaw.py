"""A second OpenClaw on a node, beside the one that serves: its own state, port and providers.

It runs from the node's own snapshot with the node's own config, of which only the providers, the agents and
what must differ are replaced. For findings about OpenClaw itself; our router, edge and users have no part.
"""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.desk.remote import Shell

PLACE = "/var/tmp/tried-openclaw"
CONFIG = f"{PLACE}/openclaw.json"
PORT, SCRIPTED_PORT = 18999, 18998
UNIT, SCRIPTED_UNIT = "tried-openclaw", "tried-provider"
READY_SECONDS = 120
BATCH_SECONDS = 600
INSTALL = ["install", "-o", "openclaw", "-g", "openclaw"]
SETTINGS = "/usr/share/appliance/openclaw-agent-settings.json"  # maxRetries 0, as the node has it
LIVE_CONFIG = "/etc/appliance/current/files/openclaw.json"
PATIENT, QUICK = "patient", "quick"  # providers with a long and a short timeoutSeconds
POOL = {PATIENT: 60, QUICK: 8}
POOL_SIZE = {PATIENT: 60, QUICK: 12}


@dataclass(frozen=True)
class Answer:
    """What a client of OpenClaw got, and what the try's provider saw meanwhile."""

    provider: str
    status: int
    raw: str
    seconds: float
    first: float | None  # seconds until content
    calls: list[dict[str, Any]]  # body, headers, at; left, if OpenClaw did not wait for the end

    @property
    def events(self) -> list[Any]:
        lines = [line[6:] for line in self.raw.split("\n") if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def values(self) -> list[Any]:
        return self.events or [json.loads(self.raw)]

    @property
    def text(self) -> str:
        choices = [choice for value in self.values for choice in value.get("choices", [])]
        parts = [choice.get("delta") or choice.get("message") or {} for choice in choices]
        return "".join(part.get("content") or "" for part in parts)

    @property
    def error(self) -> str:
        """The error's words; empty if there is none."""
        return "".join(value["error"]["message"] for value in self.values if "error" in value)

    @property
    def done(self) -> bool:
        return self.raw.rstrip().endswith("data: [DONE]")


@dataclass(frozen=True)
class OpenClaw:
    """Tries are made side by side in one visit to the node; each has a provider to itself."""

    shell: Shell
    token: str
    fresh: dict[str, Iterator[str]] = field(
        default_factory=lambda: {kind: iter(_names(kind)) for kind in POOL}
    )

    def provider(self, kind: str = PATIENT) -> str:
        """One that no try has used: what OpenClaw holds against a provider hits no other try."""
        return next(self.fresh[kind])

    def run(self, *tries: Mapping[str, Any]) -> list[list[Answer]]:
        batch = {"gateway": f"http://127.0.0.1:{PORT}", "token": self.token, "tries": tries}
        command = ["python3", f"{PLACE}/scripted.py", "try", str(SCRIPTED_PORT)]
        out = self.shell.check(command, input=json.dumps(batch).encode(), timeout=BATCH_SECONDS)
        return [
            [Answer(provider=one["provider"], **answer) for answer in answers]
            for one, answers in zip(tries, json.loads(out), strict=True)
        ]

    def all_calls(self) -> list[dict[str, Any]]:
        """Every call that any scripted provider ever had."""
        calls: list[dict[str, Any]] = json.loads(
            self.shell.check(["curl", "--silent", "--fail", f"http://127.0.0.1:{SCRIPTED_PORT}/_"])
        )
        return calls

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the config of the running OpenClaw, which watches it."""
        config = json.loads(self.shell.check(["cat", CONFIG]))
        change(config)
        _write(self.shell, f"{CONFIG}.new", json.dumps(config))
        self.shell.check(["mv", f"{CONFIG}.new", CONFIG])

    def held_against(self, name: str) -> dict[str, Any]:
        """What OpenClaw's own database keeps against a provider: reasons, and times in milliseconds."""
        states = json.loads(self.shell.check(["python3", "-"], input=_READ_STATES.encode()))
        found = [state.get("usageStats", {}).get(f"inline-api-key:{name}") for state in states]
        return next((one for one in found if one), {})


_READ_STATES = f"""
import json, sqlite3
base = sqlite3.connect("{PLACE}/state/agents/main/agent/openclaw-agent.sqlite", timeout=10)
rows = base.execute("select * from auth_profile_state").fetchall()
print(json.dumps([json.loads(cell) for row in rows for cell in row if str(cell).startswith("{{")]))
"""


def scripted_providers() -> dict[str, Any]:
    """One for each try."""
    return {name: scripted_provider(name, seconds) for kind, seconds in POOL.items() for name in _names(kind)}


def scripted_provider(name: str, seconds: int = POOL[PATIENT]) -> dict[str, Any]:
    return provider(f"http://127.0.0.1:{SCRIPTED_PORT}/{name}/v1", ["m"], seconds)


def _names(kind: str) -> list[str]:
    return [f"{kind}-{number}" for number in range(POOL_SIZE[kind])]


def provider(url: str, models: Sequence[str], seconds: int, key: str = "meaningless") -> dict[str, Any]:
    known = [{"id": m, "name": m, "contextWindow": 128000, "maxTokens": 8192} for m in models]
    return {
        "api": "openai-completions",
        "baseUrl": url,
        "apiKey": key,
        "timeoutSeconds": seconds,
        "models": known,
    }


def changed(
    live: Mapping[str, Any], providers: Mapping[str, Any], agents: Mapping[str, Any]
) -> dict[str, Any]:
    """The node's config with other providers and agents, and a place of its own."""
    config: dict[str, Any] = json.loads(json.dumps(live))
    references = [f"{name}/{model['id']}" for name, p in providers.items() for model in p["models"]]
    config["logging"]["file"] = f"{PLACE}/log"
    config["secrets"]["providers"]["node"]["path"] = f"{PLACE}/secrets.json"
    config["gateway"]["port"] = PORT
    config["models"]["providers"] = dict(providers)
    config["agents"]["defaults"] |= {
        "model": {"primary": references[0], "fallbacks": []},
        "modelPolicy": {"allow": references},
        "timeoutSeconds": 600,
        "workspace": f"{PLACE}/state/workspace",
    }
    config["agents"]["entries"] = dict(agents)
    return config


@contextmanager
def second_openclaw(
    shell: Shell,
    providers: Mapping[str, Any],
    agents: Mapping[str, Any],
    own_retries: Sequence[str] = (),
    bound: int = 900,
) -> Iterator[OpenClaw]:
    """It and the scripted provider, ready; gone afterwards, and after `bound` seconds whatever happens.

    own_retries: agents that keep OpenClaw's default retries; the others have the node's settings.
    """
    token = secrets.token_urlsafe(24)
    config = changed(json.loads(shell.check(["cat", LIVE_CONFIG])), providers, agents)
    _clear(shell)
    _place(shell, config, token, [name for name in agents if name not in own_retries])
    try:
        serve = ["python3", f"{PLACE}/scripted.py", "serve", str(SCRIPTED_PORT)]
        _start(shell, SCRIPTED_UNIT, bound, serve)
        _start(shell, UNIT, bound, _gateway())
        _wait_ready(shell)
        yield OpenClaw(shell, token)
    finally:
        _clear(shell)


def _place(shell: Shell, config: Mapping[str, Any], token: str, agents: Sequence[str]) -> None:
    """Files of OpenClaw's own user; what is secret goes by standard input."""
    files = {
        "scripted.py": Path(__file__).with_name("scripted.py").read_text(),
        "openclaw.json": json.dumps(config),
        "secrets.json": json.dumps({"gateway-token": token}),
    }
    state = f"{PLACE}/state"
    folders = [f"{state}/agents/{agent}/agent" for agent in agents]
    parents = [PLACE, state, f"{state}/agents", *(f"{state}/agents/{agent}" for agent in agents)]
    shell.check([*INSTALL, "-m", "0700", "-d", *parents, *folders])
    for name, content in files.items():
        _write(shell, f"{PLACE}/{name}", content)
    copies = f'for folder; do {shlex.join(INSTALL)} -m 0600 {SETTINGS} "$folder/settings.json"; done'
    shell.check(["sh", "-c", copies, "sh", *folders])


def _write(shell: Shell, path: str, content: str) -> None:
    shell.check([*INSTALL, "-m", "0400", "/dev/stdin", path], input=content.encode())


def _gateway() -> list[str]:
    environment = {
        "HOME": f"{PLACE}/state",
        "OPENCLAW_STATE_DIR": f"{PLACE}/state",
        "OPENCLAW_CONFIG_PATH": f"{PLACE}/openclaw.json",
        "NODE_ENV": "production",
        "NODE_DISABLE_COMPILE_CACHE": "1",
        "OPENCLAW_NO_RESPAWN": "1",
        "OPENCLAW_SERVICE_REPAIR_POLICY": "external",
        "OPENCLAW_TRAJECTORY": "0",
        "OPENCLAW_NO_AUTO_UPDATE": "1",
        "DO_NOT_TRACK": "1",
    }
    settings = [f"{name}={value}" for name, value in environment.items()]
    program = ["/opt/node/bin/node", "/opt/openclaw/node_modules/openclaw/openclaw.mjs", "gateway", "run"]
    return ["env", *settings, *program]


def _start(shell: Shell, unit: str, bound: int, command: Sequence[str]) -> None:
    properties = [
        f"RuntimeMaxSec={bound}",
        "KillMode=mixed",
        "TimeoutStopSec=5",
        "User=openclaw",
        f"WorkingDirectory={PLACE}",
        "StandardOutput=null",
    ]
    words = [f"--property={one}" for one in properties]
    shell.check(["systemd-run", f"--unit={unit}", "--collect", "--quiet", *words, "--", *command])


def _wait_ready(shell: Shell) -> None:
    ask = ["curl", "--silent", "--fail", "--max-time", "5", f"http://127.0.0.1:{PORT}/readyz"]
    end = time.monotonic() + READY_SECONDS
    while shell.run(ask).code != 0:
        alive = shell.run(["systemctl", "is-active", "--quiet", UNIT]).code == 0
        said = shell.run(["journalctl", "--unit", UNIT, "--no-pager", "--lines=20"]).out
        assert alive, f"OpenClaw ended: {said}"
        assert time.monotonic() < end, f"OpenClaw is not ready: {said}"
        time.sleep(0.5)


def _clear(shell: Shell) -> None:
    for unit in (UNIT, SCRIPTED_UNIT):
        shell.run(["systemctl", "stop", "--quiet", f"{unit}.service"], timeout=60)
    shell.check(["rm", "-rf", "--", PLACE])
