"""Makes `drawn`, the drawn images shared with the reader contract, importable by its file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def drawn():
    spec = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
