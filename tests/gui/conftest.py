from __future__ import annotations

from tests.groovy.conftest import pytest_generate_tests

__all__ = ["pytest_generate_tests"]
