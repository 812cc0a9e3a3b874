"""Export of patches as JPEG files, for viewing and for other programs; this package never reads them back."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import OutputError
from qupath_her2.patches.pixels.patch_pixels import PatchPixels, reading_order
from qupath_her2.patches.table import SPLITS, PatchManifest
from qupath_her2.project.exchange.writing import output_errors

__all__ = ["export_jpegs", "jpeg_names"]

_ROWS_AT_ONCE = 64


def jpeg_names(manifest: PatchManifest) -> list[str]:
    """Return the file name of each of the N patches: ``<split>/<class>/<image id>_<x>_<y>_<width>x<height>.jpg``.

    The split is ``all`` for patches without one, the class ``unlabelled`` for patches without a label.
    """
    classes = [_safe(name) for name in manifest.class_names]
    ids = [_safe(image.id) for image in manifest.images]
    names = []
    for image, box, label, split in zip(
        manifest.image.tolist(),
        manifest.box_xywh.tolist(),
        manifest.label.tolist(),
        manifest.split.tolist(),
        strict=True,
    ):
        x, y, width, height = box
        where = SPLITS[split] if split >= 0 else "all"
        what = classes[label] if label >= 0 else "unlabelled"
        names.append(f"{where}/{what}/{ids[image]}_{x}_{y}_{width}x{height}.jpg")
    return names


def _safe(name: str) -> str:
    # Dots and blanks at the ends go too: Windows drops trailing ones silently, and ".." would leave the folder.
    return re.sub(r"[^0-9A-Za-z+._ -]+", "-", name).strip(". ") or "-"


def export_jpegs(
    manifest: PatchManifest,
    folder: Path,
    *,
    quality: int = 95,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, list[str]]:
    """Write every patch as a JPEG file. An earlier export is replaced only once the new one is complete.

    Parameters
    ----------
    manifest
        The patches; CLAHE is applied if its settings ask for it.
    folder
        Output folder, created or replaced as a whole.
    quality
        JPEG quality, 1..100.
    threads
        Number of threads; None takes one per core, at most 8.
    progress
        Called with (patches done, patches in all).

    Returns
    -------
    written
        Number of files written.
    problems
        One sentence for each patch that cannot be read; such patches are skipped.

    Raises
    ------
    OutputError
        The folder cannot be written, or contains files other than an export.
    """
    names = jpeg_names(manifest)
    draft, old = folder.with_name(f"{folder.name}.tmp"), folder.with_name(f"{folder.name}.old.tmp")
    _refuse_foreign(folder)
    order = reading_order(manifest)
    batches = [order[start : start + _ROWS_AT_ONCE] for start in range(0, len(order), _ROWS_AT_ONCE)]
    problems: list[str] = []
    with output_errors(folder):
        # Of an export that was killed.
        for leftover in (draft, old):
            shutil.rmtree(leftover, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            for parent in {Path(name).parent for name in names}:
                (draft / parent).mkdir(parents=True, exist_ok=True)
            with (
                PatchPixels(manifest) as pixels,
                ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool,
            ):
                # Threads suffice: decoding, resizing and JPEG encoding all release the GIL.
                write = lambda rows: _write_batch(pixels, rows, names, draft, quality)  # noqa: E731
                for number, found in enumerate(pool.map(write, batches), 1):
                    problems += found
                    if progress is not None:
                        progress(min(number * _ROWS_AT_ONCE, len(order)), len(order))
            # Two renames, since rename cannot replace a folder that is not empty.
            if folder.exists():
                folder.rename(old)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return len(order) - len(problems), problems


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that contains anything but an earlier export, because it would be deleted."""
    if not folder.exists():
        return
    known = {*SPLITS, "all"}
    odd = [path.name for path in sorted(folder.iterdir()) if not (path.is_dir() and path.name in known)]
    if odd:
        raise OutputError(
            f"'{folder}' contains '{odd[0]}', which is not part of a patch export. Move it, or choose another folder."
        )


def _write_batch(
    pixels: PatchPixels, rows: NDArray[np.int64], names: list[str], draft: Path, quality: int
) -> list[str]:
    patches, failed = pixels.read_readable(rows)
    unreadable = {error.row for error in failed}
    for row, patch in zip(rows.tolist(), patches, strict=True):
        if row in unreadable:
            continue
        # 4:4:4, no chroma subsampling: at half the colour resolution thin brown membranes blur.
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(patch, cv2.COLOR_RGB2BGR), options)
        (draft / names[row]).write_bytes(data.tobytes())
    return [str(error) for error in failed]
