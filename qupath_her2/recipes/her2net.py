"""Her2Net: segmentation of HER2 IHC images into membrane, nucleus and background; with U-Net and two SegNets.

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
    title="Membrane, nucleus and background of each pixel, to find cells and their membranes",
    paper="Saha & Chakraborty, IEEE TIP 27(5), 2018",
    doi="10.1109/TIP.2018.2795742",
    data=(
        "Paper: 752 crops of 2048 x 2048 px at 40x from 79 slides of the Warwick contest, 51 for training and 28 for "
        "testing, outlined by pathologists. Here: masks next to the images, annotations of the classes Membrane, "
        "Nucleus and Background, or cells with nuclei of a QuPath project."
    ),
    task="segmentation",
    patches=PatchSettings(
        task="segmentation",
        grid=GridSettings(patch_size_px=PAPER_WINDOW_PX, target_um_px=0.25),
        segmentation=SegmentationSettings(crop_px=PAPER_CROP_PX),
        drop=DROP_RULES["none"],
        # 51 : 28 of 79 slides, a tenth of the training slides being used to choose the best epoch.
        shares=(0.58, 0.06, 0.36),
    ),
    model="her2net",
    rivals=("unet", "segnet", "bayesian-segnet"),
    train=TrainSettings(
        # The paper's 500,000 iterations, in epochs of its own number of windows.
        epochs=2000,
        batch_size=128,
        # 128 windows do not fit a GPU of 16 GB at once.
        micro_batch_size=16,
        optimiser="sgd",
        # Both are the paper's, though so strong a weight decay is unusual.
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
        "precision 96.64, recall 96.79, F 96.71, NPV 93.08, accuracy 98.33, FPR 6.84 %, which are averages over five "
        "mixtures of test with training images (table III); on test images alone 97.20, 96.57, 96.88, 85.49, 97.95, "
        "12.10; AUC 94 % against U-Net 88, Bayesian SegNet 73, SegNet 66"
    ),
    deviations=(
        Deviation(
            "the layers are listed without their widths",
            "width 32 in the first layers, 2.9 million parameters; --width changes it",
            "the paper gives no numbers",
        ),
        Deviation(
            "the logistic function after each convolution (equation 2)",
            "batch normalisation and ReLU",
            "through 32 logistic layers, each of slope at most 1/4, gradients vanish; the paper has batch norm too",
        ),
        Deviation(
            "equations 3 to 7 have one earlier output and one earlier memory, but in two directions a pixel has two; "
            "whether the peephole weights are matrices is not stated",
            "both outputs, each with weights of its own; the mean of both memories; one peephole weight a unit",
            "a sum of memories would double on every diagonal; peepholes are diagonal in the LSTM of Graves et al. "
            "2013, which the paper cites; models.tlstm has the equations in full",
        ),
        Deviation(
            "biological and acquisition noise removed by morphological operations and an adaptive filter, not given",
            "no filter",
            "an opening or a smoothing filter of unknown size can erase membranes, which are two to eight pixels wide",
        ),
        Deviation(
            "500,000 iterations of 128 windows, tested every 4,500",
            "at most 2,000 epochs, as many windows on the paper's data; stops 50 epochs after the best validation F1",
            "the full training takes a week, and the best weights come early",
        ),
        Deviation(
            "batches of 128",
            "gradients of 128 windows accumulated in micro-batches of 16; batch norm sees one micro-batch",
            "fits a GPU of 16 GB; train.micro_batch_size in her2.toml changes it",
        ),
        Deviation(
            "51 slides for training, 28 for testing; the epoch kept is not stated",
            "58/6/36 by case, stratified by HER2 score; the best epoch is the one with the highest validation F1",
            "choosing on the test part inflates its figure",
        ),
        Deviation(
            "figures are averages over mixtures of 0 to 100 % training images with test images (table III, as its rows "
            "can be read: nothing can be trained on 0 %)",
            "all figures are of test images alone; the mixtures stand in a table of their own",
            "figures on training images do not tell how a network does on others",
        ),
        Deviation(
            "pathologists annotated all three classes over the whole of each crop",
            "pixels without annotation are unknown and count in no loss and no figure",
            "a network must not learn that a nucleus nobody outlined is background",
        ),
        Deviation(
            "crops chosen by hand",
            "crops on a grid; windows with less than 5 % known pixels are left out",
            "the annotations show which areas matter",
        ),
        Deviation(
            "no augmentation is mentioned",
            "flips and rotations by right angles",
            "they cost nothing and change no pixel's class",
        ),
        Deviation(
            "Bayesian SegNet's number of Monte Carlo samples is not given",
            "8 samples, their mean probability",
            "its own paper finds little gain beyond 6",
        ),
    ),
)
