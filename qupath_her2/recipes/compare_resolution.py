"""Low against high resolution: all approaches of Chauhan et al., 2025, on the same cases and folds, in one table."""

from __future__ import annotations

from collections.abc import Mapping

from qupath_her2.models.bag_settings import EmbedSettings
from qupath_her2.recipes.bags import CLAM_SB
from qupath_her2.recipes.recipe import BagRecipe, Deviation

__all__ = ["COMPARE_RESOLUTION", "REPORTED"]

COMPARE_RESOLUTION = BagRecipe(
    name="compare-resolution",
    title="CLAM-SB, CLAM-MB, DTFD, four networks on scaled-down slides, patch counts at three resolutions: one table",
    paper="Chauhan et al., 2025, low against high resolution",
    doi="",
    data=(
        "Paper: 500 HER2 IHC slides at 0.23 µm/px, labelled per slide, 764 of 1,000 slides partly annotated. Here: "
        "images of a project with a label in cases.csv or their metadata; patch counts need graded regions."
    ),
    task="her2-3",
    patches=CLAM_SB.patches,
    model="clam-sb",
    embed=EmbedSettings(patch_size_px=224, target_um_px=0.5),
    bags=CLAM_SB.bags,
    reported="tables 4 and 6, S1 to S3; the 3-way task is best solved by ConvNeXt-S: 91.79 / 83.52 / 83.56 %",
    deviations=(
        Deviation(
            "low, moderate and high resolution are given as average slide sizes: 1,648, 4,549 and 23,218 px wide",
            "3.5, 1.25 and 0.25 µm/px; compare.resolutions_um_px in her2.toml changes them",
            "if the highest is the scan at 0.23 µm/px, the others are 14 and 5 times coarser",
        ),
        Deviation(
            "each approach has its own folds",
            "all networks see the same ten folds by case; a slide without graded regions counts in the other rows only",
            "differences between rows are then those of the networks",
        ),
        Deviation(
            "majority voting is given for the 4-way task alone",
            "the same: patches have four classes, and votes cannot give another",
            "as in the paper",
        ),
        Deviation(
            "settings of each network: not given",
            "those of the recipes clam-sb, clam-mb, dtfd-afs, lowres-convnext and patch-count, with their deviations",
            "one place for each",
        ),
    ),
)

#: AUC, F1 and accuracy in per cent that the paper reports, {task: {row: figures}} (tables 4, 6, S1, S2, S3).
REPORTED: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "her2-binary": {
        "clam-sb": (96.98, 87.25, 89.6),
        "clam-mb": (96.15, 88.45, 90.6),
        "dtfd-afs": (96.41, 87.15, 91.6),
        "lowres-resnet50": (95.70, 85.44, 92.80),
        "lowres-densenet201": (95.73, 87.84, 93.60),
        "lowres-convnext_small": (96.15, 92.75, 96.19),
        "lowres-vit_base": (95.57, 87.39, 93.80),
        "random-forest, low": (97.37, 91.35, 93.15),
        "svm, low": (96.70, 91.81, 93.50),
        "mlp, low": (97.82, 91.64, 93.52),
        "random-forest, moderate": (96.33, 89.98, 92.20),
        "svm, moderate": (96.49, 89.92, 92.20),
        "mlp, moderate": (97.36, 89.92, 92.20),
        "random-forest, high": (95.88, 89.50, 92.13),
        "svm, high": (95.13, 88.52, 91.78),
        "mlp, high": (96.67, 88.52, 91.78),
    },
    "her2-3": {
        "clam-sb": (92.05, 77.67, 78.6),
        "clam-mb": (91.81, 76.15, 76.6),
        "dtfd-afs": (91.64, 76.48, 76.7),
        "lowres-resnet50": (86.95, 70.81, 72.20),
        "lowres-densenet201": (87.64, 73.22, 74.2),
        "lowres-convnext_small": (91.79, 83.52, 83.56),
        "lowres-vit_base": (84.45, 68.32, 69.00),
        "random-forest, low": (91.12, 76.03, 77.63),
        "svm, low": (90.84, 78.17, 79.11),
        "mlp, low": (92.55, 77.14, 78.18),
        "random-forest, moderate": (91.88, 78.11, 79.80),
        "svm, moderate": (91.83, 76.53, 78.32),
        "mlp, moderate": (92.38, 76.84, 78.17),
        "random-forest, high": (89.79, 74.00, 75.94),
        "svm, high": (90.66, 75.69, 77.43),
        "mlp, high": (91.15, 74.53, 76.55),
    },
    "her2-4": {
        "clam-sb": (92.66, 74.37, 74.4),
        "clam-mb": (91.8, 73.55, 73.6),
        "dtfd-afs": (92.79, 75.72, 75.5),
        "lowres-resnet50": (86.45, 63.08, 62.60),
        "lowres-densenet201": (84.83, 60.73, 61.20),
        "lowres-convnext_small": (89.97, 75.61, 75.53),
        "lowres-vit_base": (83.64, 60.47, 60.20),
        "majority, low": (42.77, 13.88, 16.66),
        "random-forest, low": (91.07, 71.73, 72.38),
        "svm, low": (91.53, 73.07, 73.46),
        "mlp, low": (91.78, 73.49, 73.81),
        "majority, moderate": (51.81, 17.24, 26.32),
        "random-forest, moderate": (92.59, 73.86, 74.48),
        "svm, moderate": (92.54, 73.65, 74.33),
        "mlp, moderate": (92.43, 73.28, 73.65),
        "majority, high": (42.24, 21.05, 30.77),
        "random-forest, high": (91.29, 72.12, 72.82),
        "svm, high": (91.30, 73.26, 73.84),
        "mlp, high": (91.85, 73.15, 73.55),
    },
}
