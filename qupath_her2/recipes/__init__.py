"""Published systems as recipes: one file each, from data to metric, with a reason for every deviation from the paper.

The IHC indicators of Che et al. 2023 are measured and not trained, so their recipe has a record of its own. Their
tumour network is the recipe ``tumour-resnet34``.

A new recipe is a file here, listed in `RECIPES`. It names any network of timm as ``timm:NAME``; a network of our own
gets an entry in `models.specs`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from qupath_her2.errors import SettingsError
from qupath_her2.recipes.bags import ABMIL, CLAM_MB, CLAM_SB, DTFD_AFS
from qupath_her2.recipes.compare_resolution import COMPARE_RESOLUTION
from qupath_her2.recipes.convoher2 import CONVOHER2
from qupath_her2.recipes.her2net import HER2NET
from qupath_her2.recipes.ihc_indicators import IHC_INDICATORS
from qupath_her2.recipes.lowres import LOWRES
from qupath_her2.recipes.patch_count import PATCH_COUNT
from qupath_her2.recipes.recipe import BagRecipe, Deviation, MeasuredRecipe, Recipe
from qupath_her2.recipes.se_resnet50 import SE_RESNET50
from qupath_her2.recipes.tumour_resnet34 import TUMOUR_RESNET34

__all__ = [
    "BAG_RECIPES",
    "MEASURED_RECIPES",
    "RECIPES",
    "TUMOUR_FINDER",
    "BagRecipe",
    "Deviation",
    "MeasuredRecipe",
    "Recipe",
    "find_recipe",
]

#: All recipes by name, in the order of the papers.
RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (CONVOHER2, SE_RESNET50, HER2NET, TUMOUR_RESNET34, LOWRES, PATCH_COUNT)
}

#: Recipes that measure and do not train.
MEASURED_RECIPES: Mapping[str, MeasuredRecipe] = {IHC_INDICATORS.name: IHC_INDICATORS}

#: Recipes that learn from slides' labels alone, on features of their patches.
BAG_RECIPES: Mapping[str, BagRecipe] = {
    recipe.name: recipe for recipe in (CLAM_SB, CLAM_MB, DTFD_AFS, ABMIL, COMPARE_RESOLUTION)
}


#: The finder of ``--find-tumour``, which goes on from the package's own trees, see `training.tumour_finder`.
TUMOUR_FINDER = "tumour-finder"


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`; the SettingsError for an unknown or a measured one says what to take instead."""
    if name in RECIPES:
        return RECIPES[name]
    if name in MEASURED_RECIPES:
        raise SettingsError(
            f"Recipe {name!r} trains nothing: its indicators are measured by qupath-her2 run --method indicators, and "
            f"its ranges fitted by qupath-her2 indicators fit. Its tumour network is the recipe "
            f"{MEASURED_RECIPES[name].tumour_recipe!r}."
        )
    if name in BAG_RECIPES:
        raise SettingsError(
            f"Recipe {name!r} learns from features of whole slides, for which no patches are listed. Use qupath-her2 "
            f"embed FOLDER, then qupath-her2 train FOLDER --recipe {name}."
        )
    if name == TUMOUR_FINDER:
        raise SettingsError(
            f"Recipe {name!r} learns from single cells that people corrected, for which no patches are cut. Use "
            f"qupath-her2 train FOLDER --recipe {name} --from-review."
        )
    known = [*RECIPES, *BAG_RECIPES, TUMOUR_FINDER]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise SettingsError(f"Unknown recipe {name!r}. {hint}There are: {', '.join(known)}.")
