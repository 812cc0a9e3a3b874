"""Her2Net: membrane, nucleus and background of every pixel of a HER2 IHC picture, beside U-Net and two SegNets.

Saha M, Chakraborty C, IEEE TIP 27(5), 2018. Read from top to bottom: data, windows, network, training, metric.
"""

from __future__ import annotations

from qupath_her2.models.settings import (
    AugmentSettings,
    LossSettings,
    ReadSettings,
    ScheduleSettings,
    TrainSettings,
)
from qupath_her2.patches.cutting.crop_windows import PAPER_CROP_PX, PAPER_WINDOW_PX
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.recipes.recipe import Deviation, Recipe

__all__ = ["HER2NET"]

HER2NET = Recipe(
    name="her2net",
    title="membrane, nucleus and background of every pixel, for cells and their membranes",
    paper="Saha & Chakraborty, IEEE TIP 27(5), 2018",
    doi="10.1109/TIP.2018.2795742",
    data=(
        "Paper: 752 crops of 2048 x 2048 px at 40x of 79 slides of the Warwick contest, 51 to train and 28 to test, "
        "outlined by pathologists. Here: masks beside the images, annotations of the classes Membrane, Nucleus and "
        "Background, or cells with nuclei of a QuPath project."
    ),
    task="segmentation",
    patches=PatchSettings(
        task="segmentation",
        grid=GridSettings(patch_size_px=PAPER_WINDOW_PX, target_um_px=0.25),
        segmentation=SegmentationSettings(crop_px=PAPER_CROP_PX),
        drop=DROP_RULES["none"],
        # 51 : 28 of 79 slides, with a tenth of the former to choose the best epoch by.
        shares=(0.58, 0.06, 0.36),
    ),
    model="her2net",
    rivals=("unet", "segnet", "bayesian-segnet"),
    train=TrainSettings(
        epochs=2000,
        batch_size=128,
        micro_batch_size=16,
        optimiser="sgd",
        momentum=0.5,
        weight_decay=0.046,
        schedule=ScheduleSettings(
            kind="constant",
            learning_rate=0.01,
            least_learning_rate=0.0,
            monitor="macro_f1",
            stop_after_epochs=50,
        ),
        loss=LossSettings("cross_entropy"),
        augment=AugmentSettings(),
        read=ReadSettings(rows_at_once=16),
    ),
    reported=(
        "precision 96.64, recall 96.79, F 96.71, NPV 93.08, accuracy 98.33, FPR 6.84 %; AUC 94 % against U-Net 88, "
        "Bayesian SegNet 73, SegNet 66"
    ),
    deviations=(
        Deviation(
            "the layers are named, their widths are not",
            "width 32 in the first layers, 2.9 million parameters; --width changes it",
            "nothing in the paper says more",
        ),
        Deviation(
            "the logistic function after each convolution (equation 2)",
            "ReLU, batch norm before it",
            "through 32 layers whose slope is at most 1/4 no gradient arrives; the paper names batch norm too",
        ),
        Deviation(
            "500,000 iterations of 128 windows, tested every 4,500",
            "2,000 epochs at most, as many windows on the paper's data; ends 50 epochs after the best validation F1",
            "a week of training, where the best weights come early",
        ),
        Deviation(
            "batches of 128",
            "the gradients of 128 windows added up in parts of 16; batch norm sees a part",
            "what a GPU of 16 GB holds; train.micro_batch_size in her2.toml changes it",
        ),
        Deviation(
            "51 slides to train, 28 to test; which epoch is kept is not said",
            "58/6/36 by case, split within the HER2 scores; the best epoch is that of the highest validation F1",
            "choosing on the test part makes its figure too good",
        ),
        Deviation(
            "all three classes marked by pathologists all over each crop",
            "what nobody marked is not known: it counts in no loss and no figure",
            "a network must not be told that a nucleus which no one outlined is none",
        ),
        Deviation(
            "crops chosen by hand",
            "crops in a lattice; windows with under 5 % of known pixels are left out",
            "people's annotations say where",
        ),
        Deviation(
            "no augmentation is named",
            "flips and right-angle turns",
            "they cost nothing and change no pixel's class",
        ),
        Deviation(
            "Bayesian SegNet's number of drawn nets is not given",
            "8, their mean probability",
            "its own paper finds little beyond 6",
        ),
    ),
)
