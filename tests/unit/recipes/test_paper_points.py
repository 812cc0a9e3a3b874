"""The papers' points against the recipes: each is built as the paper has it, or declared as a deviation."""

from __future__ import annotations

import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.recipes import BAG_RECIPES, MEASURED_RECIPES, RECIPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
POINTS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("paper_points.toml").read_text(encoding="utf-8")
)
ALL = {**RECIPES, **BAG_RECIPES, **MEASURED_RECIPES}


def test_every_recipe_has_a_list_of_its_paper() -> None:
    assert set(POINTS) == set(ALL)


@pytest.mark.parametrize(
    ("recipe", "point"),
    [pytest.param(name, point, id=f"{name}: {point['says']}") for name in POINTS for point in POINTS[name]],
)
def test_a_point_of_the_paper_is_built_or_declared(recipe: str, point: dict[str, Any]) -> None:
    assert point.keys() <= {"says", "is", "deviation", "test"}
    assert point.keys() & {"is", "deviation", "test"}, "neither built nor declared"
    for name, wanted in point.get("is", {}).items():
        found = attrgetter(name)(ALL[recipe])
        # TOML has no null and no tuple.
        assert (list(found) if isinstance(found, tuple) else found or "" if wanted == "" else found) == wanted
    if "deviation" in point:
        starts = [one.paper.startswith(point["deviation"]) for one in ALL[recipe].deviations]
        assert sum(starts) == 1
    if "test" in point:
        assert (ROOT / point["test"]).is_file()


@pytest.mark.parametrize("recipe", ALL)
def test_every_deviation_answers_a_point_of_the_paper(recipe: str) -> None:
    named = tuple(point["deviation"] for point in POINTS[recipe] if "deviation" in point)
    left = [one.paper for one in ALL[recipe].deviations if not one.paper.startswith(named)]
    assert left == []


def test_figures_in_the_recipes_are_the_papers_own() -> None:
    assert "training accuracy of 85.10 % (H&E) and 87.79 % (IHC)" in RECIPES["convoher2"].reported
    assert "averages over five mixtures" in RECIPES["her2net"].reported
