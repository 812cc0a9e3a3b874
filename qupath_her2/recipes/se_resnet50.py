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
        "Paper: Warwick and a hospital's slides; pathologists drew regions on H&E beside the IHC of the same case. "
        "Here: regions of a QuPath project whose classes are 0/1+, 2+, 3+ (or negative, equivocal, positive); "
        "slides.registration carries them from IHC to H&E."
    ),
    task="her2-response",
    patches=PatchSettings(
        task="her2-response",
        grid=GridSettings(patch_size_px=512, target_um_px=0.25),
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
            factor=0.5,
            plateau_epochs=2,
            monitor="accuracy",
        ),
        augment=AugmentSettings(),
    ),
    votes=VoteSettings("mean"),
    reported="test accuracy by patch: InceptionV3 64.93, EfficientNetB0 89.34, ResNet50 94.03, proposed 98.04 %",
    deviations=(
        Deviation(
            "60/20/20 by patch",
            "60/20/20 by case; --split by-patch makes the paper's figure, under its name",
            "patches of one patient on both sides measure memory",
        ),
        Deviation(
            "Macenko to one image of the Warwick set",
            "Macenko to a stored reference, fitted once a slide",
            "the image is not ours to ship; a fit for each patch follows noise",
        ),
        Deviation(
            "64,412,939 parameters, sizes of layers not given",
            "26,680,515: reduction 16, 1024 channels after the separable convolution, 512 units",
            "no choice of the layers that the paper names gives its total",
        ),
        Deviation(
            "which patches of a region: not said beyond non-overlapping tiles",
            "those that lie wholly inside it",
            "a patch across an edge has two labels",
        ),
        Deviation(
            "patience before the rate is halved, augmentation: not given",
            "2 epochs; flips and right-angle turns",
            "the usual choice; attitude has no meaning in a slide",
        ),
    ),
)
