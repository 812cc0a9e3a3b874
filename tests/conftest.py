"""What holds for every test, whoever starts them."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell's background job is started deaf to it, and so are commands begun by tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
