"""Settings of patch extraction: the table ``[patches]`` of ``her2.toml``, with a recipe's values as defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import orjson

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.drop import DropSettings
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.cutting.labels import LabelRule
from qupath_her2.patches.pixels.clahe import ClaheSettings
from qupath_her2.patches.splits import checked_shares
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.patches.tasks import SEGMENTATION, find_task
from qupath_her2.setting_ranges import Range, Seed, Share, Text, check_settings

__all__ = ["PatchSettings", "SplitName", "settings_of_manifest"]

SplitName = Literal["auto", "by-case", "by-patch", "as-published", "none"]


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """How patches are cut, labelled, dropped and split.

    Attributes
    ----------
    task
        Classification task, a name in `tasks.TASKS`.
    grid, rule, drop
        Position and scale of patches, rule that labels them, and rules that drop them.
    whole_tissue
        Where no region is drawn, label all tissue with the image's label.
    whole_image
        One patch per image: the whole image, resized to a square of `grid.patch_size_px`. For the low-resolution
        recipes and for data sets of crops. Drop rules do not apply.
    rest_label
        Class name for tissue outside all annotations, in images with a region of another class; empty leaves that
        tissue out.
    random_per_image
        Number of patches at random positions for each image and class, instead of a grid; 0 = grid.
    equalise, clahe
        Whether to apply CLAHE to each patch when it is read, and its settings.
    label_column
        Column of ``cases.csv`` or of the metadata with the image's label; empty tries the usual names.
    skip_classes
        Annotation classes to ignore.
    keep_unlabelled
        Keep patches without a label, for prediction.
    split
        ``by-case``; ``by-patch`` (leaks); ``as-published``; ``none``; or ``auto``: as published where the data set
        publishes a split of which no known case is in two parts, otherwise by case, and not split where there are too
        few cases. A published split without a validation part gets one (`published_split`).
    shares
        Shares of train, validation and test, summing to 1.
    stratify
        Keep the shares within each class.
    seed
        Seed of random positions and of the split.
    segmentation
        Settings of task ``segmentation``, where every pixel has a class.
    """

    task: Annotated[str, Text("the name of a task", may_be_empty=True)] = "her2-4"
    grid: GridSettings = field(default_factory=GridSettings)
    rule: LabelRule = field(default_factory=LabelRule)
    drop: DropSettings = field(default_factory=DropSettings)
    whole_tissue: bool = False
    whole_image: bool = False
    rest_label: Annotated[str, Text("a class of the task", may_be_empty=True)] = ""
    random_per_image: Annotated[int, Range(0, 1_000_000, "patches")] = 0
    equalise: bool = False
    clahe: ClaheSettings = field(default_factory=ClaheSettings)
    label_column: Annotated[str, Text("the name of a column", may_be_empty=True)] = ""
    skip_classes: Annotated[tuple[str, ...], Text("a class name")] = ()
    keep_unlabelled: bool = False
    split: SplitName = "auto"
    shares: tuple[Share, Share, Share] = (0.6, 0.2, 0.2)
    stratify: bool = True
    seed: Seed = 0
    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)

    def __post_init__(self) -> None:
        check_settings(self)
        task = find_task(self.task)
        if self.rest_label and self.rest_label not in task.class_names:
            raise SettingsError(
                f"rest_label {self.rest_label!r} is not a class of task '{task.name}'. "
                f"Choose one of: {', '.join(task.class_names)}."
            )
        # Checked here and not only when splitting: cutting a cohort may take hours before that.
        checked_shares(self.shares)


def settings_of_manifest(settings: PatchSettings, layout: str) -> dict[str, Any]:
    """Return the settings as plain values for the manifest, without those that do not apply."""
    # Unused settings are left out because they enter the manifest's hash: the same patches keep the same hash.
    plain: dict[str, Any] = orjson.loads(orjson.dumps(asdict(settings)))
    # `PatchPixels` reads this key: None means no CLAHE.
    plain["clahe"] = plain["clahe"] if settings.equalise else None
    if settings.task != SEGMENTATION.name:
        del plain["segmentation"]
    # Overwritten by the split itself: the manifest records what was done, which "auto" does not say.
    plain["split"] = {"kind": "none", "warning": None}
    plain["layout"] = layout
    return plain
