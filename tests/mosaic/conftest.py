"""What the tests of mosaics share: Dask may talk to itself, on this machine alone."""

from __future__ import annotations

import socket
from typing import Any

import pytest

_CONNECT, _LOOK_UP, _CREATE = (
    socket.socket.connect,
    socket.getaddrinfo,
    socket.create_connection,
)
_HERE = ("127.0.0.1", "localhost", "::1", None)


@pytest.fixture
def loopback(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow connections to this machine, which `no_network` forbids with all others."""
    refuse_look_up, refuse = socket.getaddrinfo, socket.socket.connect

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        return (_LOOK_UP if host in _HERE else refuse_look_up)(host, *args, **options)

    def connect(self: socket.socket, address: Any) -> Any:
        inside = isinstance(address, tuple) and address[0] in _HERE
        return (_CONNECT if inside else refuse)(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    # It goes through the two above.
    monkeypatch.setattr(socket, "create_connection", _CREATE)
