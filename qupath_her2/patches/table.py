"""The table of patches in memory: which image, where, which label, which split."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError
from qupath_her2.project.exchange.columns import Columns

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

#: The columns as they lie on disk.
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
        As in the exchange folder; the relative path in a published data set.
    path
        The file.
    case
        Whose tissue it is; None where nobody said, never guessed.
    pixel_size_um
        Of level 0, µm; NaN where unknown.
    width, height
        Of level 0 as QuPath shows it, px.
    chain
        QuPath's crops and turns from the file to that, as `records.SlideRef` has them.
    fingerprint
        Of the file, `provenance.image_fingerprint`; empty where it was not taken.
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


@dataclass(frozen=True, slots=True)
class PatchManifest:
    """N patches as columns.

    Attributes
    ----------
    image
        int32 (N,), index into `images`.
    box_xywh
        int32 (N, 4), left, top, width, height, level-0 px; may reach over the image's edge (white there).
    label
        int16 (N,), index into `class_names`, -1 = no label.
    overlap
        float32 (N,), 0..1, share of the patch's area inside its region.
    region_uuid
        uint8 (N, 16), the annotation the label came from; zeros = none.
    split
        int8 (N,), index into `SPLITS`, -1 = not split.
    images, class_names
        What the indices mean.
    patch_size_px
        Side of the picture that a network sees, px.
    pixel_size_um
        Of that picture, µm; NaN where the image is taken as it lies.
    task
        Name in `patches.tasks.TASKS`, or the user's own.
    settings
        All that is needed to repeat the cutting; plain values.
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
        """Return {class name: patches with that label}, in the order of the classes."""
        counts = np.bincount(self.label[self.label >= 0], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))


def select(manifest: PatchManifest, mask: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> PatchManifest:
    """Return the patches that `mask` (bool (N,), or row numbers) chooses; images and classes stay all."""
    return replace(manifest, **{name: getattr(manifest, name)[mask] for name in COLUMNS})


def without_images(manifest: PatchManifest, left_out: Collection[int], cause: str) -> PatchManifest:
    """Return the manifest without some images, their patches counted as dropped for a cause.

    Parameters
    ----------
    manifest
        any.
    left_out
        Indices into its images.
    cause
        Under which `dropped` counts their patches.
    """
    kept = np.array([index not in left_out for index in range(len(manifest.images))], bool)
    rows = kept[manifest.image]
    chosen = select(manifest, rows)
    number = np.cumsum(kept) - 1
    n = int((~rows).sum())
    return replace(
        chosen,
        image=number[chosen.image].astype(np.int32),
        images=tuple(image for image, stays in zip(manifest.images, kept, strict=True) if stays),
        dropped={**manifest.dropped, cause: n} if n else manifest.dropped,
    )


def check_manifest(manifest: PatchManifest, where: str = "The manifest") -> None:
    """Raise PatchError, naming the column, where the table is not what `PatchManifest` says."""
    n = len(manifest.image)
    wanted = {"box_xywh": (n, 4), "region_uuid": (n, 16)}
    for name, (dtype, _) in COLUMNS.items():
        column = getattr(manifest, name)
        shape = wanted.get(name, (n,))
        if column.shape != shape or column.dtype != np.dtype(dtype):
            raise PatchError(
                f"{where}: {name} is {column.dtype} {column.shape}, expected {np.dtype(dtype)} {shape}."
            )
    limits = {
        "image": (0, len(manifest.images)),
        "label": (-1, len(manifest.class_names)),
        "split": (-1, len(SPLITS)),
    }
    for name, (low, high) in limits.items():
        column = getattr(manifest, name)
        if n and (column.min() < low or column.max() >= high):
            raise PatchError(f"{where}: {name} holds a value outside {low}..{high - 1}.")
    if n and manifest.box_xywh[:, 2:].min() < 1:
        raise PatchError(f"{where}: box_xywh holds a width or height below 1 px.")
    if not ((manifest.overlap >= 0) & (manifest.overlap <= 1)).all():
        raise PatchError(f"{where}: overlap holds a value outside 0..1.")
    if manifest.patch_size_px < 1:
        raise PatchError(f"{where}: patch_size_px is {manifest.patch_size_px}; a picture has at least 1 px.")
