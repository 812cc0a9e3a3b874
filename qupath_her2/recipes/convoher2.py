"""convoHER2: HER2 0, 1+, 2+, 3+ from H&E or IHC patches, by a frozen InceptionV3 with a new head.

Mridha K et al., AJSE 22(1), 2023. Read from top to bottom: data, patches, network, training, metric.
"""

from __future__ import annotations

from qupath_her2.models.settings import AugmentSettings, ReadSettings, ScheduleSettings, TrainSettings
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.recipes.recipe import Deviation, Recipe
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["CONVOHER2"]

CONVOHER2 = Recipe(
    name="convoher2",
    title="HER2 0, 1+, 2+, 3+ from H&E or IHC patches, frozen InceptionV3 with a dense head",
    paper="Mridha et al., AJSE 22(1), 2023",
    doi="10.53799/ajse.v22i1.477",
    data=(
        "Paper: BCI, 4,873 pairs of images of 1024 x 1024 px at 0.46 µm/px, resized to 256 x 256 px. "
        "Here: BCI as unpacked, or patches of the same size inside regions graded by a pathologist."
    ),
    task="her2-4",
    patches=PatchSettings(
        task="her2-4",
        # 1024 px of 0.46 µm resized to 256 px.
        grid=GridSettings(patch_size_px=256, target_um_px=1.84),
        rule=LabelRule("majority"),
        drop=DROP_RULES["none"],
        shares=(0.8, 0.1, 0.1),
    ),
    model="convoher2",
    rivals=("inception_v3",),
    train=TrainSettings(
        epochs=200,
        batch_size=256,
        optimiser="adam",
        schedule=ScheduleSettings(
            kind="constant", learning_rate=1e-4, least_learning_rate=0.0, monitor="loss"
        ),
        augment=AugmentSettings(angle_deg=30.0, scale=0.2),
        read=ReadSettings(),
    ),
    votes=VoteSettings("mean"),
    reported=(
        'training accuracy of 85.10 % (H&E) and 87.79 % (IHC) in the paper\'s own words ("during the training phase"), '
        "on BCI; plain InceptionV3 76 % on average. No accuracy on the 977 test images is given"
    ),
    deviations=(
        Deviation(
            "80 % of BCI for training, 20 % for testing; the model is stored when its loss falls, on an unstated part",
            "--layout bci keeps BCI's test part and takes a ninth of its training part for validation: whole cases "
            "where a cases.csv names them, else images, within each class by a hash of their names. Projects: 80/10/10 "
            "by case. The epoch kept has the lowest validation loss",
            "choosing on the test part inflates its figure; BCI's 51 patients are in both parts of its own split, and "
            "its files do not say which crop is of which slide",
        ),
        Deviation(
            "accuracy on the training images",
            "figures are of the test part; training accuracy of each epoch stands in history.json",
            "accuracy on images that a network was trained on does not tell how it does on others",
        ),
        Deviation(
            "various types of noise are removed from the images, how is not stated",
            "no filter",
            "a guess would change the stain that is to be graded",
        ),
        Deviation(
            'augmentation "with various angles, sizes, etc."',
            "flips, rotations by right angles and by up to 30°, scaling by up to 20 %",
            "the paper gives no numbers",
        ),
        Deviation(
            "one network for H&E and one for IHC",
            "the recipe is trained twice, on H&E images and on IHC images",
            "the user chooses the images of a training with --images",
        ),
        Deviation(
            "total of 31,542,052 parameters",
            "31,510,500, of which 9,724,932 are trainable, as in the paper",
            "the paper's total includes the running statistics of batch normalisation, as Keras counts",
        ),
    ),
)
