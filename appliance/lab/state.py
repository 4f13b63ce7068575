"""The lab's memory on disk: one JSON file, replaced at once, so that a killed daemon finds it whole."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from appliance.contract.trouble import LabTrouble
from appliance.lab.records import State

FILE = "state.json"
KEPT_ACTIONS = 400


class Store:
    """Holds the state and writes it. Used from one thread only: the daemon's event loop."""

    def __init__(self, file: Path | None) -> None:
        """`file` None: nothing is written (tests of the API alone). Raises LabTrouble for a bad file."""
        self.file = file
        self.state = State()
        if file is not None and file.exists():
            try:
                self.state = State.model_validate_json(file.read_bytes())
            except ValidationError as e:
                raise LabTrouble(
                    f"The lab's memory in {file} cannot be read",
                    why=str(e).splitlines()[0],
                    fix="appliance lab down, then appliance lab up: begins anew",
                ) from e

    def new_id(self) -> int:
        """Ids are unique over all kinds: one taken for another is found out."""
        self.state.next_id += 1
        return self.state.next_id - 1

    def save(self) -> None:
        """No fsync: it must survive a killed daemon, not a lost host, which loses the servers too."""
        self._forget_old_actions()
        if self.file is None:
            return
        new = self.file.with_suffix(".new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # user-data stands in it
        with os.fdopen(handle, "wb") as f:
            f.write(self.state.model_dump_json().encode())
        new.replace(self.file)

    def _forget_old_actions(self) -> None:
        actions = self.state.actions
        if len(actions) <= KEPT_ACTIONS:
            return
        done = [a.id for a in actions.values() if a.status != "running"]
        for old in done[: len(actions) - KEPT_ACTIONS]:
            del actions[old]
