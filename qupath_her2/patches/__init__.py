"""Labelled patches: where they lie, what they show, whose they are; pixels only when asked for.

`cut_patches` makes a `PatchManifest` of a `Source` (a project, a folder, a published data set); `PatchPixels` reads
its pixels; `split_by_case` and `fold_splits` keep a patient on one side.
"""

from __future__ import annotations

from qupath_her2.patches.clahe import ClaheSettings
from qupath_her2.patches.crop_windows import crop_windows
from qupath_her2.patches.cut import CutContext, cut_patches, manifest_from_regions
from qupath_her2.patches.cut_windows import cut_windows, scores_of
from qupath_her2.patches.datasets.layouts import LAYOUTS, load_layout
from qupath_her2.patches.drawn_windows import DrawnWindow, DrawnWindows, drawn_windows
from qupath_her2.patches.drop import DROP_RULES, DropSettings
from qupath_her2.patches.folds import fold_splits, k_folds
from qupath_her2.patches.grid import GridSettings, PatchScale, patch_scale
from qupath_her2.patches.labels import LabelRule
from qupath_her2.patches.manifest import (
    SPLITS,
    ManifestImage,
    PatchManifest,
    manifest_hash,
    read_manifest,
    select,
    write_manifest,
)
from qupath_her2.patches.mask_targets import MaskSettings, mask_path, mask_target, read_mask
from qupath_her2.patches.pixels import PatchPixels, reading_order
from qupath_her2.patches.segmentation import SegmentationSettings
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.source import Source, SourceImage, project_source
from qupath_her2.patches.splits import (
    case_groups,
    leaked_cases,
    split_by_case,
    split_by_patch,
    split_warning,
)
from qupath_her2.patches.stored_targets import Targets, read_targets, write_targets
from qupath_her2.patches.targets import (
    TARGET_CLASSES,
    TargetFrame,
    TargetSettings,
    annotation_target,
    cell_target,
)
from qupath_her2.patches.tasks import TASKS, Task, label_of, labels_of, task_named

__all__ = [
    "DROP_RULES",
    "LAYOUTS",
    "SPLITS",
    "TARGET_CLASSES",
    "TASKS",
    "ClaheSettings",
    "CutContext",
    "DrawnWindow",
    "DrawnWindows",
    "DropSettings",
    "GridSettings",
    "LabelRule",
    "ManifestImage",
    "MaskSettings",
    "PatchManifest",
    "PatchPixels",
    "PatchScale",
    "PatchSettings",
    "SegmentationSettings",
    "Source",
    "SourceImage",
    "TargetFrame",
    "TargetSettings",
    "Targets",
    "Task",
    "annotation_target",
    "case_groups",
    "cell_target",
    "crop_windows",
    "cut_patches",
    "cut_windows",
    "drawn_windows",
    "fold_splits",
    "k_folds",
    "label_of",
    "labels_of",
    "leaked_cases",
    "load_layout",
    "manifest_from_regions",
    "manifest_hash",
    "mask_path",
    "mask_target",
    "patch_scale",
    "project_source",
    "read_manifest",
    "read_mask",
    "read_targets",
    "reading_order",
    "scores_of",
    "select",
    "split_by_case",
    "split_by_patch",
    "split_warning",
    "task_named",
    "write_manifest",
    "write_targets",
]
