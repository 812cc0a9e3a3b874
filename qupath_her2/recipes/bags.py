"""Slide-level learning from features: CLAM with one branch and with several, DTFD with AFS, and gated attention.

Approach 1 of Chauhan et al., 2025, and beside it the plain attention of Ilse et al., 2018. Read from top to bottom:
data, patches, encoder, network, training, metric.
"""

from __future__ import annotations

from qupath_her2.models.bag_settings import BagNetworkSettings, BagTrainSettings, EmbedSettings
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.recipes.recipe import BagRecipe, Deviation

__all__ = ["ABMIL", "CLAM_MB", "CLAM_SB", "DTFD_AFS"]

_PAPER = "Chauhan et al., 2025, low against high resolution"
_DATA = (
    "Paper: 500 HER2 IHC slides at 0.23 µm/px (385 for ER, 387 for PR), labelled per slide, ISH for 2+. Here: images "
    "of a project with a label in cases.csv or their metadata; --task er and --task pr for ER and PR."
)
_PATCHES = PatchSettings(
    task="her2-3",
    # One row a slide: its label, case and part of the split.
    grid=GridSettings(patch_size_px=224, target_um_px=0.0),
    drop=DROP_RULES["none"],
    whole_image=True,
    shares=(0.8, 0.1, 0.1),
)
_EMBED = EmbedSettings(patch_size_px=224, target_um_px=0.5)

#: What the paper leaves open for all three of its networks, and its encoder.
_COMMON = (
    Deviation(
        "UNI features",
        "EfficientNet-lite0 with ImageNet weights; embed --encoder uni takes UNI",
        "UNI's weights are given out on request only, so they cannot come with this package",
    ),
    Deviation(
        "patches of 224 x 224 px at high resolution, which is not given in µm/px",
        "0.5 µm/px, as UNI was trained; --um-px changes it",
        "at 0.23 µm/px there are four times as many patches, each with four cells",
    ),
    Deviation(
        "tissue by Otsu's threshold and a watershed",
        "the package's own tissue detection; embed --tissue otsu-watershed takes the paper's",
        "Otsu's threshold separates dark from pale tissue and loses pale 0 and 1+",
    ),
    Deviation(
        "80/10/10 by patient; figures are mean and SD over 10 folds",
        "80/10/10 by case; --folds 10 gives ten folds by case, one of them for validation",
        "the same, in one command or the other",
    ),
)


def _clam(name: str, title: str, reported: str) -> BagRecipe:
    return BagRecipe(
        name=name,
        title=title,
        paper=_PAPER,
        doi="",
        data=_DATA,
        task="her2-3",
        patches=_PATCHES,
        model=name,
        embed=_EMBED,
        bags=BagTrainSettings(
            network=BagNetworkSettings(
                hidden=512, attention=256, dropout=0.25, instances=8, instance_loss="svm"
            ),
            epochs=200,
            least_epochs=50,
            patience=20,
            learning_rate=2e-4,
            weight_decay=1e-5,
        ),
        reported=reported,
        deviations=(
            *_COMMON,
            Deviation(
                "settings of CLAM: not given",
                "those its authors recommend: 200 epochs, patience 20 after 50, learning rate 2e-4, dropout 0.25, 8 "
                "patches clustered with the smooth SVM loss at a share of 0.3, balanced sampling",
                "Lu et al. 2021 and the README of their code",
            ),
        ),
    )


CLAM_SB = _clam(
    "clam-sb",
    "HER2 0, low or high of a slide from features of its patches, one attention branch, instance clustering",
    "10 folds, AUC / F1 / accuracy: binary 96.98 / 87.25 / 89.6, 3-way 92.05 / 77.67 / 78.6, 4-way 92.66 / 74.37 / "
    "74.4 %",
)

CLAM_MB = _clam(
    "clam-mb",
    "HER2 0, low or high of a slide from features of its patches, one attention branch per class",
    "10 folds, AUC / F1 / accuracy: binary 96.15 / 88.45 / 90.6, 3-way 91.81 / 76.15 / 76.6, 4-way 91.8 / 73.55 / "
    "73.6 %",
)

DTFD_AFS = BagRecipe(
    name="dtfd-afs",
    title="HER2 0, low or high of a slide from pseudo-bags of its patches, aggregated feature selection",
    paper=_PAPER,
    doi="",
    data=_DATA,
    task="her2-3",
    patches=_PATCHES,
    model="dtfd-afs",
    embed=_EMBED,
    bags=BagTrainSettings(
        network=BagNetworkSettings(hidden=512, pseudo_bags=4),
        epochs=200,
        least_epochs=50,
        patience=20,
        learning_rate=1e-4,
        weight_decay=1e-4,
        decay_epoch=100,
        decay_factor=0.2,
        gradient_clip=5.0,
        is_balanced=False,
    ),
    reported=(
        "10 folds, AUC / F1 / accuracy: binary 96.41 / 87.15 / 91.6, 3-way 91.64 / 76.48 / 76.7, 4-way 92.79 / 75.72 / "
        "75.5 %; AUC / F1 of ER 97.45 / 95.86, of PR 97.1 / 93.35 %"
    ),
    deviations=(
        *_COMMON,
        Deviation(
            "settings of DTFD: not given",
            "those of its authors' code: 200 epochs, learning rate 1e-4, a fifth of it after 100 epochs, 4 "
            "pseudo-bags, gradients clipped at 5",
            "Zhang et al. 2022 and the defaults of their code",
        ),
        Deviation(
            "its authors keep the best validation AUC of the last fifth of the epochs",
            "the epoch of the lowest validation loss, patience 20 after 50 epochs, as for CLAM",
            "with a handful of validation slides the AUC moves in large steps, or is undefined",
        ),
        Deviation(
            "its authors draw pseudo-bags anew at each test",
            "they are drawn with a fixed seed",
            "the same slide must get the same answer twice",
        ),
    ),
)

ABMIL = BagRecipe(
    name="abmil",
    title="HER2 0, low or high of a slide by gated attention over its patches, without clustering",
    paper="Ilse et al., ICML 2018",
    doi="10.48550/arXiv.1802.04712",
    data=(
        "Paper: MNIST bags, and H&E images of breast and colon. Here: images of a project with a label in cases.csv or "
        "their metadata."
    ),
    task="her2-3",
    patches=_PATCHES,
    model="abmil",
    embed=_EMBED,
    bags=BagTrainSettings(
        network=BagNetworkSettings(hidden=512, attention=128, dropout=0.25),
        learning_rate=2e-4,
        weight_decay=1e-5,
    ),
    reported="nothing on HER2",
    deviations=(
        Deviation(
            "a convolutional network on patches, trained with the attention",
            "features of an encoder that is not trained",
            "whole slides do not fit the memory of the training",
        ),
        Deviation(
            "two classes",
            "any number of them",
            "HER2 has three or four",
        ),
    ),
)
