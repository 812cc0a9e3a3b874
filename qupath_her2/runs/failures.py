"""Classes of failure: why an image has no result, and whether another try can give it one.

The class goes with the message into the table of a batch. What kind of error it was is asked once, where it is caught;
later there is only its text.
"""

from __future__ import annotations

import errno
from typing import Literal, TypeAlias

from qupath_her2.errors import (
    ExchangeError,
    ImageReadError,
    MissingExtraError,
    ModelError,
    OutputError,
    RegionFileError,
    SettingsError,
)
from qupath_her2.project.exchange.locks import ImageBusyError

__all__ = ["PASSING", "FailureClass", "failure_class"]

#: Why an image failed: its file or regions cannot be read, a setting or network does not fit, the result cannot be
#: written, a stored run is damaged, a drive or network was away (``storage``), memory ran out, the worker process was
#: ended from outside, it never came to an end, another worker holds the image, or a fault of the program.
FailureClass: TypeAlias = Literal[
    "unreadable",
    "regions",
    "settings",
    "model",
    "output",
    "exchange",
    "storage",
    "memory",
    "killed",
    "endless",
    "busy",
    "unexpected",
]

#: Classes that may pass by themselves.
PASSING: frozenset[str] = frozenset({"storage", "memory", "killed"})

#: What the system answers where a drive or a network is away for a moment; not ENOENT, which a moved file gives too.
_AWAY = {
    getattr(errno, name)
    for name in (
        *(
            "EIO",
            "ESTALE",
            "ETIMEDOUT",
            "EAGAIN",
            "EINTR",
            "ECONNRESET",
            "ECONNABORTED",
            "ENOTCONN",
            "EREMOTEIO",
        ),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH"),
    )
    if hasattr(errno, name)
}

#: The first that fits counts, so subclasses stand before their base.
_CLASSES: tuple[tuple[type[Exception], FailureClass], ...] = (
    (ImageBusyError, "busy"),
    (ImageReadError, "unreadable"),
    (RegionFileError, "regions"),
    (SettingsError, "settings"),
    (ModelError, "model"),
    (MissingExtraError, "model"),
    (OutputError, "output"),
    (ExchangeError, "exchange"),
)


def failure_class(error: BaseException) -> FailureClass:
    """Return the class of an error that an image ended in, by the error and those that caused it."""
    chain = _chain(error)
    # CUDA's error is a RuntimeError of torch, which is not imported to ask for its type.
    if any(isinstance(one, MemoryError) or "OutOfMemory" in type(one).__name__ for one in chain):
        return "memory"
    if any(isinstance(one, OSError) and one.errno in _AWAY for one in chain):
        return "storage"
    if any(isinstance(one, OSError) and one.errno == errno.ENOMEM for one in chain):
        return "memory"
    return next((name for kind, name in _CLASSES if isinstance(error, kind)), "unexpected")


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes; an error may be its own cause in a circle."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    return chain
