"""The browser of the system for tests of the page; none is ever downloaded."""

from __future__ import annotations

import importlib.util
import os
import shutil

__all__ = ["find_chromium", "missing_browser"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Path of the browser: that of the environment variable, or one of the usual names; None without one."""
    return os.environ.get("QUPATH_HER2_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def missing_browser() -> str:
    """What tests of the page lack on this machine; "" where they can run."""
    lacking = [
        f"pip install {name}"
        for name, module in (
            ("playwright", "playwright"),
            ("axe-playwright-python", "axe_playwright_python"),
            ("qupath-her2[serve]", "fastapi"),
        )
        if importlib.util.find_spec(module) is None
    ]
    if find_chromium() is None:
        lacking.append("no Chromium found (apt install chromium, or QUPATH_HER2_CHROMIUM)")
    return "; ".join(lacking)
