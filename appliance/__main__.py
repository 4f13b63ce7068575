"""`python -m appliance`: the command, for where its script is not on the PATH."""

from __future__ import annotations

from appliance.cli.main import main

main()
