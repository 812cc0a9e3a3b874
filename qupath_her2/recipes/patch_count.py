"""Patch counts: a ConvNeXt grades patches; random forest, SVM, perceptron or majority classify slides by the counts.

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
        "Paper: 764 partly annotated slides; a patch has the class of an annotation that covers at least 5 % of it. "
        "Here: annotations of the classes 0, 1+, 2+, 3+ in a QuPath project; heads for the binary, 3-way and 4-way "
        "task learn the slides' own labels (cases.csv) from the counts of all tissue."
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
            "the paper's low resolution performs best; magnifications are not stated",
        ),
        Deviation(
            "10 folds; the slides that patch network and heads are trained on are not stated",
            "heads are fitted to the counts of training and validation slides and evaluated on test slides",
            "figures on slides that a head was fitted to would be too good",
        ),
        Deviation(
            "settings of random forest, SVM and MLP: not given",
            "those of models.count_heads",
            "a few counts per slide need no hyperparameter search",
        ),
        Deviation(
            "epochs, learning rate and batch size of the patch network: not given",
            "50 epochs, patience 10, learning rate 1e-4 with cosine decay, batch size 64",
            "usual values for fine-tuning this network",
        ),
    ),
)
