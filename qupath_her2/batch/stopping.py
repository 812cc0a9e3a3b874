"""The end of a run before its time: signals of schedulers, and what they ask for.

SIGUSR1, which Slurm sends some minutes before the time limit where the script asks for it, lets the running images
finish within `FINISH_S` and begins no new ones. SIGTERM, after which Slurm kills within half a minute, drops the
running images at their next tile. Nothing of a dropped image is left, and the next run begins it anew.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

__all__ = ["FINISH_S", "Stop", "heard_interrupt", "stopped_by_signals"]

#: Seconds that running images have to finish after SIGUSR1.
FINISH_S = 240.0


@dataclass(slots=True)
class Stop:
    """Whether a run is to end, and until when running images may finish.

    Attributes
    ----------
    drop_at
        Time (of `time.monotonic`) from which running images are dropped; None while the run may go on.
    """

    drop_at: float | None = None

    def finish(self, within_s: float = FINISH_S) -> None:
        """Begin no new image, and drop those that have not finished in time."""
        at = time.monotonic() + within_s
        self.drop_at = at if self.drop_at is None else min(at, self.drop_at)

    @property
    def is_wanted(self) -> bool:
        """Whether no new image is to be begun."""
        return self.drop_at is not None

    @property
    def must_drop(self) -> bool:
        """Whether running images are to be dropped now."""
        return self.drop_at is not None and time.monotonic() >= self.drop_at


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Yield a `Stop` that SIGUSR1 and SIGTERM set during the block; call it in the main thread.

    Yields
    ------
    Stop
        To hand to the driver.
    """
    stop = Stop()
    wishes = {"SIGUSR1": FINISH_S, "SIGTERM": 0.0}
    # Windows has no SIGUSR1.
    known = {getattr(signal, name): within_s for name, within_s in wishes.items() if hasattr(signal, name)}

    def hear(number: int, frame: FrameType | None) -> None:
        stop.finish(known[signal.Signals(number)])

    before = {one: signal.signal(one, hear) for one in known}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextlib.contextmanager
def heard_interrupt() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets during the block, beside the KeyboardInterrupt that it raises as ever.

    Raised inside a decoder or a callback of compiled code, the interrupt may come out as an error of theirs, and the
    image would count as failed instead of the run as cancelled.

    Yields
    ------
    threading.Event
        Never set outside the main thread, or where the caller handles Ctrl-C itself.
    """
    heard = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield heard
        return

    def hear(number: int, frame: FrameType | None) -> None:
        heard.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, hear)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
