"""Small real servers behind a load balancer: they say who they are and behave as told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PROXY_V2 = b"\r\n\r\n\x00\r\nQUIT\n"


@dataclass
class Backend:
    """Answers each connection's request with its name; `status`, `text` and `silent` change that."""

    name: str
    address: str = "127.0.0.2"
    port: int = 0
    status: int = 200
    text: str = ""
    silent: bool = False  # takes the request and says nothing
    stream: bool = False  # goes on sending until `ended`
    proxied: bool = False  # wants a PROXY v2 header, ends connections without one
    tls: ssl.SSLContext | None = None
    heard: list[bytes] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)  # PROXY v2
    ended: threading.Event = field(default_factory=threading.Event)
    _listener: socket.socket | None = None

    def up(self) -> None:
        self._listener = socket.create_server((self.address, self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuses connections from now on."""
        if self._listener:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(20)
            if self.proxied and not self._take_header(connection):
                return
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            request = connection.recv(65536)
            if not request:
                return
            self.heard.append(request)
            if self.silent:
                self.ended.wait(20)
            elif self.stream:
                self._stream(connection)
            else:
                body = (self.text or self.name).encode()
                head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + body)

    def _take_header(self, connection: socket.socket) -> bool:
        head = b""
        while len(head) < 16:
            more = connection.recv(16 - len(head))
            if not more:
                return False
            head += more
        if not head.startswith(PROXY_V2):
            return False
        length = int.from_bytes(head[14:16], "big")
        self.headers.append(head + (connection.recv(length) if length else b""))
        return True

    def _stream(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        while not self.ended.wait(0.05):
            connection.sendall(b"tick\n")
        connection.sendall(b"end\n")


@contextmanager
def backends(*names: str, **settings: object) -> Iterator[list[Backend]]:
    """All on one port, each on a loopback address of its own, as nodes are."""
    made = [Backend(name, f"127.0.0.{number}") for number, name in enumerate(names, 2)]
    try:
        for backend in made:
            backend.port = made[0].port
            for key, value in settings.items():
                setattr(backend, key, value)
            backend.up()
        yield made
    finally:
        for backend in made:
            backend.ended.set()
            backend.down()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
