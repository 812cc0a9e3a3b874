"""Records of a training: the job and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.learning.train.loop import TrainResult
    from qupath_her2.models.card import ModelCard
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.patches.targets.stored_targets import Targets
    from qupath_her2.recipes.recipe import Recipe
    from qupath_her2.scoring.agreement.study import Agreement
    from qupath_her2.training.evaluation import Evaluation

__all__ = ["TrainJob", "TrainedNetwork", "Weights"]

#: ``shipped``: the network that comes with the package; a path: one of our checkpoints (with a card), or a file of
#: backbone weights.
Weights: TypeAlias = Literal["pretrained", "random", "shipped"] | Path


@dataclass(frozen=True, slots=True, eq=False)
class TrainJob:
    """One training.

    Attributes
    ----------
    manifest
        Patches, labelled and split.
    recipe
        The published system that is trained.
    settings
        Those of the recipe, overridden by the user's.
    out
        Folder of the checkpoint.
    model
        Name of the network: the recipe's own, or one that its paper compares it with.
    weights
        Initial weights.
    is_control
        Train on shuffled labels as a negative control: accuracy above chance on the test part means leakage.
    resume
        Continue the training in `out`.
    command
        The command line as typed.
    targets
        Pixel labels for a segmenter, in the order of the manifest's rows; None for a classifier.
    options
        Options of the network that override the recipe's.
    """

    manifest: PatchManifest
    recipe: Recipe
    settings: Settings
    out: Path
    # Not always the recipe's own: papers compare several networks, and tests use a tiny one.
    model: str
    weights: Weights = "pretrained"
    is_control: bool = False
    resume: bool = True
    command: tuple[str, ...] = ()
    targets: Targets | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A trained classifier with its metrics.

    Attributes
    ----------
    checkpoint, card
        The network; path without ending.
    result
        History of the training.
    test
        Metrics of the test part; None without one.
    heads
        {head: metrics of the test images} for the recipe's heads over patch counts, named as `count_heads.head_path`
        names them.
    left_out
        A sentence for each slide that could not be used.
    """

    checkpoint: Path
    card: ModelCard
    result: TrainResult
    test: Evaluation | None
    heads: dict[str, Agreement]
    left_out: tuple[str, ...] = ()
