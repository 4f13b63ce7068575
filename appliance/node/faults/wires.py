"""Loopback addresses where the connection itself fails. They live as long as the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket

HOST = "127.0.0.1"
FILLERS = 8  # connects that fill a queue of one, whatever the kernel adds to it
HANDSHAKE_FAILURE = bytes([21, 3, 3, 0, 2, 2, 40])  # RFC 8446, 6: a fatal alert
NO_NAME = "http://provider.drill.invalid/v1"  # RFC 6761: such a name never resolves


class Wires:
    def __init__(self) -> None:
        self._held: list[socket.socket] = []
        self._tls: asyncio.Server | None = None
        self._refused = self._hole = 0  # ports

    async def start(self) -> None:
        """The ports are bound for as long as this lives, so that nobody else gets them."""
        closed = self._bound()
        self._refused = closed.getsockname()[1]
        full = self._bound()
        full.listen(0)
        self._hole = full.getsockname()[1]
        for _ in range(FILLERS):
            filler = socket.socket()
            self._held.append(filler)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((HOST, self._hole))
        self._tls = await asyncio.start_server(_refuse_handshake, HOST, 0)

    async def close(self) -> None:
        for held in self._held:
            held.close()
        if self._tls is not None:
            self._tls.close()

    @property
    def refused(self) -> str:
        """Nobody listens."""
        return f"http://{HOST}:{self._refused}/v1"

    @property
    def hole(self) -> str:
        """A connect never completes: the queue is full and nobody accepts, so the kernel drops the SYN."""
        return f"http://{HOST}:{self._hole}/v1"

    @property
    def tls(self) -> str:
        """TLS fails in its handshake."""
        assert self._tls is not None
        return f"https://{HOST}:{self._tls.sockets[0].getsockname()[1]}/v1"

    @property
    def no_name(self) -> str:
        return NO_NAME

    def _bound(self) -> socket.socket:
        made = socket.socket()
        self._held.append(made)
        made.bind((HOST, 0))
        return made


async def _refuse_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read(4096)
        writer.write(HANDSHAKE_FAILURE)
        await writer.drain()
    writer.close()
