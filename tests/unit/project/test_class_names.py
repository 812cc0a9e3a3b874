"""Roles, grades and colours of QuPath classes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.project.class_names import (
    CLASS_COLOURS,
    PATCH_CLASS,
    ClassNames,
    class_colour,
    class_role,
    grade_of,
    is_proposed,
    patch_colour,
)
from qupath_her2.records import CELL_CLASSES

NAMES = ClassNames()


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Tumor", "tumour"),
        ("TUMOUR", "tumour"),
        (" invasive_carcinoma ", "tumour"),
        ("Invasive", "tumour"),
        ("Carcinoma", "tumour"),
        ("Stroma", "stroma"),
        ("Immune cells", "stroma"),
        ("Ignore*", "ignore"),
        ("ignore", "ignore"),
        ("Anything*", "ignore"),
        ("Necrosis", "ignore"),
        ("Region*", "other"),
        ("DCIS", "in_situ"),
        ("In-situ", "in_situ"),
        ("Carcinoma in situ", "in_situ"),
        ("Invasive carcinoma in situ", "in_situ"),
        ("Control tissue", "control"),
        ("Tumor: Invasive", "tumour"),
        ("Tumor: DCIS", "in_situ"),
        ("Ignore*: Tumor", "ignore"),
        ("Tumor: Necrosis", "ignore"),
        ("Tumor: Stroma", "stroma"),
        ("Tumorous", "other"),
        ("Other", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_role(name: str | None, role: str) -> None:
    assert class_role(name, NAMES) == role


def test_settings_decide() -> None:
    mine = ClassNames(tumour=("Tumeur*", "癌"), ignore=(), in_situ=())
    assert class_role("tumeur infiltrante", mine) == "tumour"
    assert class_role("癌", mine) == "tumour"
    assert class_role("Tumor", mine) == "other"
    assert class_role("DCIS", mine) == "other"
    assert class_role("Ignore*", mine) == "ignore"


def test_patterns_are_not_regular_expressions() -> None:
    assert class_role("Tumor X", ClassNames(tumour=("Tumor.X", "[a-z]+"))) == "other"


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        ("Tumor: 3+", "3+"),
        ("tumor:negative", "Negative"),
        ("Tumor: 0", "Negative"),
        ("2+", "2+"),
        ("0", None),
        ("Tumor", None),
        ("Tumor: 3+ weak", None),
        (None, None),
        (":", None),
    ],
)
def test_grade(name: str | None, grade: str | None) -> None:
    assert grade_of(name) == grade


def test_every_cell_class_has_its_grade_and_colour() -> None:
    assert [grade_of(name) for name in CELL_CLASSES] == ["Negative", "1+", "2+", "3+"]
    assert len({class_colour(name) for name in CELL_CLASSES}) == 4
    assert set(CELL_CLASSES) <= set(CLASS_COLOURS)
    assert class_colour("unheard of") == class_colour(None)


@pytest.mark.parametrize(
    ("name", "cell_class"),
    [("3+", "Tumor: 3+"), ("negative", "Tumor: Negative"), ("equivocal", "Tumor: 2+"), ("tumour", "Tumor")],
)
def test_a_patch_class_has_the_colour_of_the_cell_class(name: str, cell_class: str) -> None:
    assert patch_colour(PATCH_CLASS + name) == class_colour(cell_class)
    assert grade_of(PATCH_CLASS + name) is None


@given(st.text(max_size=30))
def test_any_text_has_a_role(name: str) -> None:
    role = class_role(name, NAMES)
    assert role in ("tumour", "stroma", "ignore", "in_situ", "control", "other")
    assert class_role(f"  {name} ", NAMES) == role


@pytest.mark.parametrize("name", ["Tumor?", "tumour?", " TUMOR? "])
def test_a_class_that_asks_is_a_proposal(name: str) -> None:
    assert is_proposed(name)
    assert class_role(name, NAMES) == "other"


@pytest.mark.parametrize("name", [None, "", "Tumor", "Tumor ??", "Tumor?: 3+", "?"])
def test_any_other_class_is_none(name: str | None) -> None:
    assert not is_proposed(name)
