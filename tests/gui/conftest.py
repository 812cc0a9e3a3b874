from __future__ import annotations

from tests.groovy.conftest import _compiled, pytest_generate_tests

__all__ = ["_compiled", "pytest_generate_tests"]
