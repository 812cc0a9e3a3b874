"""Tumour maps of HER2 IHC slides: stages 1 and 2 of the IHC-indicator system, a ResNet34 on patches of the tissue.

Che Y et al., Diagnostics 13:263, 2023. Read from top to bottom: data, patches, network, training, metric. Stage 3, the
indicators themselves, is ``qupath-her2 run --method indicators``.
"""

from __future__ import annotations

from qupath_her2.models.settings import AugmentSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.recipes.recipe import Deviation, Recipe
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["TUMOUR_RESNET34"]

TUMOUR_RESNET34 = Recipe(
    name="tumour-resnet34",
    title="Tumour or non-tumour patches of a HER2 IHC slide: the map that the indicators are measured in",
    paper="Che et al., Diagnostics 13:263, 2023",
    doi="10.3390/diagnostics13020263",
    data=(
        "Paper: 23 of 95 slides at 0.5036 µm/px with outlined tumour, 16 of them for training; patches at random. "
        "Here: Tumor regions of a QuPath project against all other tissue, drawn or not."
    ),
    task="tumour",
    patches=PatchSettings(
        task="tumour",
        grid=GridSettings(patch_size_px=256, target_um_px=0.5036),
        rule=LabelRule("majority"),
        drop=DROP_RULES["none"],
        # 8,000 of each class over the paper's 95 slides.
        random_per_image=84,
        # As in the paper, outlines of tumour are enough: tissue outside them is non-tumour.
        rest_label="non-tumour",
        shares=(0.8, 0.1, 0.1),
    ),
    model="tumour-resnet34",
    train=TrainSettings(
        epochs=50,
        batch_size=64,
        optimiser="sgd",
        momentum=0.9,
        schedule=ScheduleSettings(
            kind="constant", learning_rate=0.01, least_learning_rate=0.0, monitor="loss"
        ),
        augment=AugmentSettings(angle_deg=180.0),
    ),
    votes=VoteSettings("mean"),
    reported="AUC 0.983, AP 0.984, patch precision 95.77 %, F1 83.09 %",
    deviations=(
        Deviation(
            "8,000 patches of the 16 training slides, 16,000 images with the augmented ones",
            "84 per image and class, which is 8,000 of each class over 95 slides; augmented anew in each epoch",
            "every slide has the same weight, whatever its size, and a small cohort trains within minutes",
        ),
        Deviation(
            "16 slides for training, 7 for the figures, the training patches split 9:1 by the patch",
            "80/10/10 by case",
            "patches of one slide resemble each other, and figures need cases that no choice was based on",
        ),
        Deviation(
            "whether the weights were pretrained: not stated",
            "ImageNet weights where available",
            "a hundred slides are few for 21 million parameters",
        ),
    ),
)
