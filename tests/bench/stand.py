"""Runs on a node: the drill's own fault proxy in front of the real providers, for others than the router.

    PYTHONPATH=/usr/lib/appliance python3 stand.py FOLDER

Reads FOLDER/wanted.json: {"lanes": {lane: fault, or "" for none}, "providers": [primary, fallback]}, each of
those {"name", "api", "base_url"}; writes FOLDER/lanes.json: {lane: [url, url]}. Ends when it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from appliance.contract.router_policy import Deadlines, Provider
from appliance.node.faults import FAULTS
from appliance.node.faults.proxy import Behind, Proxy


async def stand(folder: Path) -> None:
    wanted = json.loads((folder / "wanted.json").read_text())
    names = ("primary", "fallback")
    targets = {
        name: Behind(one["name"], Provider(api=one["api"], base_url=one["base_url"], credential=one["name"]))
        for name, one in zip(names, wanted["providers"], strict=True)
    }
    async with Proxy() as proxy:
        urls = {}
        for lane, name in wanted["lanes"].items():
            proxy.open(lane, targets, Deadlines())
            urls[lane] = [proxy.url(lane, target) for target in names]
            if name:
                proxy.inject(lane, FAULTS[name])
                elsewhere = FAULTS[name].elsewhere
                urls[lane][0] = elsewhere(proxy.wires) if elsewhere else urls[lane][0]
        ready = folder / "lanes.json.new"
        ready.write_text(json.dumps(urls))
        ready.rename(folder / "lanes.json")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stand(Path(sys.argv[1])))
