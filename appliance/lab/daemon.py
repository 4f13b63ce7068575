"""The lab's daemon: `python -m appliance.lab.daemon`, as root; place.py says where. lifecycle.py starts it.

One event loop carries the API, the metadata service, the vendors, the package mirror and the Storage
Box's door; machines and balancers are processes of their own and outlive it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys

from aiohttp import web

from appliance.contract.trouble import LabTrouble
from appliance.lab import base
from appliance.lab.api.app import make_app, make_lab
from appliance.lab.api.limits import Bucket
from appliance.lab.api.recovery import recover
from appliance.lab.daemon_process import Daemon, start_time
from appliance.lab.lifecycle import assemble
from appliance.lab.metadata import metadata_app
from appliance.lab.mirror import mirror_app
from appliance.lab.package_cache import trim
from appliance.lab.place import Place
from appliance.lab.shell import claim
from appliance.lab.state import FILE, Store
from appliance.lab.storagebox import Box, Door
from appliance.lab.storagebox import routes as storagebox_routes
from appliance.lab.vendors import vendor_app, vendor_key

log = logging.getLogger(__name__)

BUCKET = "APPLIANCE_LAB_REQUESTS_PER_HOUR"  # another size of the request bucket
STOP_SECONDS = 1
PACKAGES_MOST = 3 * 10**9  # bytes that apt, npm and pip may keep, of all labs


def main() -> None:
    place = Place.from_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    lock = (place.folder / "daemon.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.error("another daemon of this lab is running")
        sys.exit(1)
    claim(place.folder)
    me = Daemon(os.getpid(), start_time(os.getpid()))
    (place.folder / "daemon.json").write_text(json.dumps({"pid": me.pid, "started": me.started}))
    try:
        asyncio.run(serve(place))
    except LabTrouble as e:
        log.error("%s", e)
        sys.exit(1)


async def serve(place: Place) -> None:
    """Until SIGTERM, which ends the process. Raises LabTrouble, HardwareTrouble when the lab cannot begin."""
    hardware, _ = assemble(place)
    await asyncio.to_thread(hardware.up)
    layers = await asyncio.to_thread(base.ensure, place)
    lab = make_lab(Store(place.folder / FILE), hardware, place.public, layers, base.architecture())
    token = place.token_file.read_text().strip()
    bucket = Bucket(int(os.environ.get(BUCKET, "3600")))
    host = str(place.host_ip)
    listeners = [
        (metadata_app(lab), host, place.metadata_port),
        (mirror_app(place.cache / "packages" / "apt"), host, place.mirror_port),
        *((vendor_app(n, vendor_key(place.folder, n)), host, port) for n, port in place.vendor_ports),
    ]
    asyncio.get_running_loop().run_in_executor(None, trim, place.cache / "packages", PACKAGES_MOST)
    runners = [await _listen(*listener) for listener in listeners]
    box = Box(place, layers)
    await asyncio.to_thread(box.up)
    said = place.folder / "log" / "storagebox.log"
    door = Door(host, box.session, said, place.storage_box_port)
    await door.open()
    await recover(lab)
    # Last: whoever gets an answer here can count on all the rest.
    app = make_app(lab, token, bucket, storagebox_routes(box, door))
    runners.append(await _listen(app, "127.0.0.1", place.api_port))
    log.info("up: %s", place.api_endpoint)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(r.cleanup() for r in runners)), STOP_SECONDS)
    log.info("down")
    logging.shutdown()
    os._exit(0)  # not after its threads: what they are at the next daemon resumes, or `down` removes


async def _listen(app: web.Application, host: str, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


if __name__ == "__main__":
    main()
