"""The record of a recipe: settings of a published system from patches to metric, and its deviations from the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qupath_her2.models.bag_settings import BagTrainSettings, EmbedSettings
from qupath_her2.models.settings import PredictSettings, TrainSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.scoring.indicators.ranges import IndicatorRanges
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["BagRecipe", "Deviation", "MeasuredRecipe", "Recipe"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """A point where this package differs from the paper, or fills in what the paper leaves open.

    Attributes
    ----------
    paper
        What the paper does or leaves open.
    ours
        What this package does.
    why
        The reason.
    """

    paper: str
    ours: str
    why: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published system, from annotated regions to the predicted class.

    Attributes
    ----------
    name
        Value of ``--recipe``.
    title
        Purpose, in one line.
    paper, doi
        The publication.
    data
        Training data of the paper, and the equivalent here.
    task
        Name of the task, see `patches.tasks`; ``segmentation`` has one class per pixel.
    patches
        How patches are cut, labelled, dropped and split.
    model
        The paper's network: a key of `models.specs.MODELS`, or ``timm:NAME`` for any network of timm.
    rivals
        Networks that the paper compares with, for ``--model`` and, for segmenters, ``--rivals``.
    options
        Options of the network.
    stain
        Stain normalisation before the network: ``macenko:<reference>``, or None.
    train, predict, votes
        Settings of training, of prediction, and of the vote of an image's patches.
    heads
        Classifiers of an image from the counts of its patches' classes (`models.count_heads`); the first decides.
    reported
        Figures that the paper reports on its own data.
    deviations
        Deviations from the paper.
    """

    name: str
    title: str
    paper: str
    doi: str
    data: str
    task: str
    patches: PatchSettings
    model: str
    rivals: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    stain: str | None = None
    train: TrainSettings = field(default_factory=TrainSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    votes: VoteSettings = field(default_factory=VoteSettings)
    heads: tuple[Literal["random-forest", "svm", "mlp", "majority"], ...] = ()
    reported: str = ""
    deviations: tuple[Deviation, ...] = ()


@dataclass(frozen=True, slots=True)
class MeasuredRecipe:
    """A published system that measures and does not train.

    Attributes
    ----------
    name
        Name in ``run.json``.
    title, paper, doi, data, reported, deviations
        As in `Recipe`.
    tumour_recipe
        Recipe of the network that finds the tumour.
    ranges
        The decision table as printed.
    """

    name: str
    title: str
    paper: str
    doi: str
    data: str
    tumour_recipe: str
    ranges: IndicatorRanges
    reported: str = ""
    deviations: tuple[Deviation, ...] = ()


@dataclass(frozen=True, slots=True)
class BagRecipe:
    """A published system that learns from slides' labels alone, on features of their patches.

    Attributes
    ----------
    name, title, paper, doi, data, task, reported, deviations
        As in `Recipe`.
    patches
        Task, label column and split; one "patch" a slide, the whole image.
    model
        Key of `models.bag_specs.BAG_MODELS`.
    rivals
        Networks for ``--model``: the floors.
    embed
        Encoder and patches.
    bags
        The network's widths and its training.
    predict
        Device, and batches of the encoder.
    """

    name: str
    title: str
    paper: str
    doi: str
    data: str
    task: str
    patches: PatchSettings
    model: str
    rivals: tuple[str, ...] = ("mean-pool", "max-pool")
    embed: EmbedSettings = field(default_factory=EmbedSettings)
    bags: BagTrainSettings = field(default_factory=BagTrainSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    reported: str = ""
    deviations: tuple[Deviation, ...] = ()
