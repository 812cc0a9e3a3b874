"""Windows of synthetic fields, in memory, to train and evaluate segmenters on where no annotations exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, PatchReadError
from qupath_her2.patches.cutting.crop_windows import PAPER_WINDOW_PX, crop_windows
from qupath_her2.patches.cutting.cut_windows import SCORES_KEY
from qupath_her2.patches.table import ManifestImage, PatchManifest
from qupath_her2.patches.targets.stored_targets import TARGETS_KEY, Targets
from qupath_her2.patches.targets.targets import TARGET_CLASSES, TUMOUR_TARGET_CLASSES, TargetSettings
from qupath_her2.patches.targets.truth_targets import truth_target
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.synthetic.field import Field

__all__ = ["DrawnWindow", "DrawnWindows", "drawn_windows"]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnWindow:
    """A synthetic field, the HER2 score it was drawn for, and its split (index into `SPLITS`)."""

    field: Field
    score: str
    split: int


@dataclass(frozen=True, slots=True, eq=False)
class DrawnWindows:
    """Windows with their pixels and targets; has the reading methods of `PatchPixels`."""

    manifest: PatchManifest
    targets: Targets
    pictures: NDArray[np.uint8]

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8 (n, side, side, 3)."""
        return self.pictures[indices]

    def read_readable(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[PatchReadError]]:
        """Return uint8 (n, side, side, 3) and an empty list of errors: all pixels are in memory."""
        return self.pictures[indices], []


def drawn_windows(
    fields: Sequence[DrawnWindow],
    *,
    window: int = PAPER_WINDOW_PX,
    settings: TargetSettings | None = None,
    tells_tumour: bool = False,
) -> DrawnWindows:
    """Cut synthetic fields into non-overlapping windows, remainders dropped; each field is a case.

    Parameters
    ----------
    fields
        Fields of one pixel size, whose scores and seeds, of which their names are made, are all different.
    window
        Side of a window, px.
    settings
        Membrane width.
    tells_tumour
        Nuclei of no tumour cell are a class of their own: `TUMOUR_TARGET_CLASSES` instead of `TARGET_CLASSES`.

    Returns
    -------
    DrawnWindows
        The windows in the order of the fields, with manifest, pixels and targets.

    Raises
    ------
    PatchError
        The fields have different pixel sizes, a field occurs twice, or no field is as large as a window.
    """
    sizes = {one.field.settings.pixel_size_um for one in fields}
    names = [f"drawn-{one.score}-{one.field.settings.seed}" for one in fields]
    if len(sizes) != 1 or len(set(names)) < len(names):
        raise PatchError(
            f"Synthetic fields must have one pixel size and different names (score and seed); these {len(names)} have "
            f"pixel sizes {sorted(sizes)} and {len(set(names))} different names. Draw them again."
        )
    # One manifest has one pixel size, and names must differ because they are the cases of the split.
    size_um = sizes.pop()
    images, parts, pictures, targets = [], [], [], []
    for name, one in zip(names, fields, strict=True):
        height, width = one.field.rgb.shape[:2]
        # The target of the whole field is cut: each outline is rasterised once, and windows agree at their edges.
        windows = crop_windows(width, height, window=window, crop=0)
        truth = truth_target(one.field, settings=settings, tells_tumour=tells_tumour)
        for x, y, w, h in windows.tolist():
            pictures.append(one.field.rgb[y : y + h, x : x + w])
            targets.append(truth[y : y + h, x : x + w])
        images.append(ManifestImage(name, name, Path(name), name, size_um, width, height))
        parts.append(windows)
    if not pictures:
        raise PatchError(f"No synthetic field is as large as a window of {window} px. Draw larger fields.")
    # Targets are compressed about 60-fold; uncompressed they would take a third of the pixels' memory.
    class_names = TUMOUR_TARGET_CLASSES if tells_tumour else TARGET_CLASSES
    packed = Targets.pack(targets, window, len(class_names))
    counts = [len(part) for part in parts]
    manifest = PatchManifest(
        image=np.repeat(np.arange(len(fields), dtype=np.int32), counts),
        box_xywh=np.concatenate(parts),
        label=packed.counts.argmax(1).astype(np.int16),
        overlap=np.ones(sum(counts), np.float32),
        region_uuid=np.zeros((sum(counts), 16), np.uint8),
        split=np.repeat(np.array([one.split for one in fields], np.int8), counts),
        images=tuple(images),
        class_names=class_names,
        patch_size_px=window,
        pixel_size_um=size_um,
        task=SEGMENTATION.name,
        settings={
            # Every field is a case and is in one part, so there is nothing to warn of.
            "split": {"kind": "by case", "warning": None},
            SCORES_KEY: {name: one.score for name, one in zip(names, fields, strict=True)},
            TARGETS_KEY: packed.digest(),
        },
    )
    return DrawnWindows(manifest, packed, np.stack(pictures))
