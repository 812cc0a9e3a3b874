from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from qupath_her2.server import slow_senders
from qupath_her2.server.slow_senders import TimedProtocol

HEAD_S = 0.6


async def answer(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    # Longer than the wait for a head: an answer that takes its time is nobody's fault.
    await asyncio.sleep(HEAD_S * 1.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(slow_senders, "HEAD_S", HEAD_S)
    config = uvicorn.Config(answer, port=0, http=TimedProtocol, lifespan="off", log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def send_slowly(port: int, pieces: list[bytes], pause_s: float) -> tuple[bytes, float]:
    """Send pieces with pauses; what came back until the connection closed, and how long that took."""
    start = time.monotonic()
    answered = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(1000):
                answered += received
    return answered, time.monotonic() - start


def test_a_head_that_never_ends_is_cut_off(port: int) -> None:
    endless = [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X: y\r\n"] * 200]
    answered, took_s = send_slowly(port, endless, 0.05)
    assert answered == b""
    assert took_s < 15


def test_a_silent_connection_is_cut_off(port: int) -> None:
    answered, took_s = send_slowly(port, [], 0.0)
    assert answered == b""
    assert HEAD_S * 0.9 < took_s < 15


def test_slow_bodies_and_slow_answers_are_not(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n"
    answered, _ = send_slowly(port, [head, *[b"x"] * 10], HEAD_S / 5)
    assert answered.endswith(b"ok")
