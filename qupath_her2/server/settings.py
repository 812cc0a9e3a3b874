"""Settings of the service: where it listens, what it may read, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qupath_her2.errors import SettingsError

__all__ = ["ServiceSettings", "is_loopback"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BYTES_PER_GB = 1_000_000_000


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    return host in _LOOPBACK


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What one service is told when it starts.

    Attributes
    ----------
    state
        Folder of the queue, of uploads and of results, for the user alone.
    host, port
        Address; port 0 takes a free one.
    names
        Further names by which callers reach this machine; requests for any other name are refused.
    roots
        Folders whose images a request may name by path; none lets only uploads in.
    models
        Folders searched for checkpoints.
    config
        ``her2.toml`` of all jobs; None takes that beside a slide, or the defaults.
    workers
        Slides worked on at once.
    threads
        Threads for each slide.
    max_upload_gb
        Largest request, GB.
    max_waiting
        Jobs that may wait; further ones are told when to come again.
    idle_minutes
        Worker processes, and the networks they hold, end after so many minutes without work.
    ends_when_idle
        The service ends after the same time without a call or a job.
    tls_certificate, tls_key
        PEM files for HTTPS.
    accepts_plain_http
        The user accepted the risk of a network without encryption.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    config: Path | None = None
    workers: int = 1
    threads: int = 1
    max_upload_gb: float = 20.0
    max_waiting: int = 20
    idle_minutes: float = 30.0
    ends_when_idle: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    accepts_plain_http: bool = False

    @property
    def max_upload_bytes(self) -> int:
        """Largest request, bytes."""
        return int(self.max_upload_gb * _BYTES_PER_GB)

    @property
    def scheme(self) -> str:
        """``https`` with a certificate, else ``http``."""
        return "https" if self.tls_certificate is not None else "http"

    def check(self) -> None:
        """Raise SettingsError where slides and token would cross a network unprotected, or a folder is missing."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError("A certificate needs its key. Pass --tls-certificate and --tls-key together.")
        if not is_loopback(self.host) and self.tls_certificate is None and not self.accepts_plain_http:
            raise SettingsError(
                f"Listening on '{self.host}' would send slides and the token over the network unencrypted. Pass "
                "--tls-certificate and --tls-key, or accept that with --accept-plain-http."
            )
        for flag, folders in (("--root", self.roots), ("--models", self.models)):
            for folder in folders:
                if not folder.is_dir():
                    raise SettingsError(f"{flag} '{folder}' is no folder. Check the path.")
