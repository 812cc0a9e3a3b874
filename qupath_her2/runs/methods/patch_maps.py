"""Overlays of a prediction: heat map of the class probabilities, its pyramid for QuPath, and Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from qupath_her2.patches.pixels.patch_pixels import reading_order
from qupath_her2.project.class_names import patch_colour
from qupath_her2.report.contact_sheet import paired_sheet
from qupath_her2.report.heat import (
    OVERLAYS,
    HeatPlanes,
    heat_planes,
    heat_pyramid,
    heat_step,
    map_slice,
    overlays_json,
)
from qupath_her2.scoring.indicators.heat_map import heat_map_png

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.settings import CamSettings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.patches.pixels.patch_pixels import PatchPixels
    from qupath_her2.records import PatchTable
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["CamMap", "cam_map", "overlay_files"]

HEAT_PYRAMID = "heatmap.ome.tif"
CAM_SHEET = "cam.jpg"
#: Patches explained at once. Few: a batch keeps its pictures and the gradients of their last feature map in memory.
_AT_ONCE = 16
#: Pixels along a patch on the Grad-CAM map; more would be interpolation, as the last feature map has 7 to 16.
_CAM_PX = 32


@dataclass(frozen=True, slots=True, eq=False)
class CamMap:
    """Grad-CAM of one class over a whole image.

    Attributes
    ----------
    class_name
        The class explained.
    heat
        One plane, 0 to 1; 1 is the hottest place of the whole image, NaN where no patch lies.
    sheet
        JPEG of the patches with the highest and the lowest probability, each beside itself with the heat over it.
    """

    class_name: str
    heat: HeatPlanes
    sheet: bytes


def overlay_files(
    table: PatchTable,
    size: tuple[int, int],
    pixel_size_um: float | None,
    cam: CamMap | None,
    *,
    title: str = "",
) -> dict[str, bytes]:
    """Return the overlay files of an image's patches.

    ``heatmap.png`` with the probability of the last class, ``heatmap.ome.tif`` with those of all classes, ``cam.png``
    and ``cam.jpg`` where Grad-CAM was computed, and ``overlays.json`` with their places on the image.

    Parameters
    ----------
    table
        At least one patch.
    size
        Width and height of the image, level-0 pixels.
    pixel_size_um
        µm per level-0 pixel; None where unknown.
    cam
        From `cam_map`; None without Grad-CAM.
    title
        Title of the heat map; "" names the class whose probability it shows.

    Returns
    -------
    dict[str, bytes]
        {file name: content}.
    """
    planes = heat_planes(table, *size)
    # Grades are in ascending order, so the last class is the strongest one, or "tumour".
    last = table.class_names[-1]
    files = {"heatmap.png": heat_map_png(planes.values[-1], 1)}
    overlays = [planes.overlay(title or f"Probability of {last}", "heatmap.png")]
    colours = {name: patch_colour(name) for name in table.class_names}
    files[HEAT_PYRAMID] = heat_pyramid(planes, pixel_size_um, colours)
    if cam is not None:
        files["cam.png"] = heat_map_png(cam.heat.values[0], 1, opacity_by_value=True)
        files[CAM_SHEET] = cam.sheet
        overlays.append(cam.heat.overlay(f"Grad-CAM for {cam.class_name}", "cam.png"))
    return files | {OVERLAYS: overlays_json(overlays)}


def cam_map(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: PatchPixels,
    probabilities: NDArray[np.float32],
    wanted: int,
    size: tuple[int, int],
    settings: CamSettings,
    *,
    stain_maps: Sequence[DensityMap] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CamMap:
    """Compute Grad-CAM of one class for all patches of an image, and assemble it into one map.

    Parameters
    ----------
    model, card
        The network, on the device of the prediction.
    manifest, pixels
        The patches of one image.
    probabilities
        float (N, C), predicted for them; NaN where a patch could not be read.
    wanted
        Index of the class to explain.
    size
        Width and height of the image, level-0 pixels.
    settings
        Number of patches on the sheet, and opacity of the heat.
    stain_maps
        One per image, as in the prediction; None without stain normalisation.
    progress
        Called with patches done and in total.

    Returns
    -------
    CamMap
        Comparable over the whole image: one scale, not one per patch.

    Raises
    ------
    ModelError
        The network has no layer for Grad-CAM.
    """
    from qupath_her2.learning.inference.grad_cam import explain, heat_overlay
    from qupath_her2.learning.preprocessing import Preparation

    step = heat_step(manifest.box_xywh, *size, _CAM_PX)
    shape = (int(np.ceil(size[1] / step)), int(np.ceil(size[0] / step)))
    heat = np.full(shape, np.nan, np.float32)
    prepare = Preparation(manifest, card.mean, card.std, stain_maps=stain_maps)
    known = np.isfinite(probabilities[:, wanted])
    shown = _shown(probabilities[:, wanted], known, settings.shown)
    kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    # In the order of the slide's tiles, so that each tile is decoded once.
    order = [row for row in reading_order(manifest).tolist() if known[row]]
    for start in range(0, len(order), _AT_ONCE):
        rows = np.array(order[start : start + _AT_ONCE])
        pictures = pixels.read(rows)
        found, strength = explain(model, pictures, prepare, rows, np.full(len(rows), wanted, np.int16))
        for row, picture, one, height in zip(rows.tolist(), pictures, found, strength, strict=True):
            _put(heat, manifest.box_xywh[row], one * height, step)
            if row in shown:
                kept[row] = picture, heat_overlay(picture, one, settings.opacity)
        if progress is not None:
            progress(start + len(rows), len(order))
    # Grad-CAM has no unit: scaled by the whole image, a patch without evidence stays cold beside one full of it.
    hottest = np.nanmax(heat)
    name = card.class_names[wanted]
    return CamMap(
        name,
        HeatPlanes((name,), (heat / hottest if hottest > 0 else heat)[None], step),
        paired_sheet(
            [kept[row] for row in shown], [f"{name} {probabilities[row, wanted]:.2f}" for row in shown]
        ),
    )


def _put(heat: NDArray[np.float32], box: NDArray[np.int32], found: NDArray[np.float32], step: float) -> None:
    """Write a patch's heat into the map of its image; where patches overlap, the maximum counts."""
    rows, columns = map_slice(box, step)
    # A patch may reach beyond the image's edge, the map does not.
    part = heat[rows, columns]
    wide, high = columns.stop - columns.start, rows.stop - rows.start
    small = cv2.resize(found, (wide, high), interpolation=cv2.INTER_AREA)
    np.fmax(part, small[: part.shape[0], : part.shape[1]], out=part)


def _shown(probability: NDArray[np.float32], known: NDArray[np.bool_], n: int) -> tuple[int, ...]:
    """Return the rows on the sheet: highest probabilities of the class, then the lowest, each patch at most once."""
    order = [int(row) for row in np.argsort(-probability, kind="stable") if known[row]]
    surest = order[:n]
    return (*surest, *order[max(len(surest), len(order) - n) :][::-1])
