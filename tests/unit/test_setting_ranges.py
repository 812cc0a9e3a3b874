"""Ranges of settings: which values hold, and what the messages say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.setting_ranges import (
    Density,
    Device,
    Range,
    Seed,
    Share,
    Text,
    check_order,
    check_settings,
    expected,
    shown,
)


@dataclass(frozen=True, slots=True)
class Inner:
    share: Share = 0.5

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Table:
    low_od: Density = 0.1
    high_od: Density = 0.2
    n: Annotated[int, Range(1, 8, "cells")] = 4
    step_px: Annotated[int, Range(8, 64, "px", multiple=8)] = 8
    stride: Annotated[float, Range(0.5, 2, "µm", or_zero=True)] = 0.0
    pair: tuple[Share, Share] = (0.0, 1.0)
    many: Annotated[tuple[float, ...], Range(0, 1, is_open="both")] = (0.5,)
    kind: Literal["a", "b"] = "a"
    is_on: bool = False
    name: Annotated[str, Text("a name")] = "x"
    column: Annotated[str, Text("a column", may_be_empty=True)] = ""
    device: Device = "auto"
    seed: Seed = 0
    either: Literal["none"] | Annotated[tuple[float, ...], Range(0, 9)] = "none"
    inner: Inner | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "low_od", "high_od")


@pytest.mark.parametrize(
    "good",
    [
        {"low_od": 0, "high_od": 4},
        {"n": 1},
        {"n": 8},
        {"step_px": 64},
        {"stride": 0},
        {"stride": 0.5},
        {"many": (0.1, 0.9)},
        {"column": "HER2 score (%)"},
        {"name": "Invasief carcinoom ü"},
        {"device": "cuda:1"},
        {"seed": 2**32 - 1},
        {"either": (0, 9)},
        {"inner": Inner()},
    ],
)
def test_values_in_range_are_kept(good: dict[str, Any]) -> None:
    table = Table(**good)
    assert {name: getattr(table, name) for name in good} == good


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"low_od": -0.01}, r"low_od is -0\.01; it must be 0 to 4 OD\."),
        ({"high_od": 1e308}, r"high_od is 1e\+308; it must be 0 to 4 OD\."),
        ({"low_od": math.nan}, "low_od is nan; it must be 0 to 4 OD"),
        ({"low_od": True}, "low_od is True; it must be 0 to 4 OD"),
        ({"low_od": "0.1"}, "low_od is '0.1'; it must be 0 to 4 OD"),
        ({"low_od": 0.2}, r"low_od is 0\.2; it must be below high_od, which is 0\.2"),
        ({"n": 0}, "n is 0; it must be a whole number, 1 to 8 cells"),
        ({"n": 2.0}, r"n is 2\.0; it must be a whole number"),
        ({"n": True}, "n is True; it must be a whole number"),
        ({"n": 10**400}, "n is an integer of 1329 bits; it must be"),
        ({"step_px": 12}, "8 to 64 px, a multiple of 8"),
        ({"stride": 0.1}, r"0 or 0\.5 to 2 µm"),
        ({"pair": (0.0,)}, r"pair is \(0\.0,\); it must be a list of 2 values, each 0 to 1"),
        ({"pair": (0.0, 2.0)}, "a list of 2 values, each 0 to 1"),
        ({"many": ()}, "a list of 1 to 100 values, each above 0, below 1"),
        ({"many": (0.5, math.inf)}, "each above 0, below 1"),
        ({"many": (0.5,) * 101}, "1 to 100 values"),
        ({"many": 0.5}, "many is 0.5; it must be a list"),
        ({"kind": "c"}, "kind is 'c'; it must be one of a, b"),
        ({"is_on": 1}, "is_on is 1; it must be true or false"),
        ({"name": ""}, "name is ''; it must be a name"),
        ({"name": "   "}, "it must be a name"),
        ({"name": "a\nb"}, "it must be a name"),
        ({"name": "\udc80"}, "it must be a name"),
        ({"column": " "}, "it must be a column"),
        ({"device": "gpu"}, "auto, cpu, mps, cuda or cuda:0"),
        ({"seed": -1}, "seed is -1; it must be a whole number, 0 to 4,294,967,295"),
        ({"either": "some"}, "one of none or a list of 1 to 100 values, each 0 to 9"),
        ({"inner": {"share": 0.5}}, "a table of settings"),
    ],
)
def test_others_are_refused_in_one_sentence(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Table(**wrong)
    assert str(caught.value).startswith(f"{next(iter(wrong))} is ")
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Range(0, 4, "OD"), "0 to 4 OD"),
        (Range(0, 1, is_open="low"), "above 0, at most 1"),
        (Range(0, 1, is_open="high"), "at least 0, below 1"),
        (Range(0, 1e8, "µm²"), "0 to 100,000,000 µm²"),
        (Range(0.01, 4), "0.01 to 4"),
    ],
)
def test_a_range_in_words(one: Range, words: str) -> None:
    assert str(one) == words


def test_an_expected_value_in_words() -> None:
    assert expected(Table, "low_od") == "0 to 4 OD"
    assert expected(Table, "is_on") == "true or false"
    assert expected(Table, "inner") == "a table of settings"


def test_order_may_allow_equal_neighbours() -> None:
    table = Table(low_od=0.1, high_od=0.2, n=4)
    check_order(table, "low_od", "high_od", "n")
    check_order(table, "n", "n", is_strict=False)
    with pytest.raises(SettingsError, match=r"n is 4; it must be at most high_od, which is 0\.2"):
        check_order(table, "n", "high_od", is_strict=False)


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 10_000)) <= 40
    assert shown(10**5000) == "an integer of 16610 bits"
