"""What holds for every test: no network, and hypothesis without deadlines (timings never gate)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import settings

settings.register_profile("buildext", deadline=None, max_examples=60)
settings.load_profile("buildext")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept between runs is kept between tests, and not in the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUILDEXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class NetworkUsedError(BaseException):
    """Raised on any attempt to reach the network; no `except Exception` can hide it."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forbid look-ups and connections, but for pairs of sockets inside the process."""
    tried: list[str] = []

    def refuse(*args: Any, **_: Any) -> NoReturn:
        tried.append(repr(args))
        raise NetworkUsedError(f"the network was used: {args}")

    def connect(self: socket.socket, address: Any) -> Any:
        if self.family == socket.AF_UNIX:
            return unix_connect(self, address)
        return refuse(address)

    unix_connect = socket.socket.connect
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    yield
    # Threads of telemetry swallow what they raise: look at what was tried, not at what came back.
    assert not tried, f"the network was used: {tried}"
