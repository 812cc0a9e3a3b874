"""What holds for every recipe; their records are data, so one test file serves all of them."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.models.bag_specs import BAG_MODELS
from qupath_her2.models.registry import find_model
from qupath_her2.patches.tasks import find_task
from qupath_her2.recipes import (
    BAG_RECIPES,
    MEASURED_RECIPES,
    RECIPES,
    BagRecipe,
    MeasuredRecipe,
    Recipe,
    find_recipe,
)

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.fixture(params=[*RECIPES, *BAG_RECIPES, *MEASURED_RECIPES])
def any_recipe(request: pytest.FixtureRequest) -> Recipe | BagRecipe | MeasuredRecipe:
    return {**RECIPES, **BAG_RECIPES, **MEASURED_RECIPES}[request.param]


@pytest.mark.parametrize("name", BAG_RECIPES)
def test_a_recipe_on_features_has_a_network_a_task_and_a_row_a_slide(name: str) -> None:
    one = BAG_RECIPES[name]
    assert one.name == name
    assert {one.model, *one.rivals} <= set(BAG_MODELS)
    assert (one.patches.task, one.patches.whole_image) == (one.task, True)
    assert min(one.patches.shares) > 0
    with pytest.raises(
        SettingsError, match=rf"features of whole slides.*qupath-her2 train FOLDER --recipe {name}"
    ):
        find_recipe(name)


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
    assert [find_model(name).name for name in (recipe.model, *recipe.rivals)] == [
        recipe.model,
        *recipe.rivals,
    ]
    assert recipe.model not in recipe.rivals


def test_patches_suit_the_training(recipe: Recipe) -> None:
    # A validation part is needed to choose the best epoch, a test part for the figures.
    assert min(recipe.patches.shares) > 0
    assert recipe.patches.whole_image == (recipe.patches.grid.target_um_px == 0)
    # Images predicted from counts need a classifier that decides, and a patch network below it.
    assert not recipe.heads or recipe.votes.rule == "majority"


def test_a_measured_recipe_is_no_training_and_says_what_to_take_instead() -> None:
    (one,) = MEASURED_RECIPES.values()
    assert one.tumour_recipe in RECIPES
    with pytest.raises(SettingsError, match=r"trains nothing.*indicators fit.*'tumour-resnet34'"):
        find_recipe(one.name)


def test_every_deviation_is_three_different_sentences(
    any_recipe: Recipe | BagRecipe | MeasuredRecipe,
) -> None:
    assert any_recipe.deviations
    for one in any_recipe.deviations:
        texts = list(asdict(one).values())
        assert all(text.strip() for text in texts)
        assert len(set(texts)) == 3


def test_the_source_is_named(any_recipe: Recipe | BagRecipe | MeasuredRecipe) -> None:
    recipe = any_recipe
    assert re.search(r"20\d\d", recipe.paper)
    assert re.fullmatch(r"(10\.\d{4,}/\S+)?", recipe.doi)
    assert recipe.data.startswith("Paper: ")
    assert " Here: " in recipe.data
    assert recipe.reported


@pytest.mark.slow
def test_a_recipe_trains_any_network_of_timm_without_further_registration(
    count_study: Path, count_manifest: PatchManifest, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    from qupath_her2.models.card import read_card
    from qupath_her2.runs.plan import find_settings
    from qupath_her2.training.classifier import train_network
    from qupath_her2.training.types import TrainJob
    from tests.helpers.recipes import DRAWN

    mine = replace(RECIPES["patch-count"], name="mine", model="timm:test_resnet")
    settings = find_settings(count_study, None, DRAWN["patch-count"].settings(epochs=1), recipe=mine)
    trained = train_network(TrainJob(count_manifest, mine, settings, tmp_path / "net", mine.model, "random"))
    card = read_card(trained.checkpoint)
    assert (card.recipe, card.model) == ("mine", "timm:test_resnet")
