"""Low resolution, end to end: one class from a whole slide in 224 or 512 px. Approach 2 of Chauhan et al., 2025.

Read from top to bottom: data, images, network, training, metric.
"""

from __future__ import annotations

from qupath_her2.models.settings import AugmentSettings, LossSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.recipes.recipe import Deviation, Recipe
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["LOWRES"]

LOWRES = Recipe(
    name="lowres-convnext",
    title="HER2 0, low or high from a whole slide in 224 px, no annotation needed",
    paper="Chauhan et al., 2025, low against high resolution",
    doi="",
    data=(
        "Paper: 500 HER2 IHC slides at 0.23 µm/px, labelled per slide, ISH for 2+. "
        "Here: images of a project with a label in cases.csv or their metadata; --task er and --task pr for ER and PR."
    ),
    task="her2-3",
    patches=PatchSettings(
        task="her2-3",
        grid=GridSettings(patch_size_px=224, target_um_px=0.0),
        drop=DROP_RULES["none"],
        whole_image=True,
        shares=(0.8, 0.1, 0.1),
    ),
    model="lowres-convnext_small",
    rivals=("lowres-resnet50", "lowres-densenet201", "lowres-vit_base"),
    train=TrainSettings(
        epochs=100,
        batch_size=16,
        optimiser="adam",
        schedule=ScheduleSettings(
            kind="cosine", learning_rate=1e-4, least_learning_rate=1e-7, monitor="loss", stop_after_epochs=15
        ),
        loss=LossSettings("cross_entropy", class_weights="balanced"),
        augment=AugmentSettings(angle_deg=180.0, scale=0.1, shift=0.05, shear_deg=5.0),
    ),
    votes=VoteSettings("mean"),
    reported="3-way, 10 folds: AUC 91.79, F1 83.52, accuracy 83.56 %; binary 96.15 / 92.75 / 96.19",
    deviations=(
        Deviation(
            "10-fold stratified cross-validation",
            "80/10/10 by case; --folds 10 gives the paper's ten folds, also by case",
            "ten trainings take long on one machine",
        ),
        Deviation(
            "25 to 100 epochs with early stopping, Adam; learning rate, batch size and patience not given",
            "100 epochs, patience 15, learning rate 1e-4 with cosine decay, batch size 16",
            "usual values for fine-tuning these networks",
        ),
        Deviation(
            "cross-entropy, class weights and focal loss are compared, none is best throughout",
            'balanced class weights; [train.loss] kind = "focal" in her2.toml for focal loss',
            "HER2 classes of a hospital are never balanced",
        ),
        Deviation(
            "the scanner's overview image with the background removed",
            "the whole slide, area-averaged, background unchanged",
            "how the background is replaced is not stated",
        ),
        Deviation(
            "images of 224 x 224 and 512 x 512 px; how a slide that is not square becomes one is not stated",
            "squeezed to a square of 224 px, in training and in prediction alike; --size 512 for the larger",
            "cropping would lose tissue, and margins take pixels from it; at this scale colour tells, not shape",
        ),
    ),
)
