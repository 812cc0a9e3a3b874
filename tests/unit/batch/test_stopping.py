from __future__ import annotations

import os
import signal

import pytest

from qupath_her2.batch.stopping import FINISH_S, Stop, stopped_by_signals


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="SIGUSR1 is POSIX")
def test_signals_say_how_a_run_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_signals() as stop:
        assert not stop.is_wanted
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (stop.is_wanted, stop.must_drop) == (True, False)
        # What comes later can only shorten the time.
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.must_drop
    assert signal.getsignal(signal.SIGTERM) is before


def test_images_may_finish_within_a_time() -> None:
    stop = Stop()
    stop.finish(FINISH_S)
    assert (stop.is_wanted, stop.must_drop) == (True, False)
    stop.finish(0)
    assert stop.must_drop
