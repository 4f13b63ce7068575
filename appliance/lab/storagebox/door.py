"""Port 23: every connection gets an sshd of its own, and what passes can be broken on command.

Faults strike the connections that come after the order, and those that are open where it says so:

    refuse   nobody listens: connections are refused, open ones are reset
    hang     connections are taken and nothing is ever said; open ones fall silent
    cut      a connection is reset once `bytes` have passed, both ways counted
    slow     `bytes` a second, both ways counted
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.lab.shell import ENVIRONMENT

log = logging.getLogger(__name__)

CONNECTIONS = 10  # at once, as at Hetzner (docs.hetzner.com, Storage Box: general)
CHUNK = 1 << 14


class Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Literal["refuse", "hang", "cut", "slow"]
    bytes: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)  # connections it strikes; None is all


@dataclass(eq=False)
class _Visit:
    """One connection."""

    outside: asyncio.StreamWriter
    fault: Fault | None
    task: asyncio.Task[None] | None
    passed: int = 0  # bytes, both ways
    began: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        self.reset()
        if self.task is not None:
            self.task.cancel()

    def reset(self) -> None:
        raw = self.outside.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.outside.transport.abort()


class Door:
    def __init__(self, host: str, session: Callable[[], list[str]], log_file: Path, port: int) -> None:
        self.host = host
        self.port = port
        self._session = session
        self._log_file = log_file
        self._server: asyncio.Server | None = None
        self._visits: set[_Visit] = set()
        self.fault: Fault | None = None
        self._struck = 0

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._visit, self.host, self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        visits = list(self._visits)
        for visit in visits:
            visit.end()
        await asyncio.gather(*(v.task for v in visits if v.task), return_exceptions=True)

    async def break_(self, fault: Fault | None) -> None:
        """From now on; None heals."""
        self.fault, self._struck = fault, 0
        if fault is not None and fault.fault == "refuse":
            await self.close()
            return
        await self.open()
        for visit in self._visits:
            if visit.fault is not None and visit.fault.fault == "hang":
                visit.end()  # nothing that hangs outlives the healing
            elif fault is not None and fault.fault == "hang":
                visit.fault = fault

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = _Visit(writer, self._strike(), asyncio.current_task())
        if len(self._visits) >= CONNECTIONS:
            visit.reset()
            return
        self._visits.add(visit)
        try:
            await self._serve(visit, reader)
        except OSError:
            pass
        finally:
            self._visits.discard(visit)
            writer.close()

    def _strike(self) -> Fault | None:
        if self.fault is None or (self.fault.times is not None and self._struck >= self.fault.times):
            return None
        self._struck += 1
        return self.fault

    async def _serve(self, visit: _Visit, reader: asyncio.StreamReader) -> None:
        ours, its = socket.socketpair()
        with self._log_file.open("ab") as said:
            sshd = await asyncio.create_subprocess_exec(
                *self._session(), stdin=its.fileno(), stdout=its.fileno(), stderr=said, env=ENVIRONMENT
            )
        its.close()
        inside_reader, inside = await asyncio.open_connection(sock=ours)
        ways = [
            asyncio.ensure_future(self._pass(visit, reader, inside)),
            asyncio.ensure_future(self._pass(visit, inside_reader, visit.outside)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # What the one said last is still on its way to the other.
            await asyncio.wait(ways[1:], timeout=2)
        finally:
            for way in ways:
                way.cancel()
            inside.close()
            if sshd.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(
                        sshd.pid, signal.SIGKILL
                    )  # its own kill() would race the loop for its exit status
            await sshd.wait()

    async def _pass(self, visit: _Visit, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await self._hold(visit, len(data))
                if visit.outside.transport.is_closing():
                    return
                target.write(data)
                await target.drain()
            target.write_eof()

    async def _hold(self, visit: _Visit, size: int) -> None:
        """What the fault does to the next `size` bytes."""
        visit.passed += size
        if visit.fault is None:
            return
        match visit.fault.fault:
            case "hang":
                await asyncio.Event().wait()
            case "cut" if visit.passed > visit.fault.bytes:
                visit.reset()
            case "slow":
                due = visit.began + visit.passed / max(visit.fault.bytes, 1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
