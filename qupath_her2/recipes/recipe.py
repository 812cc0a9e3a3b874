"""What a recipe is: one published system from data to metric, with every step's settings and every deviation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qupath_her2.models.settings import PredictSettings, TrainSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.scoring.votes import VoteSettings

__all__ = ["Deviation", "Recipe"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where we do not do what the paper says, or it does not say what to do: `ours`, and `why`."""

    paper: str
    ours: str
    why: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published system, from regions to a class.

    Attributes
    ----------
    name
        As in ``--recipe``.
    title
        What it does, in one line.
    paper, doi
        Where it is from.
    data
        What it is trained on, in the paper and here.
    task
        Which classes, see `patches.tasks`; ``segmentation`` names pixels.
    patches
        How pictures are cut, labelled, dropped and split.
    model
        Its network, see `models.MODELS`.
    rivals
        The paper's other networks, for ``--model`` and, of segmenters, ``--rivals``.
    options
        Of the network.
    stain
        Normalisation before the network: ``macenko:<reference>``, or None.
    train, predict, votes
        How it learns, how it is run, how patches decide.
    heads
        Classifiers of an image over the counts of its patches (`models.count_heads`), the first one decides.
    reported
        The paper's own figures, on the paper's own data.
    deviations
        From the paper.
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
