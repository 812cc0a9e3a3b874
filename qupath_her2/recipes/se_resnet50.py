"""SE-ResNet50: negative, equivocal or positive from H&E patches; squeeze-and-excitation and separable convolution.

Joshi SA et al., ETASR 2025. Read from top to bottom: data, patches, stain, network, training, metric.
"""

from __future__ import annotations

from qupath_her2.models.settings import AugmentSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.recipes.recipe import Deviation, Recipe
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["SE_RESNET50"]

SE_RESNET50 = Recipe(
    name="se-resnet50",
    title="HER2 negative, equivocal, positive from H&E patches of 512 px at 0.25 µm/px",
    paper="Joshi et al., ETASR 2025",
    doi="10.48084/etasr.12140",
    data=(
        "Paper: slides of Warwick and of a hospital; pathologists drew regions on H&E with the IHC of the same case "
        "next to it. Here: regions of the classes 0/1+, 2+, 3+ (or negative, equivocal, positive) in a QuPath project; "
        "slides.registration transfers them from IHC to H&E."
    ),
    task="her2-response",
    patches=PatchSettings(
        task="her2-response",
        grid=GridSettings(patch_size_px=512, target_um_px=0.25),
        # Only tiles completely inside a region: see the deviations.
        rule=LabelRule("contained"),
        drop=DROP_RULES["bright"],
        shares=(0.6, 0.2, 0.2),
    ),
    model="se-resnet50",
    rivals=("inception_v3", "efficientnet_b0", "resnet50"),
    stain="macenko:veta-2013",
    train=TrainSettings(
        epochs=25,
        batch_size=16,
        optimiser="adam",
        schedule=ScheduleSettings(
            kind="plateau",
            learning_rate=1e-4,
            least_learning_rate=1e-7,
            # Halved when the validation accuracy has not risen for two epochs.
            factor=0.5,
            plateau_epochs=2,
            monitor="accuracy",
        ),
        augment=AugmentSettings(),
    ),
    votes=VoteSettings("mean"),
    reported="test accuracy per patch: InceptionV3 64.93, EfficientNetB0 89.34, ResNet50 94.03, proposed 98.04 %",
    deviations=(
        Deviation(
            "60/20/20 by patch",
            "60/20/20 by case; --split by-patch gives the paper's split, and its figures carry a warning",
            "with patches of one patient in train and test, figures measure memory",
        ),
        Deviation(
            "Macenko normalisation to one image of the Warwick set",
            "Macenko normalisation to a stored reference, fitted once per slide",
            "the image may not be redistributed; a fit per patch follows noise",
        ),
        Deviation(
            "64,412,939 parameters, sizes of layers not given",
            "26,680,515: reduction 16, 1024 channels after the separable convolution, 512 units",
            "no sizes of the layers listed in the paper give its total",
        ),
        Deviation(
            "non-overlapping tiles of a region; how its edge is treated is not stated",
            "patches completely inside the region",
            "a patch across an edge has two labels",
        ),
        Deviation(
            "patience before the learning rate is halved, augmentation: not given",
            "2 epochs; flips and rotations by right angles",
            "the usual choice; orientation has no meaning in a slide",
        ),
    ),
)
