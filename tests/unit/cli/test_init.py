"""The program as a whole: help and version."""

from __future__ import annotations

import re

import pytest

from tests.unit.cli.commands import call, start


@pytest.mark.parametrize("verb", ["run", "cells", "score", "report", "regions", "doctor", "example"])
def test_help_teaches_by_example(verb: str) -> None:
    code, out, _ = call(verb, "--help")
    assert code == 0
    assert f"qupath-her2 {verb}" in out
    assert "Example" in out


def test_version_and_help_of_the_installed_command() -> None:
    process = start("--version")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.match(r"qupath-her2 \S+", out)
