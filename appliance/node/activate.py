"""Put a received bundle in force: switch, give what changed to what runs, wait for answers, or roll back.

May be killed at any moment and run again: what the services were last given is noted in `Paths.applied`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from appliance.contract import bundle
from appliance.contract.trouble import NodeTrouble
from appliance.node import activate_rules, services
from appliance.node.router_account import Unanswered
from appliance.node.system import Paths, link, remove, write
from appliance.node.tls import CERTIFICATE

Say = Callable[[str], None]


class Services(Protocol):
    """The running parts of the node, see services.py. All raise NodeTrouble, its `why` from the journal.

    give_router raises Unanswered when there is nobody to take it, NodeTrouble when it is refused.
    """

    def router_up(self) -> bool: ...
    def gateway_up(self) -> bool: ...
    def edge_up(self) -> bool: ...
    def give_router(self) -> None: ...
    def restart_router(self) -> None: ...
    def give_gateway(self, *, config: bool, secrets: bool) -> None: ...
    def restart_gateway(self) -> None: ...
    def restart_edge(self) -> None: ...
    def reload_edge(self) -> None: ...
    def reload_firewall(self) -> None: ...
    def wait_router(self) -> None: ...
    def wait_gateway(self) -> None: ...
    def wait_edge(self) -> None: ...
    def stop(self) -> None: ...


def activate(
    digest: str,
    say: Say,
    paths: Paths = Paths(),  # noqa: B008 - frozen
    running: Services | None = None,
) -> bool:
    """Events and a last line with the outcome go to `say`, a JSON object each. True: it is in force."""
    running = running or services.Systemd()
    try:
        with _alone(paths.lock):
            return _activate(digest, say, paths, running)
    except NodeTrouble as trouble:
        _last(say, ok=False, rolled_back=False, error=trouble.what, tail=trouble.why)
        return False


def _activate(digest: str, say: Say, paths: Paths, running: Services) -> bool:
    new = _manifest(paths, digest)
    before = in_force(paths)
    old = _given(paths)
    try:
        _apply(old, new, say, paths, running)
    except NodeTrouble as trouble:
        _event(say, "failed", trouble.what)
        # Where all of them had the old bundle, each has the old or the new one now: what differs says it all.
        now = new if old is not None and old.digest == before else None
        rolled_back = _roll_back(now, before, say, paths, running)
        _last(say, ok=False, rolled_back=rolled_back, error=trouble.what, tail=trouble.why)
        return False
    os.utime(paths.bundles / digest)
    _tidy(paths, {digest})
    _last(say, ok=True, rolled_back=False)
    return True


def in_force(paths: Paths) -> str | None:
    """The digest that CURRENT points to."""
    return paths.current.readlink().name if paths.current.is_symlink() else None


def applied(paths: Paths) -> str | None:
    """The digest that the running services were given since boot, where known."""
    return paths.applied.read_text().strip() if paths.applied.exists() else None


def _given(paths: Paths) -> bundle.Manifest | None:
    """What all running services were given, where that is known."""
    known = applied(paths)
    return _manifest(paths, known) if known and (paths.bundles / known).is_dir() else None


def _apply(
    old: bundle.Manifest | None,
    new: bundle.Manifest,
    say: Say,
    paths: Paths,
    running: Services,
    *,
    back: bool = False,
) -> None:
    """Forth: who is asked has the new bundle before who asks. `back`: who asks forgets it first."""
    todo = activate_rules.steps(
        old, new, router_up=running.router_up(), gateway_up=running.gateway_up(), edge_up=running.edge_up()
    )
    _event(say, "switch", new.digest)
    remove(paths.applied)  # until all is done it is not known what they were given
    link(paths.current, Path("bundles") / new.digest)
    tls_changed = _point_tls(new, paths)
    if todo.firewall:
        _event(say, "firewall", "reload")
        running.reload_firewall()
    todo = replace(todo, edge_restart=todo.edge_restart or tls_changed)
    parts = (_give_router, _give_gateway, _give_edge)
    for give in reversed(parts) if back else parts:
        give(todo, say, running)
    _event(say, "wait", "gateway")
    running.wait_router()
    running.wait_gateway()
    running.wait_edge()
    write(paths.applied, new.digest.encode())


def _give_router(todo: activate_rules.Steps, say: Say, running: Services) -> None:
    """While it runs, where it does. One that refuses what it is given goes on with what it had."""
    if todo.router_live:
        try:
            _event(say, "router", "live")
            running.give_router()
            return
        except Unanswered as trouble:
            _event(say, "router", f"not live: {trouble.what}")
    elif not todo.router_restart:
        return
    _event(say, "router", "restart")
    running.restart_router()


def _give_gateway(todo: activate_rules.Steps, say: Say, running: Services) -> None:
    """While it runs, where it does; a gateway that does not take it is started anew."""
    if todo.gateway_config or todo.gateway_secrets:
        try:
            _event(say, "gateway", "live")
            running.give_gateway(config=todo.gateway_config, secrets=todo.gateway_secrets)
            return
        except NodeTrouble as trouble:
            _event(say, "gateway", f"not live: {trouble.what}")
    elif not todo.gateway_restart:
        return
    _event(say, "gateway", "restart")
    running.restart_gateway()


def _give_edge(todo: activate_rules.Steps, say: Say, running: Services) -> None:
    if todo.edge_restart:
        _event(say, "edge", "restart")
        running.restart_edge()
    elif todo.edge_reload:
        _event(say, "edge", "reload")
        running.reload_edge()


def _point_tls(new: bundle.Manifest, paths: Paths) -> bool:
    """Let the edge serve the bundle's certificate or the node's own. True when it was another before."""
    target = Path("current/tls") if bundle.TLS_CHAIN in new.files else Path(paths.own_tls.name)
    if target.name == paths.own_tls.name and not (paths.own_tls / CERTIFICATE).exists():
        raise NodeTrouble(
            "The node has no certificate yet.", fix="Sign its request: `csr`, then `certificate`."
        )
    if paths.tls.is_symlink() and paths.tls.readlink() == target:
        return False
    link(paths.tls, target)
    return True


def _roll_back(
    now: bundle.Manifest | None, before: str | None, say: Say, paths: Paths, running: Services
) -> bool:
    if before is None:
        _event(say, "roll back", "there was no bundle before: edge, gateway and router are stopped")
        remove(paths.current)
        running.stop()
        return False
    _event(say, "roll back", before)
    try:
        _apply(now, _manifest(paths, before), say, paths, running, back=True)
    except NodeTrouble as trouble:
        _event(say, "failed", f"rolling back: {trouble.what}")
        return False
    return True


def _manifest(paths: Paths, digest: str) -> bundle.Manifest:
    path = paths.bundles / digest / bundle.MANIFEST
    if not digest.isalnum() or not path.exists():
        raise NodeTrouble(f"There is no bundle {digest} on this node.", fix="Send it first: `receive`.")
    return bundle.Manifest.model_validate_json(path.read_bytes())


def _tidy(paths: Paths, keep: set[str]) -> None:
    folders = sorted(paths.bundles.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for digest in activate_rules.superfluous([folder.name for folder in folders], keep):
        remove(paths.bundles / digest)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NodeTrouble(
                "Another activation is at work on this node.", fix="Wait for its end."
            ) from error
        yield


def _event(say: Say, event: str, detail: str) -> None:
    say(json.dumps({"event": event, "detail": detail}))


def _last(say: Say, **outcome: Any) -> None:
    say(json.dumps(outcome))
