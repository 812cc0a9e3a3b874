"""A service of its own and a browser for its page, for tests and for the picture in the README."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tests.helpers.chromium import find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["WAIT_S", "Served", "open_browser", "start_service"]

ROOT = Path(__file__).parents[2]
WAIT_S = 90


@dataclass(frozen=True)
class Served:
    """A running service."""

    url: str
    token: str

    @property
    def page(self) -> str:
        """Address of its page, as the service prints it."""
        return f"{self.url}/#token={self.token}"

    @property
    def headers(self) -> dict[str, str]:
        """What a call of its API needs."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def start_service(state: Path, *flags: str) -> Iterator[Served]:
    """Start a service whose files lie in `state`, and end it afterwards."""
    command = [sys.executable, "-m", "qupath_her2", "serve", "--state", str(state), *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (state / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=state, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            yield _started(state / "service.json", process, state / "log.txt")
        finally:
            process.terminate()
            process.wait(WAIT_S)


def _started(path: Path, process: subprocess.Popen[bytes], log: Path) -> Served:
    for _ in range(10 * WAIT_S):
        if path.is_file():
            stated: dict[str, Any] = orjson.loads(path.read_bytes())
            return Served(stated["url"], stated["token"])
        assert process.poll() is None, log.read_text(errors="replace")
        time.sleep(0.1)
    raise AssertionError(f"the service did not start: {log.read_text(errors='replace')}")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the system's Chromium without a window; nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    # As root, which continuous integration often is, Chromium starts only without its own sandbox.
    arguments = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        browser.close()
