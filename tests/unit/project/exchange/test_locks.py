"""Image locks: exclusive, released, and taken over from dead holders only."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange import locks
from qupath_her2.project.exchange.locks import ImageBusyError, lock_image


def write_lock(her2: Path, *, age_s: float = 0, **content) -> Path:
    path = her2 / "results" / "7.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_lock_is_exclusive_and_released(tmp_path: Path) -> None:
    with lock_image(tmp_path, "7") as lock:
        assert lock.path.exists()
        with pytest.raises(ImageBusyError, match=f"process {os.getpid()} on"), lock_image(tmp_path, "7"):
            pass
        assert lock.path.exists()
        with lock_image(tmp_path, "8"):
            pass
    assert not list((tmp_path / "results").iterdir())


def test_released_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), lock_image(tmp_path, "7"):
        raise KeyboardInterrupt
    assert not list((tmp_path / "results").iterdir())


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    write_lock(tmp_path, host=socket.gethostname(), pid=dead_pid(), born=None, token="x")
    with lock_image(tmp_path, "7"):
        pass
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_reused_pid_does_not_hold_the_lock(tmp_path: Path) -> None:
    write_lock(tmp_path, host=socket.gethostname(), pid=os.getpid(), born="1", token="x")
    with lock_image(tmp_path, "7"):
        pass


@pytest.mark.parametrize(("age_s", "is_free"), [(0, False), (locks.STALE_AFTER_S + 60, True)])
def test_the_lock_of_another_machine_is_respected_until_it_was_silent(
    age_s: float, is_free: bool, tmp_path: Path
) -> None:
    write_lock(tmp_path, age_s=age_s, host="elsewhere", pid=1, born=None, token="x")
    if is_free:
        with lock_image(tmp_path, "7"):
            pass
    else:
        with pytest.raises(ImageBusyError, match="on elsewhere"), lock_image(tmp_path, "7"):
            pass


@pytest.mark.parametrize(("age_s", "is_free"), [(0, False), (60, True)])
def test_an_empty_lock_is_respected_for_a_moment(age_s: float, is_free: bool, tmp_path: Path) -> None:
    path = write_lock(tmp_path)
    path.write_bytes(b"")
    os.utime(path, (time.time() - age_s,) * 2)
    if is_free:
        with lock_image(tmp_path, "7"):
            pass
    else:
        with pytest.raises(ImageBusyError, match="another worker"), lock_image(tmp_path, "7"):
            pass


def test_touch_renews_the_lock(tmp_path: Path) -> None:
    with lock_image(tmp_path, "7") as lock:
        os.utime(lock.path, (0, 0))
        lock.touch()
        assert time.time() - lock.path.stat().st_mtime < 60


def test_a_held_lock_is_renewed_whatever_its_holder_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_S", 0.02)
    with lock_image(tmp_path, "7") as lock:
        os.utime(lock.path, (0, 0))
        end = time.monotonic() + 10
        while lock.path.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert time.time() - lock.path.stat().st_mtime < 60
        # The lock of somebody else is never renewed.
        lock.path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "theirs"}))
        os.utime(lock.path, (0, 0))
        time.sleep(0.1)
        assert lock.path.stat().st_mtime == 0


def test_a_container_with_the_name_of_its_host_is_another_machine(tmp_path: Path) -> None:
    lock = {
        "host": socket.gethostname(),
        "space": "another kernel",
        "pid": dead_pid(),
        "born": None,
        "token": "x",
    }
    write_lock(tmp_path, **lock)
    assert locks.is_locked(tmp_path, "7")
    with pytest.raises(ImageBusyError), lock_image(tmp_path, "7"):
        pass
    write_lock(tmp_path, age_s=locks.STALE_AFTER_S + 60, **lock)
    assert not locks.is_locked(tmp_path, "7")
    with lock_image(tmp_path, "7"):
        assert locks.is_locked(tmp_path, "7")
    assert not locks.is_locked(tmp_path, "7")
    assert not list((tmp_path / "results").iterdir())


def test_silence_is_measured_by_the_clock_of_the_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(tmp_path, host="elsewhere", pid=1, born=None, token="x")
    # This machine's clock is a day ahead of the drive's.
    ahead = time.time() + 86_400
    monkeypatch.setattr(locks.time, "time", lambda: ahead)
    assert locks.is_locked(tmp_path, "7")


def test_a_holder_taken_for_dead_finds_out(tmp_path: Path) -> None:
    with lock_image(tmp_path, "7") as lock:
        lock.check()
        lock.path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "theirs"}))
        with pytest.raises(ImageBusyError, match="on elsewhere"):
            lock.check()


def test_a_lock_taken_over_by_another_worker_is_not_removed(tmp_path: Path) -> None:
    with lock_image(tmp_path, "7") as lock:
        lock.path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "theirs"}))
    assert json.loads(lock.path.read_text())["token"] == "theirs"


def test_a_dead_lock_is_taken_over_once(tmp_path: Path) -> None:
    """Many threads compete for the lock of a dead worker; no two of them ever hold it together."""
    pid = dead_pid()
    together, most, lock = [0], [0], threading.Lock()

    def worker() -> None:
        for _ in range(10):
            try:
                with lock_image(tmp_path, "7"):
                    with lock:
                        together[0] += 1
                        most[0] = max(most[0], together[0])
                    time.sleep(0.001)
                    with lock:
                        together[0] -= 1
            except ImageBusyError:
                time.sleep(0.0005)

    for _ in range(5):
        write_lock(tmp_path, host=socket.gethostname(), pid=pid, born=None, token="x")
        threads = [threading.Thread(target=worker) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most[0] == 1
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.parametrize("image", ["../../elsewhere", "a/b", "..", "", "a\\b", "/tmp/x"])
def test_a_lock_never_lies_outside_the_exchange_folder(tmp_path: Path, image: str) -> None:
    with (
        pytest.raises(ExchangeError, match="is not the id of an image"),
        lock_image(tmp_path / "her2", image),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_what_was_left_before_the_clock_was_set_back_does_not_block(tmp_path: Path) -> None:
    path = write_lock(tmp_path, age_s=-86_400)
    path.write_bytes(b"")
    os.utime(path, (time.time() + 86_400,) * 2)
    with lock_image(tmp_path, "7"):
        pass
    # A takeover that was killed half-way a moment ago, and knows its process: the first attempt clears it away.
    dead = {"host": socket.gethostname(), "pid": dead_pid(), "born": None, "token": "x"}
    write_lock(tmp_path, age_s=1, **dead)
    path.with_suffix(".takeover").write_text(json.dumps(dead))
    with pytest.raises(ImageBusyError), lock_image(tmp_path, "7"):
        pass
    with lock_image(tmp_path, "7"):
        pass
    # One that was killed before it had written who it is.
    write_lock(tmp_path, age_s=-86_400, host=socket.gethostname(), pid=dead_pid(), born=None, token="x")
    guard = path.with_suffix(".takeover")
    guard.write_text("{}")
    os.utime(guard, (time.time() + 86_400,) * 2)
    with pytest.raises(ImageBusyError), lock_image(tmp_path, "7"):
        pass
    with lock_image(tmp_path, "7"):
        pass
    assert not list((tmp_path / "results").iterdir())
