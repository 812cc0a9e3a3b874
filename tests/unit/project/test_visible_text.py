"""Characters that hide or reorder text are shown, and the rest is left alone."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.project.visible_text import visible_name, visible_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("slide\u202egpj.exe", r"slide\u202egpj.exe"),
        ("a\x1b[31mb\x00", r"a\x1b[31mb\x00"),
        ("a\x85b", r"a\x85b"),
        (b"K\xe4se.svs".decode("utf-8", "surrogateescape"), r"K\udce4se.svs"),
        ("Käse שלום 患者\tx\ny", "Käse שלום 患者\tx\ny"),
    ],
)
def test_hidden_characters_are_shown(text: str, shown: str) -> None:
    assert visible_text(text) == shown


def test_a_name_stays_on_its_line() -> None:
    assert visible_name("a\nb\r\tc\x1b[2J ü") == r"a\nb\r\tc\x1b[2J ü"


@given(st.text(st.characters(exclude_characters="\\'\t\n\r"), max_size=30))
def test_nothing_is_lost_and_the_rest_can_be_written(text: str) -> None:
    shown = visible_text(text)
    shown.encode()
    assert ast.literal_eval(f"'{shown}'") == text
