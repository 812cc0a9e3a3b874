"""Starting the service: one for each user, found by its discovery file, ended in order by a signal."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

from qupath_her2.errors import OutputError, ServiceError
from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.provenance import versions
from qupath_her2.server.app import create_app
from qupath_her2.server.discovery import RunningService, find_service, forget_service, publish_service
from qupath_her2.server.service import Service
from qupath_her2.server.slow_senders import TimedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from qupath_her2.server.settings import ServiceSettings

__all__ = ["serve"]

_STOP_S = 10
#: A service that was started at the same time answers within so many seconds.
_START_S = 30.0
#: {an address that stands for all of this machine: the one by which this machine itself calls it}.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class _Server(uvicorn.Server):
    """A server that tells its service of the signal, so that streams end by themselves."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._service.is_stopping = True
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end, asked ten times a second."""
        if self._service.settings.ends_when_idle and self._service.is_idle():
            self._service.is_stopping = self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: ServiceSettings, tell: Callable[[RunningService, bool], None]) -> bool:
    """Serve until a signal asks to end, or until nobody calls any more where the settings say so.

    Parameters
    ----------
    settings
        Checked.
    tell
        Called with the service once it listens, and whether it was running before.

    Returns
    -------
    bool
        False where a service of this state folder runs already: nothing is started.

    Raises
    ------
    SettingsError
        Where it would listen is not protected.
    OutputError
        The port is taken, or the state folder cannot be written.
    ServiceError
        Another process holds the state folder, and does not answer.
    """
    settings.check()
    running = find_service(settings.state)
    if running is None:
        with _listening_socket(settings) as listener, _claimed(settings.state) as is_alone:
            if is_alone:
                _serve_at(listener, settings, tell)
                return True
            running = _other_start(settings.state)
    tell(running, True)
    return False


def _serve_at(
    listener: socket.socket, settings: ServiceSettings, tell: Callable[[RunningService, bool], None]
) -> None:
    host, port = listener.getsockname()[:2]
    host = _ANY.get(host, host)
    name = f"[{host}]" if ":" in host else host
    service = Service(settings, secrets.token_urlsafe(32))
    here = RunningService(
        f"{settings.scheme}://{name}:{port}", service.token, os.getpid(), versions()["qupath-her2"]
    )
    server = _Server(_config(service, port), service)
    publish_service(settings.state, here)
    try:
        with _signals_heard():
            tell(here, False)
            service.warm_up()
            server.run(sockets=[listener])
    finally:
        forget_service(settings.state, here.pid)


@contextlib.contextmanager
def _claimed(state: Path) -> Iterator[bool]:
    """Claim a state folder, whose queue belongs to one service at a time; yield whether nobody else has."""
    # A lock of SQLite is the system's own: it ends with its process, however that ends, on every system.
    path = state / "serve.lock"
    with output_errors(path):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            yield False
            return
        yield True


def _other_start(state: Path) -> RunningService:
    """Return the service that was started at the same time, once it answers."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        running = find_service(state)
        if running is not None:
            return running
        time.sleep(0.2)
    raise ServiceError(
        f"Another process holds the service's folder '{state}' and does not answer. End it, then start again."
    )


@contextlib.contextmanager
def _signals_heard() -> Iterator[None]:
    """Outlive the signal that ends the server, which uvicorn raises a second time once it has ended."""
    before = {one: signal.signal(one, _heard) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _heard(number: int, frame: FrameType | None) -> None:
    """Go on: the server has heard the signal."""


def _config(service: Service, port: int) -> uvicorn.Config:
    settings = service.settings
    return uvicorn.Config(
        create_app(service, port),
        http=TimedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


def _listening_socket(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise OutputError(
            error.errno,
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror or error}). Pass another --port.",
        ) from error
    return listener
