"""The router as a service: `python3 -m appliance.node.router --policy FILE --listen 127.0.0.1:8791`.

SIGHUP, or POST /reload on the admin socket, reads policy and keys anew; SIGTERM ends it when the answers in
flight are out.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from appliance.contract.router_policy import PORT, RouterPolicy
from appliance.contract.trouble import NodeTrouble, Trouble
from appliance.node.router.admin import door, wrong_in
from appliance.node.router.keys import read_keys
from appliance.node.router.server import Router, runner
from appliance.node.router.switchboard import InForce

KEYS = "provider-keys.json"  # in $CREDENTIALS_DIRECTORY
DRAIN = 300  # seconds

log = logging.getLogger("router")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        host, port = _address(arguments.listen)
        router = Router(lambda: load(arguments.policy, arguments.keys))
        asyncio.run(_run(router, (host, port), arguments.admin, arguments.drain))
    except Trouble as trouble:
        log.error("%s", trouble)
        return int(trouble.code)
    return 0


def load(policy: Path, keys: Path) -> InForce:
    """Raises NodeTrouble."""
    try:
        read = RouterPolicy.model_validate_json(policy.read_bytes())
    except OSError as error:
        raise NodeTrouble(f"the router cannot read {policy}", why=error.strerror or "") from None
    except ValidationError as error:
        raise NodeTrouble(f"{policy} is no policy of the router", why=wrong_in(error)) from None
    return InForce(read, read_keys(keys))


async def _run(router: Router, at: tuple[str, int], admin: Path | None, drain: float) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, router)
    async with door(router, admin) if admin else nullcontext():
        await _serve(router, *at, drain, ended)


async def _serve(router: Router, host: str, port: int, drain: float, ended: asyncio.Event) -> None:
    service = runner(router, drain)
    await service.setup()
    try:
        await web.TCPSite(service, host, port).start()
        log.info("listening on %s:%d", host, service.addresses[0][1])
        await ended.wait()
        log.info("ending, %d answers in flight", router.in_flight)
    except OSError as error:
        raise NodeTrouble(f"the router cannot listen on {host}:{port}", why=str(error)) from None
    finally:
        await service.cleanup()


def _reload(router: Router) -> None:
    try:
        router.reload()
    except Trouble as trouble:
        log.error("not reloaded, the old policy stays: %s", trouble)


def _address(listen: str) -> tuple[str, int]:
    """Raises NodeTrouble: no address of loopback; the router asks nobody for a token."""
    host, _, port = listen.rpartition(":")
    try:
        if not ipaddress.ip_address(host.strip("[]")).is_loopback:
            raise NodeTrouble(f"the router listens on loopback only, not on {host}")
        return host.strip("[]"), int(port)
    except ValueError:
        raise NodeTrouble(f"not an address and port: {listen}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="appliance-router", description=__doc__)
    credentials = Path(os.environ.get("CREDENTIALS_DIRECTORY", "."))
    parser.add_argument("--policy", type=Path, required=True, help="contract/router_policy.py as JSON")
    parser.add_argument("--keys", type=Path, default=credentials / KEYS, help="JSON {credential: key}")
    parser.add_argument("--listen", default=f"127.0.0.1:{PORT}", help="an address of loopback, and a port")
    parser.add_argument("--admin", type=Path, help="the Unix socket for root (contract/router_admin.py)")
    parser.add_argument("--drain", type=float, default=DRAIN, help="seconds that answers in flight have")
    return parser


if __name__ == "__main__":
    sys.exit(main())
