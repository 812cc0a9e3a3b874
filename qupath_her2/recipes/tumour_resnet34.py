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
        "Paper: 95 slides at 0.5036 µm/px with outlined tumour; patches at random positions. "
        "Here: Tumor regions against Stroma and other annotated tissue of a QuPath project."
    ),
    task="tumour",
    patches=PatchSettings(
        task="tumour",
        grid=GridSettings(patch_size_px=256, target_um_px=0.5036),
        rule=LabelRule("majority"),
        drop=DROP_RULES["none"],
        random_per_image=200,
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
        augment=AugmentSettings(),
    ),
    votes=VoteSettings("mean"),
    reported="AUC 0.983, AP 0.984, patch precision 95.77 %, F1 83.09 %",
    deviations=(
        Deviation(
            "9:1 training and validation",
            "80/10/10 by case",
            "figures need cases that no choice was based on",
        ),
        Deviation(
            "number of patches: not given",
            "200 per image and class",
            "every slide has the same weight, whatever its size",
        ),
        Deviation(
            "whether the weights were pretrained: not stated",
            "ImageNet weights where available",
            "a hundred slides are few for 21 million parameters",
        ),
    ),
)
