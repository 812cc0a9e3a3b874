"""Options of ``train`` alone: network, first weights, length and kind of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Epochs",
    "Features",
    "Folds",
    "LearningRate",
    "Model",
    "Name",
    "Normalise",
    "Patches",
    "Restart",
    "Rivals",
    "ShuffleLabels",
    "Study",
    "Weights",
    "Width",
    "Windows",
]

# Headings of the groups of options in --help.
_NETWORK = "Network"
_TRAINING = "Training"
_COMPARE = "Comparisons and controls"

Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Folder of the checkpoint in FOLDER/her2/models, or name of the tumour finder in FOLDER/her2/finders. "
        "Default: the recipe, with model and task if given.",
    ),
]
Patches = Annotated[
    Path | None,
    typer.Option(
        "--patches",
        metavar="DIR",
        help="Train on patches already cut into this folder. Default: cut them first, as the recipe says.",
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        "--features",
        metavar="DIR",
        help="With clam-sb, clam-mb, dtfd-afs, abmil: a folder of features by qupath-her2 embed, CLAM or TRIDENT. "
        "Default: FOLDER/her2/features; images without any are embedded first.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        rich_help_panel=_NETWORK,
        help="Train another network than the recipe's: a name that 'qupath-her2 models' lists, or timm:NAME.",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="WHAT",
        rich_help_panel=_NETWORK,
        help="Weights to start from: pretrained, random, a file of backbone weights, your own checkpoint "
        "(her2/models/NAME/best), or shipped: the trained U-Net of the package (with --model unet). With --recipe "
        "tumour-finder: the finder of the package if not given, or a name or file of her2/finders.",
    ),
]
FromReview = Annotated[
    bool,
    typer.Option(
        "--from-review",
        rich_help_panel=_NETWORK,
        help="Go on from the checkpoint of --weights with what people reviewed (review collect). Cases with "
        "corrections train, with their regions as they are now; patches of other cases are replayed against "
        "forgetting; only cases that nobody reviewed test. Regions count; single cells do not, they calibrate "
        "cut-points. With --recipe tumour-finder, single cells count as well.",
    ),
]
Replay = Annotated[
    float,
    typer.Option(
        "--replay",
        metavar="N",
        min=0,
        max=1000,
        rich_help_panel=_NETWORK,
        help="With --from-review: patches of cases that nobody reviewed for each patch of a reviewed case, at most. "
        "With --recipe tumour-finder: weight of freshly drawn tissue, in labelled cells for each of those.",
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        "--width",
        min=1,
        metavar="N",
        rich_help_panel=_NETWORK,
        help="With --recipe her2net: number of channels in the first layers.",
    ),
]
Normalise = Annotated[
    str | None,
    typer.Option(
        "--normalise",
        metavar="WHAT",
        rich_help_panel=_NETWORK,
        help="Stain normalisation of the patches: none, macenko:veta-2013, or macenko:FILE (a slide or a stain "
        "profile). Default: the recipe's. predict then normalises alike.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, rich_help_panel=_TRAINING, help="Passes over the training patches."),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", rich_help_panel=_TRAINING, help="Initial learning rate."),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart", rich_help_panel=_TRAINING, help="Train from scratch instead of resuming a stopped run."
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="K",
        min=3,
        rich_help_panel=_COMPARE,
        help="Cross-validate: K networks, each case tested once; mean and SD of every metric.",
    ),
]
ShuffleLabels = Annotated[
    bool,
    typer.Option(
        "--shuffle-labels",
        rich_help_panel=_COMPARE,
        help="Train a control on shuffled labels. It should do no better than chance; if it does, something leaks.",
    ),
]
Rivals = Annotated[
    bool,
    typer.Option(
        "--rivals",
        rich_help_panel=_COMPARE,
        help="With --recipe her2net: also train the paper's other networks on the same data, and compare them.",
    ),
]
Study = Annotated[
    Literal["window"] | None,
    typer.Option(
        "--study",
        rich_help_panel=_COMPARE,
        help="With --recipe her2net: repeat the paper's comparison of window sizes.",
    ),
]
Windows = Annotated[
    str,
    typer.Option(
        "--windows",
        metavar="PX,PX",
        rich_help_panel=_COMPARE,
        help="With --study window: the window sides to compare.",
    ),
]
