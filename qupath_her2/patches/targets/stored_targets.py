"""Stored targets: the class of each pixel of a manifest's windows, in ``targets.npz`` next to the manifest.

Targets are rasterised once, when the windows are cut, and the manifest records their hash: what a network was trained
on does not change when outlines are edited later. Each target is compressed by zlib, about 60-fold.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ExchangeError, PatchError
from qupath_her2.patches.targets.targets import IGNORE
from qupath_her2.project.exchange.npz_columns import Columns, read_columns, write_columns
from qupath_her2.project.exchange.writing import output_errors, replace_file

if TYPE_CHECKING:
    from qupath_her2.patches.table import PatchManifest

__all__ = ["TARGETS_KEY", "TargetPacker", "Targets", "read_targets", "write_targets"]

#: Key in the manifest's settings: SHA-256 of its targets.
TARGETS_KEY = "targets_sha256"
_FILE = "targets.npz"
_COLUMNS: Columns = {"packed": ("|u1", 1), "offsets": ("<i8", 1), "counts": ("<i8", 2)}
_AGAIN = "Cut the patches again."


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """N compressed targets, in the order of the manifest's rows.

    Attributes
    ----------
    side
        Side of a target, px.
    packed, offsets
        uint8 (P,) and int64 (N + 1,); the zlib stream of target i is ``packed[offsets[i]:offsets[i + 1]]``.
    counts
        int64 (N, C), number of pixels of each class; the remaining pixels are unknown.
    """

    side: int
    packed: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def pack(cls, targets: Iterable[NDArray[np.uint8]], side: int, n_classes: int) -> Targets:
        """Compress targets.

        Parameters
        ----------
        targets
            uint8 (side, side) each, class indices or `IGNORE`.
        side
            Side of a target, px.
        n_classes
            Number of classes.

        Returns
        -------
        Targets
            The compressed targets, in the same order.
        """
        packer = TargetPacker(side, n_classes)
        for target in targets:
            packer.add(target)
        return packer.packed()

    def read(self, indices: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return the targets of given rows, uint8 (n, side, side), in that order."""
        out = np.empty((len(indices), self.side, self.side), np.uint8)
        # Row by row, as streams differ in length; decompression is far faster than reading the patch itself.
        for place, row in enumerate(np.asarray(indices).tolist()):
            data = zlib.decompress(self.packed[self.offsets[row] : self.offsets[row + 1]].tobytes())
            out[place] = np.frombuffer(data, np.uint8).reshape(self.side, self.side)
        return out

    def pixel_counts(self) -> NDArray[np.int64]:
        """Return `counts`: the method that class weights are computed from, for stored and other targets alike."""
        return self.counts

    def select(self, mask: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Targets:
        """Return the rows selected by `mask`, as `table.select` does for the manifest."""
        rows = np.arange(len(self))[mask]
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        parts = [self.packed[self.offsets[row] : self.offsets[row + 1]] for row in rows.tolist()]
        # The empty array is for a selection of no rows.
        packed = np.concatenate([np.zeros(0, np.uint8), *parts])
        return Targets(self.side, packed, offsets, self.counts[rows])

    def digest(self) -> str:
        """Return the SHA-256, 64 hex digits, of the uncompressed targets."""
        digest = hashlib.sha256(f"{self.side} {self.counts.shape}".encode())
        for row in range(len(self)):
            # Of the pixels, since versions of zlib compress the same pixels to different bytes.
            digest.update(self.read(np.array([row])).tobytes())
        return digest.hexdigest()


@dataclass(slots=True, eq=False)
class TargetPacker:
    """Compresses targets one by one, because those of a large study would not fit into memory uncompressed."""

    side: int
    n_classes: int
    _parts: list[bytes] = field(default_factory=list)
    _counts: list[NDArray[np.int64]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, target: NDArray[np.uint8]) -> None:
        """Compress a target, uint8 (side, side), class indices or `IGNORE`."""
        self._parts.append(zlib.compress(np.ascontiguousarray(target).tobytes()))
        # Counted now, while the pixels are at hand: class weights need the counts before any target is read.
        self._counts.append(np.bincount(target[target != IGNORE], minlength=self.n_classes))

    def packed(self) -> Targets:
        """Return all targets added so far."""
        return Targets(
            self.side,
            np.frombuffer(b"".join(self._parts), np.uint8),
            np.cumsum([0, *map(len, self._parts)], dtype=np.int64),
            np.array(self._counts, np.int64).reshape(len(self), self.n_classes),
        )


def write_targets(folder: Path, targets: Targets) -> None:
    """Write targets into their manifest's folder; call before `write_manifest`.

    In this order a process killed in between leaves targets that do not match the old manifest, which `read_targets`
    refuses.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    columns = io.BytesIO()
    write_columns(columns, targets, _COLUMNS)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / _FILE, columns.getvalue())


def read_targets(folder: Path, manifest: PatchManifest) -> Targets:
    """Read the targets of a manifest.

    Raises
    ------
    PatchError
        The file is missing or damaged, or belongs to another manifest.
    """
    path = folder / _FILE
    if not path.is_file():
        raise PatchError(
            f"The patches in '{folder}' have no targets ({_FILE} is missing): they have a label per patch, not per "
            "pixel. Cut them with: qupath-her2 patches PROJECT --recipe her2net."
        )
    try:
        columns = read_columns(path, _COLUMNS)
    except ExchangeError as error:
        raise PatchError(f"'{path}' cannot be read ({error}). {_AGAIN}") from error
    targets = Targets(manifest.patch_size_px, **columns)
    shape = (len(manifest), len(manifest.class_names))
    # Shapes first: a digest of targets that do not fit the manifest would fail in the middle of a stream.
    is_sound = targets.counts.shape == shape and len(targets.offsets) == shape[0] + 1
    try:
        found = targets.digest() if is_sound else ""
    except (zlib.error, ValueError) as error:
        raise PatchError(f"'{path}' is damaged ({error}). {_AGAIN}") from error
    if found != manifest.settings.get(TARGETS_KEY):
        raise PatchError(f"'{path}' does not belong to the manifest next to it. {_AGAIN}")
    return targets
