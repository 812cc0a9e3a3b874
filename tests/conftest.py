"""What holds for every test, whoever starts them."""

from __future__ import annotations

import signal

import hypothesis


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell's background job is started deaf to it, and so are commands begun by tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The first example pays for imports inside functions (scikit-learn, scikit-image), on a busy machine seconds.
    hypothesis.settings.register_profile("no deadline", deadline=None)
    hypothesis.settings.load_profile("no deadline")
