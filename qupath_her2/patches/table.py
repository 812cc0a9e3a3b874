"""The patch table in memory: image, box, label, region and split of each patch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError
from qupath_her2.project.exchange.npz_columns import Columns

__all__ = [
    "COLUMNS",
    "SPLITS",
    "ManifestImage",
    "PatchManifest",
    "check_manifest",
    "select",
    "without_images",
]

#: Names of the codes of `PatchManifest.split`; -1 is "not split".
SPLITS: tuple[str, ...] = ("train", "validation", "test")

#: Columns as stored: {name: (dtype, dimensions)}.
COLUMNS: Columns = {
    "image": ("<i4", 1),
    "box_xywh": ("<i4", 2),
    "label": ("<i2", 1),
    "overlap": ("<f4", 1),
    "region_uuid": ("|u1", 2),
    "split": ("|i1", 1),
}


@dataclass(frozen=True, slots=True)
class ManifestImage:
    """An image that patches come from.

    Attributes
    ----------
    id, name
        As in the exchange folder; in a published data set the name is the relative path.
    path
        The image file.
    case
        Case (patient) id; None where none is given. It is never guessed.
    pixel_size_um
        Pixel size at level 0, µm; NaN where unknown.
    width, height
        Size at level 0 as QuPath shows the image, px.
    chain
        QuPath's crops and rotations that lead from the file to that view, see `records.SlideRef`.
    fingerprint
        `provenance.image_fingerprint` of the file; empty where it was not computed.
    label
        Label that people gave the whole image, from `tasks.image_label`; empty where there is none.
    """

    id: str
    name: str
    path: Path
    case: str | None
    pixel_size_um: float
    width: int
    height: int
    chain: tuple[dict[str, Any], ...] = ()
    fingerprint: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class PatchManifest:
    """N patches as columns.

    Attributes
    ----------
    image
        int32 (N,), index into `images`.
    box_xywh
        int32 (N, 4), left, top, width, height, level-0 px; may extend beyond the image, where pixels are white.
    label
        int16 (N,), index into `class_names`, -1 = no label.
    overlap
        float32 (N,), 0..1, share of the patch's area inside regions of its class.
    region_uuid
        uint8 (N, 16), UUID of the annotation the label comes from; zeros = none.
    split
        int8 (N,), index into `SPLITS`, -1 = not split.
    images, class_names
        The images and classes that `image` and `label` index.
    patch_size_px
        Side of the network's input, px.
    pixel_size_um
        Pixel size of the network's input, µm; NaN where images are used at their own scale.
    task
        Name in `patches.tasks.TASKS`, or a user-defined name.
    settings
        All settings needed to cut the same patches again, as plain values.
    dropped
        {cause: count} of patches and images that were left out.
    """

    image: NDArray[np.int32]
    box_xywh: NDArray[np.int32]
    label: NDArray[np.int16]
    overlap: NDArray[np.float32]
    region_uuid: NDArray[np.uint8]
    split: NDArray[np.int8]
    images: tuple[ManifestImage, ...]
    class_names: tuple[str, ...]
    patch_size_px: int
    pixel_size_um: float
    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def cases(self) -> tuple[str | None, ...]:
        """The case of each image, None where unknown."""
        return tuple(image.case for image in self.images)

    def label_counts(self) -> dict[str, int]:
        """Return {class name: number of patches with that label}, in class order."""
        counts = np.bincount(self.label[self.label >= 0], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))


def select(manifest: PatchManifest, mask: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> PatchManifest:
    """Return the patches selected by `mask`, bool (N,) or row indices; all images and classes are kept."""
    return replace(manifest, **{name: getattr(manifest, name)[mask] for name in COLUMNS})


def without_images(manifest: PatchManifest, left_out: Collection[int], cause: str) -> PatchManifest:
    """Remove images from a manifest and count their patches as dropped.

    Parameters
    ----------
    manifest
        N patches.
    left_out
        Indices of the images to remove.
    cause
        Key in `dropped` under which their patches are counted.

    Returns
    -------
    PatchManifest
        The remaining images and patches, with `image` renumbered.
    """
    kept = np.array([index not in left_out for index in range(len(manifest.images))], bool)
    rows = kept[manifest.image]
    chosen = select(manifest, rows)
    # New index of each kept image: the number of kept images before it.
    number = np.cumsum(kept) - 1
    n = int((~rows).sum())
    return replace(
        chosen,
        image=number[chosen.image].astype(np.int32),
        images=tuple(image for image, stays in zip(manifest.images, kept, strict=True) if stays),
        dropped={**manifest.dropped, cause: n} if n else manifest.dropped,
    )


def check_manifest(manifest: PatchManifest, where: str = "The manifest") -> None:
    """Raise PatchError, naming the column, where a column's dtype, shape or values break `PatchManifest`'s contract."""
    n = len(manifest.image)
    # All other columns have one value per patch.
    wanted = {"box_xywh": (n, 4), "region_uuid": (n, 16)}
    for name, (dtype, _) in COLUMNS.items():
        column = getattr(manifest, name)
        shape = wanted.get(name, (n,))
        if column.shape != shape or column.dtype != np.dtype(dtype):
            raise PatchError(
                f"{where}: {name} is {column.dtype} {column.shape}, expected {np.dtype(dtype)} {shape}."
            )
    # Indices out of range would not fail here but hours later in training, far from the cause.
    limits = {
        "image": (0, len(manifest.images)),
        "label": (-1, len(manifest.class_names)),
        "split": (-1, len(SPLITS)),
    }
    for name, (low, high) in limits.items():
        column = getattr(manifest, name)
        if n and (column.min() < low or column.max() >= high):
            raise PatchError(f"{where}: {name} has a value outside {low}..{high - 1}.")
    if n and manifest.box_xywh[:, 2:].min() < 1:
        raise PatchError(f"{where}: box_xywh has a width or height below 1 px.")
    # Written so that NaN fails, which compares false with everything.
    if not ((manifest.overlap >= 0) & (manifest.overlap <= 1)).all():
        raise PatchError(f"{where}: overlap has a value outside 0..1.")
    if manifest.patch_size_px < 1:
        raise PatchError(f"{where}: patch_size_px is {manifest.patch_size_px}; it must be at least 1.")
