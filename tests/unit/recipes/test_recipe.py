"""What holds for every recipe; their records are data, so one test file serves all of them."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.models.registry import MODELS
from qupath_her2.patches.tasks import find_task
from qupath_her2.recipes import RECIPES, Recipe, find_recipe


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


def test_recipes_are_found_by_name_and_near_misses_are_suggested() -> None:
    for name, one in RECIPES.items():
        assert find_recipe(name) is one
        assert one.name == name
    with pytest.raises(SettingsError, match=r"Unknown recipe 'seresnet50'\. Did you mean 'se-resnet50'"):
        find_recipe("seresnet50")
    with pytest.raises(SettingsError, match="tumour-resnet34, lowres-convnext, patch-count"):
        find_recipe("?")


def test_task_and_networks_exist(recipe: Recipe) -> None:
    assert recipe.patches.task == recipe.task
    assert find_task(recipe.task).name == recipe.task
    assert {recipe.model, *recipe.rivals} <= set(MODELS)
    assert recipe.model not in recipe.rivals


def test_patches_suit_the_training(recipe: Recipe) -> None:
    # A validation part is needed to choose the best epoch, a test part for the figures.
    assert min(recipe.patches.shares) > 0
    assert recipe.patches.whole_image == (recipe.patches.grid.target_um_px == 0)
    # Images predicted from counts need a classifier that decides, and a patch network below it.
    assert not recipe.heads or recipe.votes.rule == "majority"


def test_every_deviation_is_three_different_sentences(recipe: Recipe) -> None:
    assert recipe.deviations
    for one in recipe.deviations:
        texts = list(asdict(one).values())
        assert all(text.strip() for text in texts)
        assert len(set(texts)) == 3


def test_the_source_is_named(recipe: Recipe) -> None:
    assert re.search(r"20\d\d", recipe.paper)
    assert re.fullmatch(r"(10\.\d{4,}/\S+)?", recipe.doi)
    assert recipe.data.startswith("Paper: ")
    assert " Here: " in recipe.data
    assert recipe.reported
