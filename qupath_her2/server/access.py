"""The door of the service: the right Host, no foreign Origin, and the token on every call of the API.

A page of the web can make a browser send requests to this machine. The Host header tells requests whose name was bound
to this machine by a foreign name server (DNS rebinding), the Origin header those of another page; the token, which no
page of the web knows, is asked for in any case.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from qupath_her2.server.problems import Problem, problem_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AccessCheck", "allowed_hosts"]

_API = "/api/"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

#: Nothing is loaded from elsewhere; tiles and pictures that the page fetched with its token are blobs.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def allowed_hosts(names: Iterable[str], port: int) -> frozenset[str]:
    """Return the Host headers that mean this service: by its own names and those of the loopback address."""
    own = (f"[{name}]" if ":" in name else name for name in names)
    return frozenset(f"{name.lower()}:{port}" for name in (*own, *_LOOPBACK_NAMES))


class AccessCheck:
    """ASGI middleware that lets only known requests through.

    Parameters
    ----------
    app
        What is protected.
    token
        Asked for as ``Authorization: Bearer TOKEN`` on everything below ``/api/``.
    hosts
        Host headers that are accepted.
    scheme
        ``http`` or ``https``, for the Origin.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], scheme: str = "http") -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, or hand it on."""
        if scope["type"] != "http":
            # Neither web sockets nor anything else is served; the lifespan of the app is.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = self._problem(scope["path"], Headers(scope=scope))
        answer = self._app if problem is None else problem_response(problem)
        await answer(scope, receive, with_headers)

    def _problem(self, path: str, headers: Headers) -> Problem | None:
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if host not in self._hosts:
            return Problem(
                421, f"This service does not answer to the name {host!r}.", "Use the address that it printed."
            )
        if origin is not None and origin.lower() not in self._origins:
            return Problem(403, "The request comes from another page.", "Open the service's own page.")
        if path.startswith(_API) and not self._has_token(headers):
            return Problem(
                401,
                "The token is missing or wrong.",
                "Send the header Authorization: Bearer TOKEN with the token of the discovery file.",
                {"WWW-Authenticate": "Bearer"},
            )
        return None

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode("utf-8", "replace"), self._token
        )
