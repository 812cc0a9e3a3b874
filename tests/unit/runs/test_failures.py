from __future__ import annotations

import errno

import pytest

from qupath_her2.errors import (
    ExchangeError,
    Her2Error,
    ImageReadError,
    MissingExtraError,
    ModelError,
    OutputError,
    RegionFileError,
    SettingsError,
)
from qupath_her2.project.exchange.locks import ImageBusyError
from qupath_her2.runs.failures import PASSING, failure_class


class OutOfMemoryError(RuntimeError):
    """Named as CUDA's error in torch is."""


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ImageReadError("x"), "unreadable"),
        (RegionFileError("x"), "regions"),
        (SettingsError("x"), "settings"),
        (ModelError("x"), "model"),
        (MissingExtraError("x"), "model"),
        (OutputError(errno.ENOSPC, "full"), "output"),
        (ExchangeError("x"), "exchange"),
        (ImageBusyError("x"), "busy"),
        (MemoryError(), "memory"),
        (OutOfMemoryError("CUDA out of memory"), "memory"),
        (caused(ImageReadError("x"), MemoryError()), "memory"),
        (OSError(errno.ENOMEM, "x"), "memory"),
        (caused(ImageReadError("x"), OSError(errno.ESTALE, "x")), "storage"),
        (OutputError(errno.EIO, "x"), "storage"),
        (ZeroDivisionError(), "unexpected"),
        (Her2Error("x"), "unexpected"),
    ],
)
def test_errors_have_their_class(error: Exception, name: str) -> None:
    assert failure_class(error) == name


def test_a_file_that_is_gone_does_not_pass_by_itself() -> None:
    assert failure_class(caused(ImageReadError("x"), FileNotFoundError(errno.ENOENT, "x"))) == "unreadable"
    assert "unreadable" not in PASSING
    circle = ValueError()
    circle.__cause__ = circle
    assert failure_class(circle) == "unexpected"
