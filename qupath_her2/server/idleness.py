"""The time since the last call, after which a service that QuPath started ends by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["CallWatch", "LastCall"]

#: Asked by programs that only want to know whether the service runs.
_NO_CALLS = ("/healthz",)


class LastCall:
    """When the last call of a service ended."""

    def __init__(self) -> None:
        self._n_open = 0
        self._ended = time.monotonic()

    def begin(self) -> None:
        """Count a call."""
        self._n_open += 1

    def end(self) -> None:
        """Note that a call has been answered."""
        self._n_open -= 1
        self._ended = time.monotonic()

    def idle_s(self) -> float:
        """Return how long nobody has called, seconds; 0 while a call is being answered."""
        return 0.0 if self._n_open else time.monotonic() - self._ended


class CallWatch:
    """ASGI middleware that notes each call.

    Parameters
    ----------
    app
        What is called.
    last
        Told of each call. Calls begin and end in turns of one event loop: no lock is needed.
    """

    def __init__(self, app: ASGIApp, last: LastCall) -> None:
        self._app, self._last = app, last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the call on."""
        if scope["type"] != "http" or scope["path"] in _NO_CALLS:
            await self._app(scope, receive, send)
            return
        self._last.begin()
        try:
            await self._app(scope, receive, send)
        finally:
            self._last.end()
