"""All settings of cutting patches: table ``[patches]`` of ``her2.toml``, and what a recipe fills in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.drop import DropSettings
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.pixels.clahe import ClaheSettings
from qupath_her2.patches.splits import checked_shares
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.patches.tasks import SEGMENTATION, task_named

__all__ = ["PatchSettings", "SplitName", "settings_of_manifest"]

SplitName = Literal["auto", "by-case", "by-patch", "as-published", "none"]


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """How patches are cut, labelled, dropped and split.

    Attributes
    ----------
    task
        What is to be told apart, a name in `tasks.TASKS`.
    grid, rule, drop
        Where patches lie, to which class they belong, which are left out.
    whole_tissue
        Label all tissue as the image is labelled, where no region is drawn.
    whole_image
        One patch an image, the image itself made as small as `grid.patch_size_px` (squeezed to a square);
        for the low-resolution recipes and for data sets of crops. No drop rule applies.
    rest_label
        Class name for tissue outside all annotations; empty leaves it out.
    random_per_image
        This many patches at random places for each image and class instead of a lattice; 0 = lattice.
    equalise, clahe
        Contrast-limited equalisation of each patch, when it is read.
    label_column
        Column of ``cases.csv`` or metadata with the image's label; empty looks for the usual ones.
    skip_classes
        Annotation classes that are no label and not to be taken into account.
    keep_unlabelled
        Keep patches whose class nobody knows, for prediction.
    split
        ``by-case``; ``by-patch`` (leaks); ``as-published``; ``none``; ``auto``: as published where the data set
        does, else by case, and not at all where there are too few cases.
    shares
        Of train, validation, test.
    stratify
        Keep the shares within each class.
    seed
        Of random places and splits.
    segmentation
        Of task ``segmentation``, where every pixel has a class.
    """

    task: str = "her2-4"
    grid: GridSettings = field(default_factory=GridSettings)
    rule: LabelRule = field(default_factory=LabelRule)
    drop: DropSettings = field(default_factory=DropSettings)
    whole_tissue: bool = False
    whole_image: bool = False
    rest_label: str = ""
    random_per_image: int = 0
    equalise: bool = False
    clahe: ClaheSettings = field(default_factory=ClaheSettings)
    label_column: str = ""
    skip_classes: tuple[str, ...] = ()
    keep_unlabelled: bool = False
    split: SplitName = "auto"
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    stratify: bool = True
    seed: int = 0
    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)

    def __post_init__(self) -> None:
        task = task_named(self.task)
        if self.rest_label and self.rest_label not in task.class_names:
            raise SettingsError(
                f"rest_label {self.rest_label!r} is no class of task '{task.name}': {', '.join(task.class_names)}."
            )
        checked_shares(self.shares)
        if self.random_per_image < 0:
            raise SettingsError(f"random_per_image is {self.random_per_image}; 0 lays a lattice.")


def settings_of_manifest(settings: PatchSettings, layout: str) -> dict[str, Any]:
    """Return the settings as the manifest keeps them: plain values; what is not used is left out."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(asdict(settings)))
    plain["clahe"] = plain["clahe"] if settings.equalise else None
    if settings.task != SEGMENTATION.name:
        del plain["segmentation"]
    # The manifest's own `split` says what was done, which "auto" does not.
    plain["split"] = {"kind": "none", "warning": None}
    plain["layout"] = layout
    return plain
