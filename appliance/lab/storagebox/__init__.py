"""The lab's Storage Box: sshd on port 23 with Hetzner's restrictions, and what its console does to it."""

from appliance.lab.storagebox.box import Account, Box, Trouble
from appliance.lab.storagebox.door import Door
from appliance.lab.storagebox.routes import ROUTE, routes

__all__ = ["ROUTE", "Account", "Box", "Door", "Trouble", "routes"]
