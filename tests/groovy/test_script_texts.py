"""Conventions for every script; needs no QuPath."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.groovy.conftest import SCRIPTS

FILES = sorted(SCRIPTS.glob("*.groovy"))


def test_there_are_scripts() -> None:
    assert FILES


@pytest.mark.parametrize("script", FILES, ids=lambda f: f.stem)
class TestScript:
    def test_header_lists_requirements_and_effects(self, script: Path) -> None:
        header = script.read_text(encoding="utf-8").split("*/")[0]
        assert header.startswith("/**\n * ")
        words = re.findall(r"^ \* ([A-Z]+)  ", header, re.MULTILINE)
        assert words == ["REQUIRES", "READS", "WRITES", "STEPS", "TESTED"]

    def test_closing_line_is_named_after_the_script(self, script: Path) -> None:
        text = script.read_text(encoding="utf-8")
        assert re.findall(r'println "HER2_([A-Z_]+)_OK [a-z]+=', text) == [script.stem.upper()]

    def test_lines_fit_on_a_screen(self, script: Path) -> None:
        """Users read the scripts in QuPath's script editor."""
        long = [line for line in script.read_text(encoding="utf-8").splitlines() if len(line) > 120]
        assert not long

    def test_avoids_what_qupath_lacks(self, script: Path) -> None:
        """QuPath ships no groovy.json or groovy.yaml, and a class named args hides a script's arguments."""
        assert not re.search(r"groovy\.(json|yaml)", script.read_text(encoding="utf-8"))
        assert script.stem != "args"
