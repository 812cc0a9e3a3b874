"""Patch counts: patches graded by ConvNeXt, their counts read by random forest, SVM, perceptron or majority.

Approach 3 of Chauhan et al., 2025. Read from top to bottom: data, patches, network, training, heads, metric.
"""

from __future__ import annotations

from qupath_her2.models.settings import AugmentSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.recipes.recipe import Deviation, Recipe
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["PATCH_COUNT"]

PATCH_COUNT = Recipe(
    name="patch-count",
    title="HER2 0, 1+, 2+, 3+ of a slide from the counts of its graded patches",
    paper="Chauhan et al., 2025, low against high resolution",
    doi="",
    data=(
        "Paper: 764 partly annotated slides; a patch has the class of the annotation it overlaps by 5 % or more. "
        "Here: annotations of a QuPath project whose classes are 0, 1+, 2+, 3+; the slide's own label for the heads."
    ),
    task="her2-4",
    patches=PatchSettings(
        task="her2-4",
        grid=GridSettings(patch_size_px=224, target_um_px=2.0),
        rule=LabelRule("overlap", min_overlap=0.05),
        drop=DROP_RULES["white-black"],
        equalise=True,
        shares=(0.8, 0.1, 0.1),
    ),
    model="lowres-convnext_small",
    train=TrainSettings(
        epochs=50,
        batch_size=64,
        optimiser="adam",
        schedule=ScheduleSettings(
            kind="cosine", learning_rate=1e-4, least_learning_rate=1e-7, monitor="loss", stop_after_epochs=10
        ),
        augment=AugmentSettings(angle_deg=180.0, scale=0.1, shift=0.05, shear_deg=5.0),
    ),
    votes=VoteSettings("majority"),
    heads=("mlp", "random-forest", "svm", "majority"),
    reported="3-way at low resolution, 10 folds: MLP AUC 92.55, F1 77.14, accuracy 78.18 %; SVM F1 78.17 %",
    deviations=(
        Deviation(
            "low, moderate and high resolution, without numbers",
            "2 µm/px (about 5x); patches.grid.target_um_px in her2.toml changes it",
            "the paper's low resolution does best; magnifications are not named",
        ),
        Deviation(
            "10 folds; patch network and heads on which slides: not said",
            "heads are fitted on counts of training and validation slides, judged on test slides",
            "a head that saw the test slides would be judged by memory",
        ),
        Deviation(
            "settings of forest, SVM and MLP: not given",
            "those of models.counts, stated there",
            "a few counts a slide need no search",
        ),
        Deviation(
            "epochs, rate and batch of the patch network: not given",
            "50 epochs, patience 10, 1e-4 falling by cosine, batch 64",
            "the usual fine-tuning of this network",
        ),
    ),
)
