"""The discovery file: where a running service is found by QuPath, scripts and a second start.

``service.json`` in the user's state folder holds address, token, process id and version, readable by its owner alone.
The state folder is ``$QUPATH_HER2_STATE`` where that is set, else the system's usual place for a user's state.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qupath_her2.project.exchange.writing import output_errors

__all__ = [
    "STATE_VARIABLE",
    "RunningService",
    "find_service",
    "forget_service",
    "publish_service",
    "state_folder",
]

STATE_VARIABLE = "QUPATH_HER2_STATE"
_FILE = "service.json"
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service as its discovery file describes it.

    Attributes
    ----------
    url
        Address without a trailing slash.
    token
        For the header ``Authorization: Bearer``.
    pid
        Its process.
    version
        Of qupath-her2.
    """

    url: str
    token: str
    pid: int
    version: str


def state_folder() -> Path:
    """Return the folder in which this user's service keeps its queue, uploads and discovery file."""
    named = os.environ.get(STATE_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_state_path

    return user_state_path("qupath-her2", appauthor=False)


def publish_service(state: Path, service: RunningService) -> None:
    """Write the discovery file, readable by its owner alone from its first byte.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = state / _FILE
    draft = path.with_name(f"{_FILE}.{os.getpid()}.tmp")
    with output_errors(path):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(service), file)
        draft.replace(path)


def forget_service(state: Path, pid: int) -> None:
    """Remove the discovery file of a service that ends; that of another process stays."""
    known = _read(state)
    if known is not None and known.pid == pid:
        (state / _FILE).unlink(missing_ok=True)


def find_service(state: Path | None = None) -> RunningService | None:
    """Return the service that runs for this user, None where none answers.

    Parameters
    ----------
    state
        Its state folder; None takes the user's.
    """
    known = _read(state or state_folder())
    if known is None:
        return None
    health = health_of(known.url)
    # Another program may have been given the port of a service that was killed.
    return known if health is not None and health.get("pid") == known.pid else None


def health_of(url: str) -> dict[str, Any] | None:
    """Return what a service says of itself at ``/healthz``; None where nothing or something else answers."""
    # Nothing secret is sent, so that a certificate which only this machine knows need not be checked. A proxy of the
    # system has no business with this machine's own addresses.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{url}/healthz", timeout=_ANSWER_S) as answer:
            found = json.load(answer)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("status") == "ok" else None


def _read(state: Path) -> RunningService | None:
    """Return the content of the discovery file; None where there is none, or a half-written or foreign one."""
    try:
        found = json.loads((state / _FILE).read_text(encoding="utf-8"))
        return RunningService(found["url"], found["token"], int(found["pid"]), found["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
