"""What every operation works with: the lab's memory, its hardware, and the actions under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, ParamSpec, TypeVar

from appliance.lab.api.errors import ApiError
from appliance.lab.api.faults import Faults
from appliance.lab.hardware import BalancerSpec, Hardware, HardwareTrouble, TargetHealth
from appliance.lab.records import Action, ActionError, State, now
from appliance.lab.state import Store

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Ref = tuple[str, int]  # (type, id) of an object
Performer = Callable[["Lab", Action], Awaitable[None]]


class ActionFailed(Exception):  # noqa: N818 - what it is called in the API
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Lab:
    """All but hardware calls happens on one event loop, so an operation sees and leaves a whole state."""

    store: Store
    hardware: Hardware
    public: IPv4Network
    performers: Mapping[str, Performer]
    faults: Faults = field(default_factory=Faults)
    health: dict[int, dict[tuple[str, int], TargetHealth]] = field(default_factory=dict)  # by load balancer
    balancers: dict[int, BalancerSpec] = field(default_factory=dict)  # as last told to the hardware
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "hardware"))
    _locks: dict[Ref, asyncio.Lock] = field(default_factory=dict)
    _open: list[int] = field(default_factory=list)  # actions that may be running
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._open = list(self.state.actions)

    @property
    def state(self) -> State:
        return self.store.state

    async def do(self, on: Ref, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking hardware call in a thread; those on one object wait for one another."""
        async with self._locks.setdefault(on, asyncio.Lock()):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: call(*args, **kwargs))

    # Actions

    def action(
        self,
        command: str,
        *resources: Ref,
        holds: tuple[Ref, ...] | None = None,
        args: Mapping[str, Any] | None = None,
        hidden: bool = False,
    ) -> Action:
        """A new action; it holds (locks) its resources unless `holds` says which. `start` begins it."""
        made = Action(
            id=self.store.new_id(),
            command=command,
            resources=list(resources),
            holds=list(resources if holds is None else holds),
            args=dict(args or {}),
            hidden=hidden,
        )
        self.state.actions[made.id] = made
        self._open.append(made.id)
        return made

    def start(self, *chain: Action) -> None:
        """Perform the actions one after another; when one fails, those after it fail with it."""
        for action in chain:
            action.chain = chain[0].id
        task = asyncio.get_running_loop().create_task(self._perform(chain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def finished(self, command: str, *resources: Ref) -> Action:
        """An action that was done at once."""
        action = self.action(command, *resources, holds=())
        action.status, action.progress, action.finished = "success", 100, now()
        return action

    def holder(self, ref: Ref) -> Action | None:
        return next((a for a in self._running() if ref in a.holds), None)

    def under_way(self, command: str, *refs: Ref) -> bool:
        """Whether such an action of all these objects is running."""
        return any(a.command == command and all(ref in a.resources for ref in refs) for a in self._running())

    def refuse_if_locked(self, ref: Ref, code: str = "locked") -> None:
        if holder := self.holder(ref):
            raise ApiError(code, f"{ref[0]} is locked: action {holder.command} ({holder.id}) is running")

    def _running(self) -> list[Action]:
        """Seen by every answer that shows a lock, so those found done are not looked at again."""
        actions = self.state.actions
        self._open = [i for i in self._open if i in actions and actions[i].status == "running"]
        return [actions[i] for i in self._open]

    async def _perform(self, chain: tuple[Action, ...]) -> None:
        error: ActionError | None = None
        for action in chain:
            if action.status != "running":
                continue
            if error is None:
                error = await self._perform_one(action)
            action.error = error
            action.status = "error" if error else "success"
            action.progress = 100
            action.finished = now()
            self.store.save()

    async def _perform_one(self, action: Action) -> ActionError | None:
        try:
            if fault := self.faults.failing_action(action.command):
                raise ActionFailed(fault.code or "action_failed", fault.message or "Action failed")
            await self.performers[action.command](self, action)
        except ActionFailed as e:
            return ActionError(code=e.code, message=e.message)
        except HardwareTrouble as e:
            log.warning("action %s (%s): %s", action.id, action.command, e)
            return ActionError(code="action_failed", message=str(e))
        except Exception:
            log.exception("action %s (%s)", action.id, action.command)
            return ActionError(code="server_error", message="a bug of the lab: its log tells")
        return None

    async def settle(self) -> None:
        """Wait for all actions under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
