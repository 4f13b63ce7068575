"""The drill's command elsewhere than on a node: `python -m tests.node.drill.attended FOLDER PORT FAULT…`."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.contract.drill import Level
from appliance.contract.router_policy import RouterPolicy
from appliance.contract.trouble import Trouble
from appliance.node.drill import command
from appliance.node.drill.client import router_door
from appliance.node.drill.command import Site, Wanted
from appliance.node.router_admin import RouterAdmin


def main(folder: Path, port: int, faults: tuple[str, ...]) -> int:
    policy = RouterPolicy.model_validate_json((folder / "policy.json").read_bytes())
    admin = RouterAdmin(str(folder / "admin.sock"))
    doors = {Level.ROUTER: router_door(port)}
    at = Site(policy, admin, doors, "here", None, folder / "drill.lock", folder / "drill.json")
    try:
        return command.main(Wanted((), faults, (Level.ROUTER,)), at)
    except Trouble as trouble:
        sys.stderr.write(f"{trouble}\n")
        return int(trouble.code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])))
